"""The Arrow window engine against the oracle."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feldspar.compute.windows.arrow import add_windows, add_windows_in_bucket
from feldspar.compute.windows.functions import AggregationPlan
from feldspar.compute.windows.plan import WindowPlan
from feldspar.errors import EngineError
from property import frames, oracle
from property.closeness import wrong_answers


def differences(
    plan: WindowPlan, asked: list, rows: list, engine: Callable[..., pa.Table] = add_windows
) -> list[str]:
    answers = engine(frames.spine_table(asked), frames.rows_table(rows), plan)
    return wrong_answers(plan, asked, rows, answers)


@settings(max_examples=frames.CASES, deadline=None)
@given(frames.questions(), frames.versions(), frames.aggregations(), frames.rules)
def test_every_answer_is_the_oracles(asked, rows, items, rule) -> None:
    assert differences(frames.window_plan(items, rule), asked, rows) == []


SPREADS = [
    AggregationPlan(f"{function}_{window}", function, "amount", window)
    for function in ("var", "stddev")
    for window in (6, 40)
]


@settings(max_examples=frames.CASES // 3, deadline=None)
@given(frames.questions(frames.NEAR), frames.versions(frames.NEAR), frames.rules)
def test_variances_of_large_neighbours_are_the_oracles(asked, rows, rule) -> None:
    assert differences(frames.window_plan(SPREADS, rule), asked, rows) == []


@settings(max_examples=frames.CASES, deadline=None)
@given(frames.questions(), frames.versions(), frames.listed_aggregations(), frames.rules)
def test_every_listed_answer_is_the_oracles(asked, rows, items, rule) -> None:
    assert differences(frames.window_plan(items, rule), asked, rows) == []


@settings(max_examples=frames.CASES, deadline=None)
@given(frames.questions(), frames.versions(), frames.hopping())
def test_edges_on_a_raster_are_the_oracles(asked, rows, hopping) -> None:
    items, rule = hopping
    assert differences(frames.window_plan(items, rule), asked, rows) == []


@settings(max_examples=frames.CASES // 3, deadline=None)
@given(
    frames.questions(frames.WILD),
    frames.versions(frames.WILD),
    frames.listed_aggregations(),
    frames.rules,
)
def test_listed_functions_know_nan_and_infinity(asked, rows, items, rule) -> None:
    assert differences(frames.window_plan(items, rule), asked, rows) == []


@settings(max_examples=frames.CASES // 3, deadline=None)
@given(
    frames.questions(frames.WILD), frames.versions(frames.WILD), frames.aggregations(), frames.rules
)
def test_nan_and_infinity_follow_ieee(asked, rows, items, rule) -> None:
    assert differences(frames.window_plan(items, rule), asked, rows) == []


@settings(max_examples=frames.CASES // 3, deadline=None)
@given(frames.questions(), frames.versions(), frames.aggregations(), frames.rules)
def test_the_spine_comes_back_as_it_was(asked, rows, items, rule) -> None:
    spine = frames.spine_table(asked)
    answers = add_windows(spine, frames.rows_table(rows), frames.window_plan(items, rule))
    assert answers.select(spine.column_names).equals(spine)


@settings(max_examples=frames.CASES // 3, deadline=None)
@given(frames.questions(), frames.versions(), frames.listed_aggregations(), frames.rules)
def test_entities_in_blocks_have_the_same_answers(asked, rows, items, rule) -> None:
    plan = frames.window_plan(items, rule)
    spine, events = frames.spine_table(asked), frames.rows_table(rows)
    at_once = add_windows_in_bucket(spine, events, plan)
    in_blocks = add_windows_in_bucket(spine, events, plan, at_once=2)
    assert at_once.to_pylist() == in_blocks.to_pylist()


@settings(max_examples=frames.CASES // 3, deadline=None)
@given(
    st.lists(st.integers(-600, 600), min_size=1, max_size=4),
    st.integers(300, 900),
    st.randoms(use_true_random=False),
    frames.rules,
)
def test_long_windows_go_through_blocks_to_the_same_answer(at, size, random, rule) -> None:
    rows = []
    for position in range(size):
        event_time = random.randint(-600, 600)
        late = random.choice((0, 0, 0, 1, 3, random.randint(0, 400)))
        values = {"amount": random.choice(frames.AMOUNTS), "level": position, "risky": True}
        ident = random.randint(0, 2 * size)
        rows.append(
            oracle.Version((1, "2"), event_time, event_time + late, 0, position, ident, values)
        )
    own = {"amount": 4.0, "level": 5, "risky": None}
    asked = [oracle.Question((1, "2"), time, random.randint(0, 2 * size), own) for time in at]
    items = [
        AggregationPlan(f"{function}_{window}", function, "amount", window)
        for function in ("count", "sum", "avg", "min", "max", "var", "stddev")
        for window in (50, 1000)
    ]
    items.append(AggregationPlan("events", "count", None, 1000))
    assert differences(frames.window_plan(items, rule), asked, rows) == []


def test_the_variance_of_large_neighbours_is_exact() -> None:
    rows = [oracle.Version((1, "2"), at, at, 0, at, at, {"amount": 1e9 + at}) for at in (1, 2, 3)]
    items = [AggregationPlan("spread", "var", "amount", 10)]
    plan = frames.window_plan(items, frames.WindowRule())
    answers = add_windows(
        frames.spine_table([oracle.Question((1, "2"), 3)]), frames.rows_table(rows), plan
    )
    assert answers["spread"].to_pylist() == [1.0]


def test_a_naive_time_is_refused() -> None:
    spine = frames.spine_table([oracle.Question((1, "2"), 3)])
    naive = spine.set_column(3, "at", spine["at"].cast(pa.timestamp("us")))
    plan = frames.window_plan([AggregationPlan("n", "count", None, 10)], frames.WindowRule())
    with pytest.raises(EngineError, match="asked for a timestamp with a zone"):
        add_windows(naive, frames.rows_table([]), plan)


def test_keys_of_different_types_are_refused() -> None:
    spine = frames.spine_table([oracle.Question((1, "2"), 3)])
    text = spine.set_column(1, "customer", spine["customer"].cast(pa.string()))
    plan = frames.window_plan([AggregationPlan("n", "count", None, 10)], frames.WindowRule())
    with pytest.raises(EngineError, match="key 'customer' is large_string but 'who' is int64"):
        add_windows(text, frames.rows_table([]), plan)


def test_an_output_column_that_exists_is_refused() -> None:
    spine = frames.spine_table([])
    plan = frames.window_plan([AggregationPlan("note", "count", None, 10)], frames.WindowRule())
    with pytest.raises(EngineError, match="already has the output columns"):
        add_windows(spine, frames.rows_table([]), plan)

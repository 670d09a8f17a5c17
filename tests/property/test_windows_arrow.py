"""The Arrow window engine against the oracle."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feldspar.compute.windows.arrow import SPARSE, add_windows, add_windows_in_bucket
from feldspar.compute.windows.functions import AggregationPlan
from feldspar.compute.windows.plan import WindowPlan
from feldspar.compute.windows.rule import WindowRule
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
    spine, events = frames.spine_table(settled(asked)), frames.rows_table(settled(rows))
    at_once = add_windows_in_bucket(spine, events, plan)
    in_blocks = add_windows_in_bucket(spine, events, plan, at_once=2)
    assert at_once.to_pylist() == in_blocks.to_pylist()


def settled(rows: list) -> list:
    """Versions or questions whose events stay with one entity: no departures are needed."""
    found = []
    for row in rows:
        name = "own_id" if isinstance(row, oracle.Question) else "event_id"
        ident = getattr(row, name)
        own = None if ident is None else ident * len(frames.KEYS) + frames.KEYS.index(row.key)
        found.append(replace(row, **{name: own}))
    return found


HALF_A_DAY = 43_200_000_000


def half_days(rows: list, plan: WindowPlan) -> tuple[list, WindowPlan]:
    """Questions or versions, and a plan, in units of half a day in place of a microsecond."""
    names = ("time", "event_time", "known_time")
    scaled = [
        replace(
            row,
            **{
                name: getattr(row, name) * HALF_A_DAY
                for name in names
                if getattr(row, name, None) is not None
            },
        )
        for row in rows
    ]
    items = tuple(
        replace(item, window_micros=item.window_micros * HALF_A_DAY) for item in plan.aggregations
    )
    delays = {name: getattr(plan, name) * HALF_A_DAY for name in ("delay", "serving_delay")}
    return scaled, replace(plan, aggregations=items, **delays)


@settings(max_examples=frames.CASES, deadline=None)
@given(
    st.lists(st.integers(-30, 50), min_size=1, max_size=6),
    st.randoms(use_true_random=False),
    frames.aggregations(),
    frames.rules,
)
def test_few_questions_have_the_answers_that_they_have_among_many(at, random, items, rule) -> None:
    rows = []
    for position in range(SPARSE * len(at) + 20):
        event_time = random.randint(-30, 30)
        late = random.choice((-2, -2, 0, 3, random.randint(0, 40)))
        ident, own = random.choice((None, *range(8))), frames.random_values(random, frames.AMOUNTS)
        rows.append(
            oracle.Version(
                (1, "2"), event_time, event_time + late, 0, position, ident, own, late == 3
            )
        )
    own = frames.random_values(random, frames.AMOUNTS)
    asked = [oracle.Question((1, "2"), time, random.choice((None, *range(8))), own) for time in at]
    # short windows: most versions are out of reach
    short = [replace(item, window_micros=min(item.window_micros, 2)) for item in items]
    stored, plan = half_days(rows, frames.window_plan(short, rule))
    few, _ = half_days(asked, plan)
    assert differences(plan, few, stored, add_windows_in_bucket) == []


def test_an_own_event_that_left_an_entity_is_found_in_the_one_it_came_to() -> None:
    """The copy that ends it where it was is out of reach of all questions there."""
    values = {"amount": 1.0, "level": 0, "risky": None}
    left, home = (9, "9"), (1, "2")
    rows = [
        oracle.Version(left, 0, 0, 0, 0, 7, values),
        oracle.Version(home, 8, 8, 0, 1, 7, values),
        oracle.Version(home, 0, 0, 0, 0, 7, values, retracted=True),
        oracle.Version(left, 8, 8, 0, 1, 7, values, retracted=True),
        *(oracle.Version(home, -40, -40, 0, 2 + at, 8 + at, values) for at in range(3 * SPARSE)),
    ]
    asked = [oracle.Question(home, 9, 7, values), oracle.Question(left, 2, None, values)]
    count = [AggregationPlan("events", "count", None, 6)]
    plan = frames.window_plan(count, WindowRule(request_event="exclude"))
    answers = add_windows_in_bucket(frames.spine_table(asked), frames.rows_table(rows), plan)
    assert answers["events"].to_pylist() == [0, 1]


def test_a_version_known_a_day_before_its_event_hides_what_it_corrects() -> None:
    """By a correction the event is long gone; both versions were known before its first time."""
    values = {"amount": 1.0, "level": 0, "risky": None}
    key = (1, "2")
    rows = [
        oracle.Version(key, 1, -1, 0, 0, 7, values),
        oracle.Version(key, -20, -1, 0, 1, 7, values),
        *(oracle.Version(key, -40, -40, 0, 2 + at, 8 + at, values) for at in range(2 * SPARSE)),
    ]
    asked = [oracle.Question(key, 2, None, values)]
    count = [AggregationPlan("events", "count", None, 2)]
    stored, plan = half_days(rows, frames.window_plan(count, frames.WindowRule()))
    few, _ = half_days(asked, plan)
    spine, events = frames.spine_table(few), frames.rows_table(stored)
    assert add_windows_in_bucket(spine, events, plan)["events"].to_pylist() == [0]
    assert differences(plan, few, stored, add_windows_in_bucket) == []


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

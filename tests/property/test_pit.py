"""The point-in-time engines against the oracle."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from feldspar.compute.pit.arrow import add_columns
from feldspar.compute.pit.online import read_at
from feldspar.compute.pit.plan import PitPlan
from property import frames, oracle

COLUMNS = {"place": "view__place", "where": "view__where", "amount": "view__amount"}


def pit_plan(ttl: int | None, serving_delay: int, as_of: str) -> PitPlan:
    return PitPlan(
        spine_keys=("customer", "branch"),
        row_keys=("who", "where"),
        spine_time="at",
        columns=COLUMNS,
        ttl=ttl,
        serving_delay=serving_delay,
        as_of=as_of,
        tombstone="_retracted",
    )


plans = st.builds(
    pit_plan,
    st.sampled_from((None, 0, 1, 3, 9)),
    st.sampled_from((0, 0, 1, 3)),
    st.sampled_from(("known", "event")),
)


@settings(max_examples=frames.CASES, deadline=None)
@given(frames.questions(), frames.versions(), plans)
def test_every_row_found_is_the_oracles(asked, rows, plan) -> None:
    answers = add_columns(frames.spine_table(asked), frames.rows_table(rows), plan)
    expected = [oracle.newest(question, rows, plan) for question in asked]
    assert answers["view__place"].to_pylist() == expected


@settings(max_examples=frames.CASES // 3, deadline=None)
@given(frames.questions(), frames.versions(), plans)
def test_columns_of_any_type_come_from_the_row_found(asked, rows, plan) -> None:
    answers = add_columns(frames.spine_table(asked), frames.rows_table(rows), plan)
    places = [oracle.newest(question, rows, plan) for question in asked]
    expected = [None if place is None else rows[place].values["amount"] for place in places]
    assert answers["view__amount"].to_pylist() == expected


@settings(max_examples=frames.CASES // 3, deadline=None)
@given(frames.questions(), frames.versions(), plans)
def test_the_spine_comes_back_as_it_was(asked, rows, plan) -> None:
    spine = frames.spine_table(asked)
    answers = add_columns(spine, frames.rows_table(rows), plan)
    assert answers.select(spine.column_names).equals(spine)


@settings(max_examples=frames.CASES, deadline=None)
@given(frames.times, frames.versions(), plans)
def test_one_row_read_online_is_visible_when_the_join_finds_it(at, rows, plan) -> None:
    for row in rows:
        question = oracle.Question(row.key, at)
        reading = read_at(
            at,
            row.event_time,
            known_time=row.known_time,
            ttl=plan.ttl,
            serving_delay=plan.serving_delay,
            as_of=plan.as_of,
        )
        found = oracle.newest(question, [row], plan)
        alive = None not in row.key and not row.retracted and reading == "visible"
        assert (found is not None) == alive

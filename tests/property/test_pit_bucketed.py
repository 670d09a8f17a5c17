"""The bucketed point-in-time engine against the oracle, over runs of any cut and order."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from feldspar.compute.pit.bucketed import add_columns
from property import frames, oracle
from property.runs import cut
from property.test_pit import plans


@settings(max_examples=frames.CASES, deadline=None)
@given(frames.questions(), frames.versions(), plans, st.integers(0, 2**32))
def test_every_row_found_is_the_oracles(asked, rows, plan, seed) -> None:
    stored = frames.rows_table(rows)
    runs = cut(stored, seed, plan.serving_delay)
    answers = add_columns(frames.spine_table(asked), runs, plan, types=stored.schema)
    expected = [oracle.newest(question, rows, plan) for question in asked]
    assert answers["view__place"].to_pylist() == expected


@settings(max_examples=frames.CASES // 3, deadline=None)
@given(frames.close_questions, frames.crowded, plans, st.integers(0, 2**32))
def test_rows_of_the_same_instant_are_told_apart(asked, rows, plan, seed) -> None:
    stored = frames.rows_table(rows)
    runs = cut(stored, seed, plan.serving_delay)
    answers = add_columns(frames.spine_table(asked), runs, plan, types=stored.schema)
    expected = [oracle.newest(question, rows, plan) for question in asked]
    assert answers["view__place"].to_pylist() == expected


@settings(max_examples=frames.CASES // 3, deadline=None)
@given(frames.questions(), frames.versions(), plans, st.integers(0, 2**32))
def test_the_spine_comes_back_as_it_was(asked, rows, plan, seed) -> None:
    spine, stored = frames.spine_table(asked), frames.rows_table(rows)
    answers = add_columns(spine, cut(stored, seed), plan, types=stored.schema)
    assert answers.select(spine.column_names).equals(spine)

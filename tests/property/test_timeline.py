"""Positions in sorted rows, also where entity and time do not fit one 64-bit key."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feldspar.compute.timeline import NEVER, Timeline, later_min, running_max
from property import frames

NEAR = st.integers(-5, 5)
FAR = st.one_of(NEAR, st.integers(-(3 * 10**17), 3 * 10**17))


def pairs(times: st.SearchStrategy[int]) -> st.SearchStrategy[list[tuple[int, int]]]:
    return st.lists(st.tuples(st.sampled_from((0, 1, 2, 50)), times), max_size=12)


@settings(max_examples=frames.CASES, deadline=None)
@given(st.one_of(st.tuples(pairs(NEAR), pairs(NEAR)), st.tuples(pairs(FAR), pairs(FAR))))
def test_until_counts_the_rows_at_or_before(both) -> None:
    rows, asked = sorted(both[0]), both[1]
    entity, time = np.array(rows, dtype=np.int64).reshape(-1, 2).T
    of, at = np.array(asked, dtype=np.int64).reshape(-1, 2).T
    expected = [sum(row <= question for row in rows) for question in asked]
    assert Timeline(entity, time).until(of, at).tolist() == expected


@settings(max_examples=frames.CASES, deadline=None)
@given(pairs(FAR))
def test_running_max_starts_anew_with_each_entity(rows) -> None:
    rows = sorted(rows, key=lambda row: row[0])
    entity, values = np.array(rows, dtype=np.int64).reshape(-1, 2).T
    expected = [
        max(value for other, value in rows[: place + 1] if other == of)
        for place, (of, _) in enumerate(rows)
    ]
    assert running_max(entity, values).tolist() == expected


@settings(max_examples=frames.CASES, deadline=None)
@given(pairs(FAR))
def test_later_min_looks_only_at_later_rows_of_the_group(rows) -> None:
    rows = sorted(rows, key=lambda row: row[0])
    group, values = np.array(rows, dtype=np.int64).reshape(-1, 2).T
    expected = [
        min((value for other, value in rows[place + 1 :] if other == of), default=NEVER)
        for place, (of, _) in enumerate(rows)
    ]
    assert later_min(group, values).tolist() == expected


@pytest.mark.parametrize("at", [-NEVER, NEVER])
def test_times_beyond_all_rows_find_the_edge_of_their_entity(at: int) -> None:
    line = Timeline(np.array([0, 1, 1, 2]), np.array([-(10**17), 10**17, 10**17 + 1, 10**17]))
    assert line.until(np.array([1]), np.array([at])).tolist() == [1 if at < 0 else 3]

"""What is merged keeps files few and rewriting small, whatever the sizes and however many."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feldspar.stores.tables.tiers import (
    BUDGET,
    FRESH,
    FULL,
    RUNS,
    Merge,
    first_to_merge,
    merge_of,
)

KB = 1_000


@dataclass
class Simulated:
    """A table whose merges are carried out on sizes alone, as OPTIMIZE does on files."""

    sizes: list[int] = field(default_factory=list)
    written: int = 0
    rewritten: int = 0
    most: int = 0
    largest_merge: int = 0

    def append(self, *sizes: int) -> None:
        self.sizes += sizes
        self.written += sum(sizes)
        merge = merge_of(self.sizes)
        if merge is not None:
            self._merge(merge)
        self.most = max(self.most, sum(size < FULL for size in self.sizes))

    def _merge(self, merge: Merge) -> None:
        bins: list[list[int]] = [[]]
        for size in sorted(one for one in self.sizes if one < merge.below):
            if sum(bins[-1]) + size > merge.upto:
                bins.append([])
            bins[-1].append(size)
        merged = [one for one in bins if len(one) > 1]
        for size in (size for one in merged for size in one):
            self.sizes.remove(size)
        self.sizes += map(sum, merged)
        self.rewritten += sum(map(sum, merged))
        self.largest_merge = max(self.largest_merge, sum(map(sum, merged)))


def simulated(batches: Iterable[tuple[int, ...]]) -> Simulated:
    """As told, but that no two files have exactly the same size, as they never have in life."""
    table, number = Simulated(), count()
    for sizes in batches:
        table.append(*[size - next(number) % 1_000 for size in sizes])
    return table


def test_few_files_are_left_alone() -> None:
    assert merge_of([30 * KB] * (FRESH + RUNS)) is None


def test_fresh_files_become_one_and_a_much_larger_run_stays() -> None:
    total = 28 * 30 * KB

    assert merge_of([9_000 * KB, *[30 * KB] * 28]) == Merge(9_000 * KB, int(1.1 * total) + 1)


def test_a_run_that_is_not_much_larger_is_merged_too() -> None:
    assert first_to_merge([9_000, 900, *[30] * 28]) == 1


def test_full_files_do_not_count() -> None:
    assert merge_of([FULL] * 1_000) is None


def test_two_thousand_equal_batches_are_rewritten_less_than_four_times() -> None:
    table = simulated([(30 * KB,)] * 2_000)

    assert (table.most <= FRESH + RUNS, table.rewritten / table.written < 4) == (True, True)


def test_a_large_table_is_not_rewritten_by_small_batches() -> None:
    table = simulated([(100 * 2**20,) * 3, *[(30 * KB,)] * 2_000])

    assert table.rewritten / table.written < 1.5


@pytest.mark.parametrize("size", [10 * KB, 1_000 * KB, 60_000 * KB, 100_000 * KB, FULL - KB])
def test_batches_of_any_size_leave_few_files_that_are_not_full(size: int) -> None:
    assert simulated([(size,)] * 300).most <= FRESH + RUNS


@given(
    st.lists(st.lists(st.integers(KB, FULL + 2 * KB), max_size=3).map(tuple), max_size=120),
    st.lists(st.integers(KB, 50 * KB), max_size=300).map(lambda sizes: [(one,) for one in sizes]),
)
def test_files_stay_few_and_merges_within_the_budget(
    large: list[tuple[int, ...]], small: list[tuple[int, ...]]
) -> None:
    table = simulated([*large, *small])

    assert table.most <= FRESH + RUNS + 3
    assert table.largest_merge <= BUDGET
    assert sum(table.sizes) == table.written

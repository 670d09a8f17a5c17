"""When a bucket is sorted as a whole again, and how much that rewrites over many batches."""

from __future__ import annotations

import pytest

from feldspar.features.merging import has_outgrown
from feldspar.stores.tables.bucketed import DataFile
from feldspar.stores.tables.tiers import FRESH, RUNS, merge_of

KB = 1_000


def file(size: int) -> DataFile:
    return DataFile("part.parquet", size // 10, size)


@pytest.mark.parametrize(
    ("sizes", "outgrown"), [([100], False), ([100, 49], False), ([100, 25, 25], True)]
)
def test_a_bucket_has_outgrown_its_run_by_half(sizes: list[int], outgrown: bool) -> None:
    assert has_outgrown(map(file, sizes)) is outgrown


def test_two_thousand_batches_are_rewritten_some_four_times() -> None:
    sizes: list[int] = []
    most = rewritten = 0
    for number in range(2_000):
        sizes.append(10 * KB - number % 7)
        merge = merge_of(sizes)
        if merge is not None:
            whole = has_outgrown(map(file, sizes))
            chosen = [size for size in sizes if whole or size < merge.below]
            sizes = [*(size for size in sizes if not whole and size >= merge.below), sum(chosen)]
            rewritten += sum(chosen)
        most = max(most, len(sizes))

    assert (most <= FRESH + RUNS, rewritten / sum(sizes) < 4.5) == (True, True)

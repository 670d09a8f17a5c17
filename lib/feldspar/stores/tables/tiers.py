"""Which files of a table are to be merged, from their sizes alone.

Each batch adds small files. Up to ``FRESH`` of them are left; then they become one run, together
with those older runs that are not much greater, and with as many as it takes for ``RUNS`` to be
left. So there are never more than ``FRESH + RUNS`` files, and a row is rewritten a few times and
not once a merge: with a bound on runs, rewriting grows with a root of the number of batches, as in
Mathieu, Staelin, Young and Yousefi, "Bigtable Merge Compaction" (2014). Files that are ``FULL`` are
done, and do not count. docs/decisions/0028 has the figures.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

FRESH = 24
"""Files that batches may leave before they are merged: what a scan opens beside the runs."""
RUNS = 4
"""Merged files that are not full yet."""
RATIO = 1.25
"""A run stays as it is where it has so many times the bytes of all that is merged beside it."""
FULL = 128 * 2**20
"""Bytes from which a file is left alone for ever."""
BUDGET = 2**30
"""Bytes that one merge rewrites at most: a stream's round waits for it."""
_SLACK = 1.1
"""A bin is somewhat larger than what is to go into it; less than ``RATIO``, so that no file that
stays fits in."""


@dataclass(frozen=True)
class Merge:
    """Files of less than ``below`` bytes become files of at most ``upto``."""

    below: int
    upto: int


def first_to_merge(sizes: Sequence[int], *, fresh: int = FRESH, runs: int = RUNS) -> int | None:
    """The place from which all files to the end are to be made one; None: there are few enough.

    Args:
        sizes: of files, what has been merged before them first, the freshest last.
        fresh: how many may wait to be merged.
        runs: how many merged ones there may be.

    >>> first_to_merge([90, 20, *[1] * 11], fresh=10, runs=2)
    1
    """
    if len(sizes) <= fresh + runs:
        return None
    place = 0
    while place < runs - 1 and sizes[place] >= RATIO * sum(sizes[place + 1 :]):
        place += 1
    return place


def merge_of(sizes: Iterable[int], *, full: int = FULL) -> Merge | None:
    """What to merge of a table whose files may be merged in any combination.

    Args:
        sizes: bytes of all its files.
        full: bytes from which a file does not count.

    Returns:
        The smallest files, as far as the budget goes; None where there is nothing to gain.
    """
    growing = sorted((size for size in sizes if size < full), reverse=True)
    place = first_to_merge(growing)
    if place is None:
        return None
    total = sum(growing[place:])
    # two are always merged, or nothing would ever get better
    while total > BUDGET and place < len(growing) - 2:
        total -= growing[place]
        place += 1
    # the smallest that stays; where it is as small as one that goes, both go
    below = max(growing[place - 1] if place else 0, growing[place] + 1)
    # any two that are not full fit in a file of twice that
    return Merge(below, min(int(_SLACK * total) + 1, 2 * full))

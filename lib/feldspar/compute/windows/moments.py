"""Count, mean and M2 (sum of squared deviations from the mean) of ranges of rows.

Two passes within a range and Chan, Golub and LeVeque's merge (1979) between ranges: nothing is
subtracted from a running total, so 1e9 + {1, 2, 3} has the variance 1.0 exactly.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from feldspar.compute.columns import Column, Doubles, Longs

BLOCK = 64
LONG = 4 * BLOCK
CHUNK = 1 << 21


@dataclass(frozen=True, eq=False)
class Moments:
    """State of n groups; an empty group has count, mean and M2 of 0."""

    count: Doubles
    mean: Doubles
    m2: Doubles

    def take(self, rows: Longs) -> Moments:
        """The states at the given positions."""
        return Moments(self.count[rows], self.mean[rows], self.m2[rows])

    def put(self, rows: Longs, other: Moments) -> None:
        """Overwrite the states at the given positions, in place."""
        self.count[rows], self.mean[rows], self.m2[rows] = other.count, other.mean, other.m2

    def merge(self, other: Moments) -> Moments:
        """The state of both groups together, position by position."""
        count = self.count + other.count
        share = other.count / np.maximum(count, 1.0)
        delta = other.mean - self.mean
        return Moments(
            count,
            self.mean + delta * share,
            self.m2 + other.m2 + delta * delta * self.count * share,
        )


def empty(size: int) -> Moments:
    """States of nothing."""
    return Moments(np.zeros(size), np.zeros(size), np.zeros(size))


def single(column: Column) -> Moments:
    """Each row as a group of its own; a null is an empty group."""
    values = column.values.astype(np.float64)
    if column.valid is None:
        return Moments(np.ones(len(values)), values, np.zeros(len(values)))
    count = column.valid.astype(np.float64)
    return Moments(count, np.where(column.valid, values, 0.0), np.zeros(len(values)))


def of_ranges(groups: Moments, start: Longs, stop: Longs) -> Moments:
    """The merged state of groups[start:stop] for each range.

    Long ranges are answered from blocks of 64 groups and two edges, level by level, so that a
    range of n groups costs O(log n) and not O(n).
    """
    result = empty(len(start))
    rows = np.flatnonzero(stop > start)
    start, stop = start[rows], stop[rows]
    if int((stop - start).sum()) <= LONG * len(rows):
        for part in chunks(stop - start, CHUNK):
            result.put(rows[part], _two_passes(groups, start[part], stop[part]))
        return result
    first, last, head, tail = block_bounds(start, stop)
    edges = np.arange(len(groups.count) // BLOCK, dtype=np.int64) * BLOCK
    blocks = of_ranges(groups, edges, edges + BLOCK)
    body = of_ranges(blocks, first, last)
    whole = of_ranges(groups, start, head).merge(body).merge(of_ranges(groups, tail, stop))
    result.put(rows, whole)
    return result


def block_bounds(start: Longs, stop: Longs) -> tuple[Longs, Longs, Longs, Longs]:
    """Cut ranges at block edges: blocks first:last, rows start:head before and tail:stop after."""
    first, last = -(-start // BLOCK), stop // BLOCK
    head = np.minimum(first * BLOCK, stop)
    return first, last, head, np.maximum(head, last * BLOCK)


def chunks(lengths: Longs, limit: int) -> Iterator[slice]:
    """Slices of consecutive items whose lengths add up to about ``limit``: bounded memory."""
    total = np.cumsum(lengths)
    at = 0
    while at < len(lengths):
        done = int(total[at - 1]) if at else 0
        end = max(at + 1, int(np.searchsorted(total, done + limit, side="right")))
        yield slice(at, end)
        at = end


def expand(start: Longs, lengths: Longs) -> Longs:
    """All positions of all ranges, one range after the other."""
    ends = np.cumsum(lengths)
    size = int(ends[-1]) if len(ends) else 0
    positions: Longs = np.arange(size) + np.repeat(start - (ends - lengths), lengths)
    return positions


def _two_passes(groups: Moments, start: Longs, stop: Longs) -> Moments:
    lengths = stop - start
    found = groups.take(expand(start, lengths))
    at = np.cumsum(lengths) - lengths
    count = np.add.reduceat(found.count, at)
    mean = np.add.reduceat(found.count * found.mean, at) / np.maximum(count, 1.0)
    off = found.mean - np.repeat(mean, lengths)
    return Moments(count, mean, np.add.reduceat(found.count * off * off + found.m2, at))

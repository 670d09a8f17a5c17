"""The events inside each window, one by one, for functions that do not merge from partial states.

It costs as much as there are pairs of a question and an event, and works through a bounded number
of them at a time; what merges is cheaper in fold.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from feldspar.compute.columns import Column, Longs
from feldspar.compute.windows.arrays import NO_EVENT
from feldspar.compute.windows.moments import chunks, expand
from feldspar.compute.windows.versions import States

PAIRS_AT_ONCE = 1 << 21
_EACH = 64
"""What a question costs besides its pairs."""


@dataclass(frozen=True, eq=False)
class Questions:
    """The spine rows that can be answered, sorted by (entity, time)."""

    entity: Longs
    time: Longs
    own_event: Longs


@dataclass(frozen=True, eq=False)
class Pieces:
    """Ranges over the ranged states: all rows, and the rest after the own event for some."""

    start: Longs
    stop: Longs
    rest: Longs
    rest_start: Longs
    rest_stop: Longs


@dataclass(frozen=True, eq=False)
class PairRanges:
    """States to be folded singly: their places, and the questions start:stop that they are in."""

    rows: Longs
    start: Longs
    stop: Longs


@dataclass(frozen=True, eq=False)
class Members:
    """What lies in the windows of ``size`` consecutive questions.

    Attributes:
        size: how many questions.
        target: the question of each member, ascending from 0.
        source: the member among the states and, behind them, the own events of all questions; in
            the order of events within a question, the own event last.
    """

    size: int
    target: Longs
    source: Longs

    def having(self, column: Column) -> tuple[Longs, Longs]:
        """Targets and sources of the members that are not null in a column of all sources."""
        if column.valid is None:
            return self.target, self.source
        kept = column.valid[self.source]
        return self.target[kept], self.source[kept]


def members(
    question: Questions, seen: States, pieces: Pieces, pairs: PairRanges, *, own: Longs
) -> Iterator[Members]:
    """The members of every window, in the order of the questions.

    Args:
        question: n questions.
        seen: all states.
        pieces: ranges of the ranged states.
        pairs: the states to be looked at singly.
        own: the questions whose own event is folded in.
    """
    ranged = np.flatnonzero(seen.ranged)
    lengths = np.maximum(pieces.stop - pieces.start, 0) + _EACH
    lengths[pieces.rest] += pieces.rest_stop - pieces.rest_start
    begun = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.add.at(begun, pairs.start, 1)
    np.subtract.at(begun, pairs.stop, 1)
    lengths += np.cumsum(begun)[:-1]
    for part in chunks(lengths, PAIRS_AT_ONCE):
        found = [
            _range(ranged, np.arange(part.start, part.stop), pieces.start, pieces.stop),
            _rest(ranged, pieces, part),
            _singly(question, seen, pairs, part),
            _own(own, part, after=len(seen.row)),
        ]
        target = np.concatenate([one for one, _ in found]) - part.start
        source = np.concatenate([one for _, one in found])
        # nearly sorted already, which a stable sort makes use of
        order = np.argsort(target * (len(seen.row) + len(lengths)) + source, kind="stable")
        yield Members(part.stop - part.start, target[order], source[order])


def _range(ranged: Longs, rows: Longs, start: Longs, stop: Longs) -> tuple[Longs, Longs]:
    lengths = np.maximum(stop[rows] - start[rows], 0)
    return np.repeat(rows, lengths), ranged[expand(start[rows], lengths)]


def _rest(ranged: Longs, pieces: Pieces, part: slice) -> tuple[Longs, Longs]:
    first, last = np.searchsorted(pieces.rest, (part.start, part.stop))
    lengths = pieces.rest_stop[first:last] - pieces.rest_start[first:last]
    source = ranged[expand(pieces.rest_start[first:last], lengths)]
    return np.repeat(pieces.rest[first:last], lengths), source


def _singly(
    question: Questions, seen: States, pairs: PairRanges, part: slice
) -> tuple[Longs, Longs]:
    start = np.clip(pairs.start, part.start, part.stop)
    lengths = np.clip(pairs.stop, part.start, part.stop) - start
    target = expand(start, lengths)
    source = np.repeat(pairs.rows, lengths)
    event = seen.event_id[source]
    other = (event == NO_EVENT) | (event != question.own_event[target])
    return target[other], source[other]


def _own(own: Longs, part: slice, *, after: int) -> tuple[Longs, Longs]:
    mine = own[(own >= part.start) & (own < part.stop)]
    return mine, after + mine

"""Positions in rows that are sorted by (entity, time): one binary search for all questions.

Entity codes are whole numbers from 0; times are int64 microseconds, before 1970 too.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from feldspar.compute.columns import Longs

NEVER = np.iinfo(np.int64).max
_ROOM = 2**62
_TWO_BYTES = 1 << 16


class Timeline:
    """Answers how many rows lie at or before a time of an entity.

    Args:
        entity: int64, shape (n,), ascending.
        time: int64, shape (n,), ascending within an entity.
    """

    def __init__(self, entity: Longs, time: Longs) -> None:
        self._first = int(time.min()) if len(time) else 0
        self._last = int(time.max()) if len(time) else 0
        self._ranks: Longs | None = None
        self._beyond = int(entity[-1]) + 1 if len(entity) else 1
        if (self._last - self._first + 2) * (self._beyond + 1) >= _ROOM:
            self._ranks = np.unique(time)
        self._span = len(self._ranks) if self._ranks is not None else self._last - self._first + 1
        self._keys = entity * self._span + self._offset(time)

    def until(self, entity: Longs, time: Longs) -> Longs:
        """The number of rows that sort at or before (entity, time), over all entities."""
        # an entity after all that have rows may have any code; its product must fit as well
        limit = np.minimum(entity, self._beyond) * self._span + self._offset(time)
        return np.searchsorted(self._keys, limit, side="right").astype(np.int64, copy=False)

    def before(self, entity: Longs, time: Longs) -> Longs:
        """The number of rows that sort before (entity, time), over all entities."""
        return self.until(entity, time - 1)

    def _offset(self, time: Longs) -> Longs:
        """From -1 (before every row) to span - 1, in the order of time."""
        if self._ranks is not None:
            return np.searchsorted(self._ranks, time, side="right") - 1
        return np.clip(time, self._first - 1, self._last) - self._first


def in_order(entity: Longs, time: Longs) -> Longs:
    """The places of rows by (entity, time); of equal ones the first stays first."""
    return np.lexsort((time, narrow(entity)))


def narrow(codes: Longs) -> npt.NDArray[np.integer[Any]]:
    """Codes from 0 in two bytes, if they fit: numpy sorts those by counting, ten times as fast."""
    return codes.astype(np.uint16) if codes.max(initial=0) < _TWO_BYTES else codes


def running_max(entity: Longs, values: Longs) -> Longs:
    """The greatest value so far within each entity; rows are grouped by ascending entity."""
    ordered, rank = np.unique(values, return_inverse=True)
    # an entity's keys all exceed those of the entities before it: the maximum starts anew
    best = np.maximum.accumulate(entity * len(ordered) + rank) if len(values) else rank
    return ordered[best % max(1, len(ordered))] if len(values) else values


def later_min(group: Longs, values: Longs) -> Longs:
    """The least value after each row within its group, or NEVER; groups ascend."""
    if len(values) == 0:
        return values
    ordered, rank = np.unique(values, return_inverse=True)
    keys = group * len(ordered) + rank
    suffix = np.minimum.accumulate(keys[::-1])[::-1]
    least = np.full(len(values), NEVER, dtype=np.int64)
    followed = group[1:] == group[:-1]
    least[:-1][followed] = ordered[suffix[1:][followed] % len(ordered)]
    return least

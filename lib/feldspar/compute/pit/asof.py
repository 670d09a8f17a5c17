"""The point-in-time kernel: which row of the entity was the newest visible one at T.

A row that is older than what was visible before it never is the newest at any T. The rows that
are left form an ordinary as-of join on visible_at, the last one winning among equals.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from feldspar.compute.columns import Bools, Longs
from feldspar.compute.pit.plan import AsOf
from feldspar.compute.timeline import Timeline

NO_ROW = -1


@dataclass(frozen=True, eq=False)
class RowArrays:
    """Rows of a view, in any order; times int64 microseconds, all of the shape (m,).

    ``entity`` holds codes shared with the spine, -1 for no key.
    """

    entity: Longs
    event_time: Longs
    known_time: Longs
    batch: Longs
    position: Longs


def newest_rows(
    entity: Longs,
    time: Longs,
    rows: RowArrays,
    *,
    ttl: int | None = None,
    serving_delay: int = 0,
    as_of: AsOf = "known",
) -> Longs:
    """The position of the newest visible row for each question (entity, time), or -1.

    Newest is by (event_time, known_time, batch, position). A row as old as the ttl still counts.
    Entity -1 has no row.
    """
    visible_at = rows.event_time
    if as_of == "known":
        visible_at = np.maximum(rows.event_time, rows.known_time + serving_delay)
    marked = _undominated(rows, visible_at)
    line = Timeline(rows.entity[marked], visible_at[marked])
    at = line.until(entity, time) - 1
    found = np.full(len(entity), NO_ROW, dtype=np.int64)
    some = np.flatnonzero((at >= 0) & (entity >= 0))
    best = marked[at[some]]
    alive: Bools = rows.entity[best] == entity[some]
    if ttl is not None:
        alive &= time[some] - rows.event_time[best] <= ttl
    found[some[alive]] = best[alive]
    return found


def _undominated(rows: RowArrays, visible_at: Longs) -> Longs:
    """Positions of the marked rows, sorted by (entity, visible_at, age)."""
    keyed = np.flatnonzero(rows.entity >= 0)
    order = (rows.position, rows.batch, rows.known_time, rows.event_time)
    by_age = keyed[np.lexsort([key[keyed] for key in order])]
    age = np.empty(len(rows.entity), dtype=np.int64)
    age[by_age] = np.arange(len(by_age))
    # a stable sort of what is sorted by age already
    ordered = by_age[np.lexsort((visible_at[by_age], rows.entity[by_age]))]
    # an entity's keys all exceed those of the entities before it: the maximum starts anew
    key = rows.entity[ordered] * max(1, len(ordered)) + age[ordered]
    return ordered[key == np.maximum.accumulate(key)] if len(ordered) else ordered

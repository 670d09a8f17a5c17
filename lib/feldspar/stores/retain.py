"""What of an entity the online store has to keep, so that it answers every T from a floor on.

Pure functions over stored rows and events, for pushes from gold and over HTTP. What is dropped here
is the newest at no such T (rows) or counts in no window at any of them (events).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import assert_never

import numpy as np
import numpy.typing as npt

from feldspar.graph.view import PlainView, View, WindowedView
from feldspar.stores.events import StoredEvents
from feldspar.stores.rows import PUSHED_BATCH, StoredRow
from feldspar.times import duration_micros

_MILLISECOND = 1_000


@dataclass(frozen=True)
class Horizon:
    """How far back the store answers; all in microseconds.

    Attributes:
        floor: the earliest T that it answers.
        retention: how far back of T an event counts.
        serving_delay: time a row needs from known_time to the store.
    """

    floor: int
    retention: int
    serving_delay: int

    @property
    def oldest(self) -> int:
        """What happened no later counts in no window that is answered."""
        return self.floor - self.retention

    def expires(self, newest: int, *, clock: int) -> int | None:
        """When a value expires; see ``expiries``."""
        return self.expiries(np.array([newest]), clock=clock)[0]

    def expiries(self, newest: npt.NDArray[np.int64], *, clock: int) -> Sequence[int | None]:
        """Milliseconds at which the floor has passed all that values answer; None: never.

        Args:
            newest: time of the newest thing in each value, microseconds, shape (n,).
            clock: of the push that set the floor, microseconds.
        """
        if not self.retention:
            return [None] * len(newest)
        lasts = self.retention + clock - self.floor
        found: list[int | None] = np.maximum(1, (newest + lasts) // _MILLISECOND + 1).tolist()
        return found


def horizon_of(view: View, floor: int) -> Horizon:
    """What the store keeps of a view from a floor on; ``retention`` of rows is their ttl."""
    match view:
        case WindowedView():
            retention = duration_micros(view.retention)
        case PlainView():
            # without a ttl rows live for ever, and no limit is ever looked at
            retention = 0 if view.ttl is None else duration_micros(view.ttl)
        case _:
            assert_never(view)
    return Horizon(floor, retention, duration_micros(view.serving_delay))


def newest_rows(rows: Sequence[StoredRow], floor: int) -> list[StoredRow]:
    """The rows that are the newest at some T >= ``floor``, oldest ``visible_at`` first.

    The one that is the newest at the floor itself comes first.
    """
    kept: list[StoredRow] = []
    best: tuple[int, int, int, int] | None = None
    for row in sorted(rows, key=lambda one: (one.visible_at, *one.rank)):
        if best is None or row.rank > best:
            best = row.rank
            if row.visible_at <= floor:
                kept.clear()
            kept.append(row)
    return kept


def living_events(events: StoredEvents, horizon: Horizon) -> StoredEvents:
    """The events that can count in a window at some T >= ``horizon.floor``.

    Of an event with several versions the newest visible at the floor is kept, and all that become
    visible later; a version outside the windows stays while it hides one inside.

    Returns:
        Those events; they also say up to when what was dropped, here or before, was known.
    """
    oldest = horizon.oldest
    ids = [one for one in events.event_id if one is not None]
    if len(set(ids)) == len(ids):
        rows = [
            row
            for row, (time, gone) in enumerate(
                zip(events.event_time, events.retracted, strict=True)
            )
            if time > oldest and not gone
        ]
    else:
        rows = _living_versions(events, horizon, oldest)
    if len(rows) == len(events):
        return events.forgetting(oldest)
    kept = set(rows)
    dropped = (time for row, time in enumerate(events.known_time) if row not in kept)
    return events.take(rows).forgetting(max(oldest, *dropped))


def without_pushed(held: StoredEvents, gold: StoredEvents) -> StoredEvents:
    """The events without those pushed over HTTP that gold has brought since."""
    if PUSHED_BATCH not in held.batch:
        return held
    told = set(zip(gold.event_id, gold.known_time, strict=True))
    versions = zip(held.event_id, held.known_time, held.batch, strict=True)
    kept = [
        place
        for place, (ident, known, batch) in enumerate(versions)
        if batch != PUSHED_BATCH or (ident, known) not in told
    ]
    return held.take(kept)


def _living_versions(events: StoredEvents, horizon: Horizon, oldest: int) -> list[int]:
    versions: dict[Hashable, list[int]] = defaultdict(list)
    for row, ident in enumerate(events.event_id):
        versions[("no id", row) if ident is None else ident].append(row)
    kept: list[int] = []
    for rows in versions.values():
        settled = [row for row in rows if _visible_at(events, row, horizon) <= horizon.floor]
        newest = sorted(settled, key=lambda row: _age(events, row))[-1:]
        left = [*newest, *(row for row in rows if row not in settled)]
        if any(events.event_time[row] > oldest and not events.retracted[row] for row in left):
            kept += left
    return sorted(kept)


def _visible_at(events: StoredEvents, row: int, horizon: Horizon) -> int:
    return max(events.event_time[row], events.known_time[row] + horizon.serving_delay)


def _age(events: StoredEvents, row: int) -> tuple[int, int, int]:
    return events.known_time[row], events.batch[row], events.position[row]

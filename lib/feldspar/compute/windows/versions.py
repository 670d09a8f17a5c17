"""From stored versions to the states that somebody can see, and from when to when.

A version is its event's state at T if it is visible at T and no newer visible one exists, in the
order (known_time, batch, position). That holds for one interval of T, [visible_at, until).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from feldspar.compute.columns import Bools, Longs
from feldspar.compute.timeline import NEVER, in_order, later_min, running_max
from feldspar.compute.windows.arrays import NO_EVENT, EventArrays
from feldspar.compute.windows.rule import WindowRule

OVERTAKEN_BY = 16


@dataclass(frozen=True, eq=False)
class States:
    """States sorted by (entity, event_time, known_time, batch, position); arrays of shape (k,).

    Attributes:
        row: where the version stands in its EventArrays.
        entity, event_id, event_time: of the version.
        visible_at, until: the T at which it is its event's state, half open.
        ranged_from: from this T on it and all ``ranged`` rows before it are visible; NEVER for a
            row that is not ranged.
        ranged: rows without end that range sums may rely on once they are visible.
    """

    row: Longs
    entity: Longs
    event_id: Longs
    event_time: Longs
    visible_at: Longs
    until: Longs
    ranged_from: Longs
    ranged: Bools


def states(events: EventArrays, rule: WindowRule) -> States:
    """The versions that are a state at some T, with their intervals.

    Rows that arrive in order, or late by about as much as their neighbours, are ranged. A row
    that more than 16 later ones overtook, or that ends, is not: it would hold up all after it.
    """
    visible_at, until = _intervals(events, rule)
    keep = (events.entity >= 0) & (visible_at < until)
    if events.retracted is not None:
        keep &= ~events.retracted
    rows = np.flatnonzero(keep)
    rows = _in_order(events, rows)
    entity, event_time = events.entity[rows], events.event_time[rows]
    visible_at, until = visible_at[rows], until[rows]
    ranged = until == NEVER
    ranged_from = np.full(len(rows), NEVER, dtype=np.int64)
    if bool((visible_at > event_time + rule.delay).any()):
        ranged &= ~_overtaken(entity, visible_at)
        ranged_from[ranged] = running_max(entity[ranged], visible_at[ranged])
    else:
        ranged_from[ranged] = event_time[ranged]
    return States(
        rows, entity, events.event_id[rows], event_time, visible_at, until, ranged_from, ranged
    )


def _in_order(events: EventArrays, rows: Longs) -> Longs:
    rows = rows[in_order(events.entity[rows], events.event_time[rows])]
    entity, time = events.entity[rows], events.event_time[rows]
    tied = np.zeros(len(rows) + 1, dtype=np.bool_)
    tied[1:-1] = (entity[1:] == entity[:-1]) & (time[1:] == time[:-1])
    # few: only those of one entity at one instant are sorted by more
    places = np.flatnonzero(tied[1:] | tied[:-1])
    group = np.cumsum(~tied[:-1])[places]
    among = rows[places]
    age = (events.position[among], events.batch[among], events.known_time[among], group)
    rows[places] = among[np.lexsort(age)]
    return rows


def _intervals(events: EventArrays, rule: WindowRule) -> tuple[Longs, Longs]:
    visible_at = np.maximum(events.event_time, events.known_time + rule.serving_delay)
    until = np.full(len(visible_at), NEVER, dtype=np.int64)
    named = events.event_id != NO_EVENT
    times_seen = np.bincount(events.event_id[named])
    rows = np.flatnonzero(named)
    rows = rows[times_seen[events.event_id[rows]] > 1]
    event = events.event_id[rows]
    if events.with_departures:
        event = np.unique(events.entity[rows] * len(times_seen) + event, return_inverse=True)[1]
    by_age = np.lexsort((events.position[rows], events.batch[rows], events.known_time[rows], event))
    rows, event = rows[by_age], event[by_age]
    if rule.as_of == "event":
        # all versions count as known at once: older ones never were, the newest always is
        until[rows] = later_min(event, np.full(len(rows), -NEVER))
        return events.event_time, until
    until[rows] = later_min(event, visible_at[rows])
    return visible_at, until


def _overtaken(entity: Longs, visible_at: Longs) -> Bools:
    """Rows, sorted by (entity, event_time), that many later ones became visible before."""
    order = in_order(entity, visible_at)
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    overtaken: Bools = place - np.arange(len(order)) > OVERTAKEN_BY
    return overtaken

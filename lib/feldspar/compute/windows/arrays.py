"""The two inputs of the window kernel as plain arrays.

Instants are int64 microseconds since the epoch. Frames with names come in through arrow.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from feldspar.compute.columns import Bools, Column, Longs

NO_EVENT = -1


@dataclass(frozen=True, eq=False)
class SpineArrays:
    """The questions: an entity and a time each.

    Attributes:
        entity: int64 codes, shape (n,); -1 where there is no key or no time: all answers null.
        time: int64 microseconds T.
        own_event: int64 codes of the request's own event, -1 for none; None: no row has one.
        own: the own event's aggregated columns as the spine row states them.
    """

    entity: Longs
    time: Longs
    own_event: Longs | None = None
    own: Mapping[str, Column] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class EventArrays:
    """Stored versions of events, in any order.

    Attributes:
        entity: int64 codes, shape (m,), shared with the spine; -1 for no key.
        event_id: int64 codes, shared with ``own_event``; -1: an event of its own without a name.
        event_time, known_time: int64 microseconds.
        batch, position: int64; order versions of the same known_time.
        arguments: the aggregated columns.
        retracted: bool; the version says that the event is not (or no longer) this entity's.
        with_departures: an event that changed its entity left retracted copies of its versions
            elsewhere with each entity it ever had, so that versions compete within one entity.
    """

    entity: Longs
    event_id: Longs
    event_time: Longs
    known_time: Longs
    batch: Longs
    position: Longs
    arguments: Mapping[str, Column] = field(default_factory=dict)
    retracted: Bools | None = None
    with_departures: bool = False

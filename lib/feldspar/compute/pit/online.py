"""Whether a row read from the online store answers at T: the decision of asof.py for one row.

The store keeps an entity's newest row; if that one has run out, so have all older ones.
"""

from __future__ import annotations

from typing import Literal

from feldspar.compute.pit.plan import AsOf

Reading = Literal["visible", "pending", "expired"]


def read_at(
    t: int,
    event_time: int,
    *,
    known_time: int,
    ttl: int | None = None,
    serving_delay: int = 0,
    as_of: AsOf = "known",
) -> Reading:
    """What a row of ``event_time`` and ``known_time`` is at ``t``; all in microseconds.

    ``pending``: not visible yet. ``expired``: older than the ttl; as old as the ttl is visible.

    >>> read_at(10, 4, known_time=4, ttl=6), read_at(11, 4, known_time=4, ttl=6)
    ('visible', 'expired')
    """
    visible_at = event_time if as_of == "event" else max(event_time, known_time + serving_delay)
    if t < visible_at:
        return "pending"
    return "expired" if ttl is not None and t - event_time > ttl else "visible"

"""The rows that a push brings, put into the value that the store holds already, or why not.

A value says up to which version of gold it goes. Where it and the added rows alone cannot tell what
a rebuild from gold would write, the answer is to read the entity's history again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from feldspar.online.state import EntityState, advanced, empty_state, series_of, unpack_state
from feldspar.stores.events import StoredEvents, stamp_of
from feldspar.stores.retain import Horizon, without_pushed
from feldspar.stores.rows import Layout


class Verdict(Enum):
    """What else than a new state may come of added rows."""

    HELD = "the value has them"
    HISTORY = "its history has to be read"


@dataclass(frozen=True)
class Span:
    """The versions (after, upto] of gold that rows were added in, and the epoch of the push."""

    after: int
    upto: int
    epoch: int


@dataclass(frozen=True)
class Added:
    """The rows of one entity that a span added.

    Attributes:
        events: all of them, in any order.
        again: whether gold has another version of one of them, with whatever entity. Looked at
            for tiled views alone.
    """

    events: StoredEvents
    again: bool = False


def advance(
    value: bytes | None, added: Added, span: Span, horizon: Horizon, layout: Layout
) -> EntityState | Verdict:
    """What the store is to hold of an entity.

    Args:
        value: what it holds; None is an entity that has had nothing to keep.
        added: the rows of the span.
        span: all of gold up to ``after`` has been pushed.
        horizon: of this push; its floor is no earlier than that of any push before.
        layout: of the view.
    """
    if value is None:
        state = empty_state(layout, horizon)
    else:
        stamp = stamp_of(value)
        if (stamp.epoch, stamp.version) >= (span.epoch, span.upto):
            return Verdict.HELD
        if (stamp.layout, stamp.epoch) != (layout.id, span.epoch) or stamp.version > span.after:
            # of another definition, or of a push that was stopped and had part of these rows
            return Verdict.HISTORY
        state = unpack_state(layout, value)
    state = replace(state, events=without_pushed(state.events, added.events))
    corrects = added.again if series_of(layout) else _may_be_hidden(state, added.events, horizon)
    return Verdict.HISTORY if corrects else advanced(state, added.events, horizon, layout)


def _may_be_hidden(state: EntityState, added: StoredEvents, horizon: Horizon) -> bool:
    """Whether a version that the state dropped may be newer than one that would count now.

    A version never hides one that was known later; see ``StoredEvents.forgotten``.
    """
    forgotten = max(state.events.forgotten, horizon.oldest)
    clocks = zip(added.known_time, added.event_time, strict=True)
    return any(known <= forgotten and time > horizon.oldest for known, time in clocks)

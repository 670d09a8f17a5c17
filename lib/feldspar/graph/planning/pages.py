"""Whether an HTTP source is asked for more, from where on, and which pages wait to be loaded."""

from __future__ import annotations

from dataclasses import dataclass

from feldspar.graph.observed import Asking, PagesState
from feldspar.graph.steps import Status
from feldspar.spec.source import HttpSource
from feldspar.times import MICROSECOND, duration_micros, format_duration, rough_duration


@dataclass(frozen=True)
class NextPages:
    """What a step that asks a server would do."""

    status: Status
    reason: str
    asking: Asking | None = None


def next_pages(state: PagesState, source: HttpSource) -> NextPages:
    """An unfinished round goes on; a new one begins when it is due."""
    told = [f"{len(state.waiting)} pages wait to be loaded"] if state.waiting else []
    since = source.since.after(state.newest) if source.since else None
    asking = Asking(state.pages, state.next, since if state.next is None else state.since)
    left = 0 if state.asked is None else state.asked + duration_micros(source.every) - state.at
    if state.next is not None:
        told.append(f"the list goes on at page {state.pages + 1:,}")
    elif left <= 0:
        told.append(f"asks for items since {since}" if since else "asks for all items")
    elif told:
        return NextPages(Status.RUN, told[0])
    else:
        due = rough_duration(left * MICROSECOND)
        text = f"asked every {format_duration(source.every)}, the next time in {due}"
        return NextPages(Status.NOTHING, text)
    return NextPages(Status.RUN, "; ".join(told), asking)

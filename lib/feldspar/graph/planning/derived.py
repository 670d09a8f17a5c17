"""What tables that follow from silver have in common: when they are built, rebuilt, or go on."""

from __future__ import annotations

from dataclasses import dataclass

from feldspar.graph.changes import Change, compare
from feldspar.graph.observed import TableState
from feldspar.graph.planning.draft import Draft
from feldspar.graph.steps import Mode, Status


@dataclass(frozen=True)
class Build:
    """What one step would do."""

    status: Status
    reason: str
    after: int | None = None
    mode: Mode = Mode.APPEND
    columns: tuple[str, ...] = ()


def change_of(kept: TableState, definition: str) -> Change:
    """What changed since a table was built; nothing where it does not say from what."""
    return compare(kept.definition, definition) if kept.definition else Change()


def anew(
    draft: Draft, kept: TableState, change: Change, *, silver: str, done: int | None
) -> Build | None:
    """A rebuild, or what waits for one to be accepted; None where the table may go on."""
    if change.breaking and not draft.accept:
        text = f"definition changed, {change}: say --accept to rebuild"
        return Build(Status.BLOCKED, text, after=done)
    if change.breaking:
        return Build(Status.RUN, f"rebuilt: definition changed, {change}", mode=Mode.REBUILD)
    if kept.source_generation != draft.generation("silver", silver):
        return Build(Status.RUN, f"rebuilt: silver.{silver} is rebuilt", mode=Mode.REBUILD)
    return None


def going_on(draft: Draft, silver: str, done: int | None) -> Build:
    """From the version of silver that was read last to the newest."""
    state = draft.state("silver", silver)
    if state is None or ("silver", silver) in draft.dirty:
        return Build(Status.RUN, f"silver.{silver} gets new rows in this run", after=done)
    if done is None or state.version > done:
        text = f"behind silver.{silver}: version {done} of {state.version}"
        return Build(Status.RUN, text, after=done)
    return Build(Status.NOTHING, f"equals version {done} of silver.{silver}", after=done)

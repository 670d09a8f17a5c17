"""Steps that keep the history of silver tables."""

from __future__ import annotations

from collections.abc import Iterator

from feldspar.graph.graph import History
from feldspar.graph.planning.derived import Build, anew, change_of, going_on
from feldspar.graph.planning.draft import Draft
from feldspar.graph.steps import HistoryStep, Mode, Status, Step
from feldspar.names import cursor


def history_steps(draft: Draft) -> Iterator[Step]:
    """One step for each table that has a history."""
    for table in draft.graph.tables.values():
        if table.history is None:
            continue
        name = f"history.{table.name}"
        build = _build(draft, table.name, table.history)
        status, reason = draft.due(name, build.status, build.reason)
        number = draft.generation("history", table.name)
        yield HistoryStep(
            name,
            status,
            reason,
            table=table.name,
            after=build.after,
            mode=build.mode,
            generation=number + 1 if build.mode is Mode.REBUILD else number,
            source_generation=draft.generation("silver", table.name),
        )


def _build(draft: Draft, name: str, history: History) -> Build:
    kept = draft.state("history", name)
    if not draft.exists("silver", name):
        return Build(Status.OFF, f"silver.{name} has no rows")
    if kept is None:
        return Build(Status.RUN, f"not built yet, from silver.{name}")
    change = change_of(kept, history.definition)
    done = kept.cursors.get(cursor("history", name, kept.generation))
    rebuilt = anew(draft, kept, change, silver=name, done=done)
    if rebuilt is not None:
        return rebuilt
    if change:
        return Build(Status.RUN, f"definition changed, {change}", after=done)
    return going_on(draft, name, done)

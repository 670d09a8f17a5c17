"""Steps that keep the history of silver tables."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from feldspar.graph.changes import compare
from feldspar.graph.graph import History
from feldspar.graph.planning.draft import Draft
from feldspar.graph.steps import HistoryStep, Mode, Status, Step
from feldspar.names import cursor


@dataclass(frozen=True)
class _Build:
    """What one history step would do."""

    status: Status
    reason: str
    after: int | None = None
    mode: Mode = Mode.APPEND


def history_steps(draft: Draft) -> Iterator[Step]:
    """One step for each table that has a history."""
    for table in draft.graph.tables.values():
        if table.history is None:
            continue
        build = _build(draft, table.name, table.history)
        number = draft.generation("history", table.name)
        yield HistoryStep(
            f"history.{table.name}",
            build.status,
            build.reason,
            table=table.name,
            after=build.after,
            mode=build.mode,
            generation=number + 1 if build.mode is Mode.REBUILD else number,
            source_generation=draft.generation("silver", table.name),
        )


def _build(draft: Draft, name: str, history: History) -> _Build:
    kept = draft.state("history", name)
    if not draft.exists("silver", name):
        return _Build(Status.OFF, f"silver.{name} has no rows")
    if kept is None:
        return _Build(Status.RUN, f"not built yet, from silver.{name}")
    change = compare(kept.definition or history.definition, history.definition)
    done = kept.cursors.get(cursor("history", name, kept.generation))
    if change.breaking and not draft.accept:
        text = f"definition changed, {change}: say --accept to rebuild"
        return _Build(Status.BLOCKED, text, after=done)
    if change.breaking:
        return _Build(Status.RUN, f"rebuilt: definition changed, {change}", mode=Mode.REBUILD)
    if kept.source_generation != draft.generation("silver", name):
        return _Build(Status.RUN, f"rebuilt: silver.{name} is rebuilt", mode=Mode.REBUILD)
    if change:
        return _Build(Status.RUN, f"definition changed, {change}", after=done)
    return _newer(draft, name, done)


def _newer(draft: Draft, name: str, done: int | None) -> _Build:
    silver = draft.state("silver", name)
    if silver is None or ("silver", name) in draft.dirty:
        return _Build(Status.RUN, f"silver.{name} gets new rows in this run", after=done)
    if done is None or silver.version > done:
        text = f"behind silver.{name}: version {done} of {silver.version}"
        return _Build(Status.RUN, text, after=done)
    return _Build(Status.NOTHING, f"equals version {done} of silver.{name}", after=done)

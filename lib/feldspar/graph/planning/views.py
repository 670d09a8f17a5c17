"""Steps that make gold tables and bring them to Redis."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from feldspar.graph.changes import Change, compare
from feldspar.graph.planning.draft import Draft
from feldspar.graph.steps import FeaturesStep, Mode, OnlineStep, Status, Step
from feldspar.graph.view import View
from feldspar.names import GOLD_LAYOUT, cursor, value_fingerprint


@dataclass(frozen=True)
class _Build:
    """What one features step would do."""

    status: Status
    reason: str
    after: int | None = None
    mode: Mode = Mode.APPEND
    columns: tuple[str, ...] = ()


def features_steps(draft: Draft) -> Iterator[Step]:
    """One step for each view."""
    for view in draft.graph.views.values():
        gold = draft.state("gold", view.name)
        build = _build(draft, view)
        number = gold.generation if gold else 0
        number += 1 if build.mode is Mode.REBUILD else 0
        if build.status is Status.RUN:
            draft.dirty.add(("gold", view.name))
            draft.rebuilt["gold", view.name] = number
        yield FeaturesStep(
            f"gold.{view.name}",
            build.status,
            build.reason,
            view=view.name,
            after=build.after,
            mode=build.mode,
            columns=build.columns,
            generation=number,
            source_generation=draft.generation("silver", view.table),
        )


def _build(draft: Draft, view: View) -> _Build:
    gold = draft.state("gold", view.name)
    if not draft.exists("silver", view.table):
        return _Build(Status.OFF, f"silver.{view.table} has no rows")
    if gold is None:
        return _Build(Status.RUN, f"not built yet, from silver.{view.table}")
    change = compare(gold.definition, view.definition) if gold.definition else Change()
    done = gold.cursors.get(cursor("features", view.name, gold.generation))
    if change.breaking and not draft.accept:
        text = f"definition changed, {change}: say --accept to rebuild"
        return _Build(Status.BLOCKED, text, after=done)
    if change.breaking:
        return _Build(Status.RUN, f"rebuilt: definition changed, {change}", mode=Mode.REBUILD)
    if gold.source_generation != draft.generation("silver", view.table):
        return _Build(Status.RUN, f"rebuilt: silver.{view.table} is rebuilt", mode=Mode.REBUILD)
    if gold.layout != GOLD_LAYOUT:
        return _Build(Status.RUN, "rebuilt: its files have an older layout", mode=Mode.REBUILD)
    if change:
        text, added = f"definition changed, {change}", _added_features(change)
        return _Build(Status.RUN, text, after=done, mode=Mode.BACKFILL, columns=added)
    return _append(draft, view, done)


def _append(draft: Draft, view: View, done: int | None) -> _Build:
    silver = draft.state("silver", view.table)
    if silver is None or ("silver", view.table) in draft.dirty:
        text = f"silver.{view.table} gets new rows in this run"
        return _Build(Status.RUN, text, after=done)
    if done is None or silver.version > done:
        text = f"behind silver.{view.table}: version {done} of {silver.version}"
        return _Build(Status.RUN, text, after=done)
    return _Build(Status.NOTHING, f"equals version {done} of silver.{view.table}", after=done)


def _added_features(change: Change) -> tuple[str, ...]:
    return tuple(path.rpartition(".")[2] for path in change.added if ".features." in f".{path}")


def online_steps(draft: Draft) -> Iterator[Step]:
    """One step for each view."""
    for view in draft.graph.views.values():
        status, reason, after = _push(draft, view)
        yield OnlineStep(
            f"online {view.name}",
            status,
            reason,
            view=view.name,
            after=after,
            generation=draft.generation("gold", view.name),
        )


def _push(draft: Draft, view: View) -> tuple[Status, str, int | None]:
    pushed, gold = draft.observed.pushed.get(view.name), draft.state("gold", view.name)
    if not draft.exists("gold", view.name):
        return Status.OFF, f"gold.{view.name} has no rows", None
    if pushed is None:
        return Status.RUN, "Redis holds nothing of it: push every entity", None
    same = pushed.definition == value_fingerprint(view.definition)
    if not same or pushed.generation != draft.generation("gold", view.name):
        return Status.RUN, "packed by another definition: push every entity", None
    if gold is None or ("gold", view.name) in draft.dirty:
        return Status.RUN, f"gold.{view.name} changes in this run", pushed.version
    if gold.version > pushed.version:
        return Status.RUN, f"version {pushed.version} of {gold.version}", pushed.version
    text = f"equals version {pushed.version} of gold.{view.name}"
    return Status.NOTHING, text, pushed.version

"""Steps that make gold tables and bring them to Redis."""

from __future__ import annotations

from collections.abc import Iterator

from feldspar.graph.changes import Change
from feldspar.graph.planning.derived import Build, anew, change_of, going_on
from feldspar.graph.planning.draft import Draft
from feldspar.graph.steps import FeaturesStep, Mode, OnlineStep, Status, Step
from feldspar.graph.view import View
from feldspar.names import GOLD_LAYOUT, cursor, value_fingerprint


def features_steps(draft: Draft) -> Iterator[Step]:
    """One step for each view."""
    for view in draft.graph.views.values():
        gold = draft.state("gold", view.name)
        build = _build(draft, view)
        status, reason = draft.due(f"gold.{view.name}", build.status, build.reason)
        number = gold.generation if gold else 0
        number += 1 if build.mode is Mode.REBUILD else 0
        if status is Status.RUN:
            draft.dirty.add(("gold", view.name))
            draft.rebuilt["gold", view.name] = number
        yield FeaturesStep(
            f"gold.{view.name}",
            status,
            reason,
            view=view.name,
            after=build.after,
            mode=build.mode,
            columns=build.columns,
            generation=number,
            source_generation=draft.generation("silver", view.table),
        )


def _build(draft: Draft, view: View) -> Build:
    gold = draft.state("gold", view.name)
    if not draft.exists("silver", view.table):
        return Build(Status.OFF, f"silver.{view.table} has no rows")
    if gold is None:
        return Build(Status.RUN, f"not built yet, from silver.{view.table}")
    change = change_of(gold, view.definition)
    done = gold.cursors.get(cursor("features", view.name, gold.generation))
    rebuilt = anew(draft, gold, change, silver=view.table, done=done)
    if rebuilt is not None:
        return rebuilt
    if gold.layout != GOLD_LAYOUT:
        return Build(Status.RUN, "rebuilt: its files have an older layout", mode=Mode.REBUILD)
    if change:
        text, added = f"definition changed, {change}", _added_features(change)
        return Build(Status.RUN, text, after=done, mode=Mode.BACKFILL, columns=added)
    return going_on(draft, view.table, done)


def _added_features(change: Change) -> tuple[str, ...]:
    return tuple(path.rpartition(".")[2] for path in change.added if ".features." in f".{path}")


def online_steps(draft: Draft) -> Iterator[Step]:
    """One step for each view."""
    for view in draft.graph.views.values():
        planned, why, after = _push(draft, view)
        status, reason = draft.due(f"online {view.name}", planned, why)
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
    if pushed.lost:
        return Status.RUN, f"{pushed.lost}: push every entity", None
    if gold is None or ("gold", view.name) in draft.dirty:
        return Status.RUN, f"gold.{view.name} changes in this run", pushed.version
    if gold.version > pushed.version:
        return Status.RUN, f"version {pushed.version} of {gold.version}", pushed.version
    text = f"equals version {pushed.version} of gold.{view.name}"
    return Status.NOTHING, text, pushed.version

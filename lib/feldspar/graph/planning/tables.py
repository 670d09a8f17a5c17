"""Steps that make silver tables, and those that hold finished tables against expectations."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from feldspar.graph.changes import Change, compare
from feldspar.graph.graph import Table
from feldspar.graph.planning.draft import Draft
from feldspar.graph.steps import Mode, QualityStep, RefineStep, Status, Step
from feldspar.names import cursor
from feldspar.spec.source import DeltaSource


@dataclass(frozen=True)
class _Batch:
    """What one refine step would do."""

    status: Status
    reason: str
    after: int | None = None
    upto: int | None = None
    mode: Mode = Mode.APPEND


def refine_steps(draft: Draft) -> Iterator[Step]:
    """One step for each table, and one more where a batch was interrupted."""
    for table in draft.graph.tables.values():
        silver = draft.state("silver", table.name)
        generation = silver.generation if silver else 0
        for batch in _batches(draft, table):
            number = generation + 1 if batch.mode is Mode.REBUILD else generation
            status, reason = draft.due(f"silver.{table.name}", batch.status, batch.reason)
            if status is Status.RUN:
                draft.dirty.add(("silver", table.name))
                draft.rebuilt["silver", table.name] = number
            yield RefineStep(
                f"silver.{table.name}",
                status,
                reason,
                table=table.name,
                after=batch.after,
                upto=batch.upto,
                mode=batch.mode,
                generation=number,
            )


def _batches(draft: Draft, table: Table) -> Iterator[_Batch]:
    incoming = ("bronze", table.source_name) in draft.dirty
    version = _source_version(draft, table)
    if version is None and not incoming:
        yield _Batch(Status.OFF, f"source {table.source_name} has brought nothing")
        return
    change = _change(draft, table)
    confirmed, begun = _progress(draft, table)
    broken = _broken(table, change, version, confirmed=confirmed) or _retyped(draft, table)
    if broken and not draft.accept:
        yield _Batch(Status.BLOCKED, f"{broken}: say --accept to rebuild")
        return
    if broken:
        yield _Batch(Status.RUN, f"{broken}: rebuilt from its source", mode=Mode.REBUILD)
        return
    if begun is not None and (confirmed is None or begun > confirmed):
        text = f"a batch up to version {begun} was interrupted: finish it"
        yield _Batch(Status.RUN, text, after=confirmed, upto=begun)
        confirmed = begun
    status, reason = _newer(table, version, confirmed, change=change, incoming=incoming)
    yield _Batch(status, reason, after=confirmed)


def _retyped(draft: Draft, table: Table) -> str:
    """A column that was added as it came (``unknown_columns: evolve``), and is declared since, as
    something else.
    """
    silver = draft.state("silver", table.name)
    held = silver.columns if silver else {}
    changed = [
        f"{name} is {held[name]}, declared {kind.spark}"
        for name, kind in table.types().items()
        if name in held and held[name] != kind.spark
    ]
    return f"columns have other types: {'; '.join(changed)}" if changed else ""


def _broken(table: Table, change: Change, version: int | None, *, confirmed: int | None) -> str:
    """Why only a rebuild helps; empty where the table can go on."""
    if change.breaking:
        return f"definition changed, {change}"
    if version is not None and confirmed is not None and version < confirmed:
        return f"{table.source_name} was made anew: version {version}, read up to {confirmed}"
    return ""


def _newer(
    table: Table, version: int | None, confirmed: int | None, *, change: Change, incoming: bool
) -> tuple[Status, str]:
    if incoming or version is None:
        return Status.RUN, f"{table.source_name} gets new rows in this run"
    if confirmed is None or version > confirmed:
        return Status.RUN, f"behind its source: version {confirmed} of {version}"
    if change:
        return Status.RUN, f"definition changed, {change}"
    return Status.NOTHING, f"up to version {version} of its source"


def _change(draft: Draft, table: Table) -> Change:
    silver = draft.state("silver", table.name)
    if silver is None or silver.definition is None:
        return Change()
    return compare(silver.definition, table.definition)


def _progress(draft: Draft, table: Table) -> tuple[int | None, int | None]:
    """Source version that the ledger confirms, and the newest that quarantine or silver began."""
    key = cursor("refine", table.name, draft.generation("silver", table.name))

    def at(layer: str, name: str) -> int | None:
        state = draft.state(layer, name)
        return state.cursors.get(key) if state else None

    begun = [at("quarantine", table.name), at("silver", table.name)]
    return at("ops", "ledger"), max((one for one in begun if one is not None), default=None)


def _source_version(draft: Draft, table: Table) -> int | None:
    if isinstance(table.source, DeltaSource):
        source = draft.observed.sources.get(table.source_name)
        return source.version if source else None
    bronze = draft.state("bronze", table.source_name)
    return bronze.version if bronze else None


def quality_steps(draft: Draft) -> Iterator[Step]:
    """One step for each silver and gold table."""
    names = [("silver", name) for name in draft.graph.tables]
    names += [("gold", name) for name in draft.graph.views]
    for layer, name in names:
        status, reason = _quality(draft, layer, name)
        label = f"expectations of {layer}.{name}"
        yield QualityStep(label, status, reason, layer=layer, table=name)


def _quality(draft: Draft, layer: str, name: str) -> tuple[Status, str]:
    state, results = draft.state(layer, name), draft.state("ops", "validations")
    held = results.cursors.get(cursor("quality", f"{layer}.{name}")) if results else None
    if not draft.exists(layer, name):
        return Status.OFF, "no such table yet"
    if state is None or held is None:
        return Status.RUN, "never held against its expectations"
    if (layer, name) in draft.dirty or state.version > held:
        return Status.RUN, f"changed since version {held}"
    return Status.NOTHING, f"version {held} was held against them"

"""Resolves what is kept of a table's changes: sequence, deletes, columns."""

from __future__ import annotations

from feldspar.graph.canonical import canonical
from feldspar.graph.graph import History, Table
from feldspar.graph.problems import Place, Problems
from feldspar.names import VALID_FROM, VALID_TO
from feldspar.spec.expression import parse, type_of
from feldspar.spec.source import KnownByColumn, TableSource
from feldspar.spec.syntax import Expression, ExpressionError
from feldspar.spec.table import HistorySpec, TableSpec
from feldspar.spec.types import ColumnType

ORDERED = (ColumnType.INT, ColumnType.BIGINT, ColumnType.TIMESTAMP, ColumnType.DATE)
"""Types whose order is surely the one that is meant: of texts, "10" comes before "9"."""


def compile_history(
    spec: TableSpec, source: TableSource, *, place: Place, problems: Problems
) -> History | None:
    """The history of a table; None where there is none, or where it could not be resolved."""
    history = spec.history
    if history is None:
        return None
    sequence = history.sequence_by or (source.event_time,)
    place = place.at("history")
    deletes = _deletes(history, spec, place=place, problems=problems)
    _check_sequence(history.sequence_by, spec, place=place, problems=problems)
    _check_snapshots(history, place=place, problems=problems)
    _check_columns(history, sequence, spec, place=place, problems=problems)
    if not set(sequence) <= set(spec.columns):
        return None
    columns = tuple(name for name in spec.columns if name not in history.without)
    clocks = [rule.column for rule in source.known_time if isinstance(rule, KnownByColumn)]
    apart = {*spec.key, *sequence, source.event_time, *clocks}
    compared = tuple(name for name in columns if name not in apart)
    stored = {
        "history": history,
        "sequence": sequence,
        "key": spec.key,
        "columns": {name: spec.columns[name].type for name in columns},
        "times": sorted({source.event_time, *clocks}),
    }
    return History(
        kind=history.kind,
        rows=history.rows,
        sequence=sequence,
        deletes=deletes,
        columns=columns,
        compared=compared,
        definition=canonical(stored),
    )


def refuse_deletes(table: Table, place: Place, problems: Problems) -> None:
    """Notes that what is defined at ``place`` would take a table's deletes for rows."""
    if table.deletes_rows and not problems.is_broken("tables", table.name):
        problems.note(
            place,
            f"silver.{table.name} holds deletes ('delete_when'), which would count as rows here",
            hint=f"query history.{table.name}; views and spines of such tables are not there yet",
        )


def _deletes(
    history: HistorySpec, spec: TableSpec, *, place: Place, problems: Problems
) -> Expression | None:
    text, place = history.delete_when, place.at("delete_when")
    if text is None:
        return None
    types = {name: column.type for name, column in spec.columns.items()}
    try:
        expression = parse(text)
        kind = type_of(expression, types)
    except ExpressionError as error:
        problems.expression(place, text, error, table=place.name, types=types)
        return None
    if kind is not ColumnType.BOOLEAN:
        problems.note(place, f"{text} is {kind.value}, not true or false")
    return expression


def _check_sequence(
    sequence: tuple[str, ...], spec: TableSpec, *, place: Place, problems: Problems
) -> None:
    types = {name: column.type for name, column in spec.columns.items()}
    for name in sequence:
        where = place.at("sequence_by")
        if name not in types:
            problems.no_column(where, "sequence_by", name, table=place.name, types=types)
        elif types[name] not in ORDERED:
            listed = ", ".join(ORDERED[:-1])
            text = f"sequence_by is {listed} or {ORDERED[-1]}; {name} is {types[name]}"
            problems.note(where, text)


def _check_snapshots(history: HistorySpec, *, place: Place, problems: Problems) -> None:
    if history.rows == "changes":
        return
    if history.delete_when is not None:
        text = "a snapshot tells that a key is gone by lacking it: 'delete_when' is for changes"
        problems.note(place.at("delete_when"), text)
    if len(history.sequence_by) > 1:
        text = f"snapshots follow each other by one column, not {len(history.sequence_by)}"
        problems.note(place.at("sequence_by"), text)


def _check_columns(
    history: HistorySpec,
    sequence: tuple[str, ...],
    spec: TableSpec,
    *,
    place: Place,
    problems: Problems,
) -> None:
    types = {name: column.type for name, column in spec.columns.items()}
    where = place.at("without")
    for name in history.without:
        if name not in types:
            problems.no_column(where, "without", name, table=place.name, types=types)
        elif name in (*spec.key, *sequence):
            problems.note(where, f"{name} cannot be left out: it is of the key or the sequence")
    for name in (VALID_FROM, VALID_TO) if history.kind == "scd2" else ():
        if name in types and name not in history.without:
            text = f"scd2 writes a column {name}: leave out the table's own, or name it otherwise"
            problems.note(place.at("kind"), text)

"""Rows of a test file as the tables that engines read: silver rows, and gold made from them.

Does in Arrow, for a handful of rows, what refine and features do in Spark; not for data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc

from feldspar.compute.expressions.arrow import arrow_type, evaluate
from feldspar.errors import DefinitionError, Problem, nearest
from feldspar.graph.graph import Table
from feldspar.graph.view import PlainView, View, WindowedView
from feldspar.names import BATCH, EVENT_ID, EVENT_TIME, KNOWN_TIME, POSITION, RETRACTED
from feldspar.spec.reading import Document
from feldspar.spec.source import KnownAfterEvent, KnownByColumn, KnownWhenIngested
from feldspar.spec.types import ColumnType

Row = Mapping[str, Any]
Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Reader:
    """Turns values of a test file into typed ones; what cannot be is told with its line."""

    document: Document

    def problem(self, path: Path, message: str, *, known: Sequence[str] = ()) -> DefinitionError:
        """An error at a place of the file."""
        line, name = self.document.line(path), str(path[-1])
        near = nearest(name, known) if known else ()
        return DefinitionError([Problem(self.document.file, line, message, near)])

    def value(self, path: Path, value: Any, *, kind: ColumnType, zone: str | None) -> Any:
        """A value of a column.

        Raises:
            DefinitionError: it is not of the column's type, or a time names no zone.
        """
        if value is None:
            return None
        if kind is ColumnType.TIMESTAMP:
            return self.instant(path, value, zone=zone)
        try:
            return pa.scalar(value, arrow_type(kind)).as_py()
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            text = f"{path[-1]}: found {value!r}; it is a {kind.value}"
            raise self.problem(path, text) from error

    def instant(self, path: Path, value: Any, *, zone: str | None) -> datetime:
        """A time in UTC; one without a zone is in ``zone``.

        Raises:
            DefinitionError: it is no time, or there is no zone to read it in.
        """
        instant = _as_datetime(value)
        if instant is None:
            raise self.problem(path, f"{path[-1]}: found {value!r}; it is a time")
        if instant.tzinfo is not None:
            return instant.astimezone(UTC)
        if zone is None:
            text = f"{path[-1]}: {instant} names no zone, and neither does its source"
            raise self.problem(path, text)
        return instant.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


def _as_datetime(value: Any) -> datetime | None:
    match value:
        case datetime():
            return value
        case date():
            return datetime.combine(value, time())
        case str():
            try:
                return datetime.fromisoformat(value)
            except ValueError:
                return None
    return None


def silver_rows(table: Table, rows: Sequence[Row], reader: Reader) -> pa.Table:
    """The rows that a test gives of a silver table, typed, with the system columns.

    A column that is left out is null; a single key column that is left out is numbered.

    Raises:
        DefinitionError: a column is not declared, or a value is not of its type.
    """
    types = table.types()
    typed = [
        _typed(table, row, reader, path=("given", table.name, at)) for at, row in enumerate(rows)
    ]
    columns: dict[str, pa.Array] = {
        name: pa.array([row[name] for row in typed], arrow_type(kind))
        for name, kind in types.items()
    }
    instant = arrow_type(ColumnType.TIMESTAMP)
    for name in (EVENT_TIME, KNOWN_TIME):
        columns[name] = pa.array([row[name] for row in typed], instant)
    columns[BATCH] = pa.array([0] * len(typed), pa.int64())
    columns[POSITION] = pa.array(range(len(typed)), pa.int64())
    return pa.table(columns)


def _typed(table: Table, row: Row, reader: Reader, *, path: Path) -> dict[str, Any]:
    types, zone = table.types(), table.source.zone
    system = {KNOWN_TIME: ColumnType.TIMESTAMP}
    typed: dict[str, Any] = dict.fromkeys(types)
    for name, value in row.items():
        kind = types.get(name) or system.get(name)
        if kind is None:
            text = f"silver.{table.name} has no column {name!r}"
            raise reader.problem((*path, name), text, known=tuple(types))
        typed[name] = reader.value((*path, name), value, kind=kind, zone=zone)
    if typed[table.source.event_time] is None:
        raise reader.problem(path, f"the row has no {table.source.event_time}, its event time")
    typed[EVENT_TIME] = typed[table.source.event_time]
    typed.setdefault(KNOWN_TIME, _known_time(table, typed))
    _number(table, typed, at=int(path[-1]))
    return typed


def _known_time(table: Table, row: Row) -> datetime:
    """The source's rule; a live feed is taken to have been on time."""
    event: datetime = row[EVENT_TIME]
    for rule in table.source.known_time:
        match rule:
            case KnownAfterEvent(plus=plus):
                return event + plus
            case KnownByColumn(column=column) if row[column] is not None:
                known: datetime = row[column]
                return known
            case KnownWhenIngested():
                return event
    return event


def _number(table: Table, row: dict[str, Any], *, at: int) -> None:
    key = table.spec.key[0]
    if len(table.spec.key) > 1 or row[key] is not None:
        return
    # below zero: no id that a test writes is met by chance
    row[key] = -1 - at if table.types()[key].is_integer else f"row {at + 1}"


def gold_rows(silver: pa.Table, view: View, table: Table) -> pa.Table:
    """Rows of a view's gold table; rows without an entity are left out, but not of events."""
    types = table.types()
    columns = {key: silver[key] for key in view.keys}
    if isinstance(view, WindowedView):
        columns[EVENT_ID] = silver[view.event_key[0]]
        columns[RETRACTED] = pa.array([False] * silver.num_rows, pa.bool_())
    columns |= {name: silver[name] for name in (EVENT_TIME, KNOWN_TIME, BATCH, POSITION)}
    columns |= {one.name: evaluate(one.expression, silver, types) for one in view.columns}
    gold = pa.table(columns)
    for key in view.keys if isinstance(view, PlainView) else ():
        gold = gold.filter(pc.is_valid(gold[key]))
    return gold

"""Change events of Debezium as the rows that they are about.

Typing and checks then see what a flat feed would have: the columns of ``after``, for a delete those
of ``before``, and beside them ``op`` and ``ts_ms`` of the event, and ``source_<field>`` of where it
came from. Events are JSON lines, bare or below ``payload``.
"""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from feldspar.graph.graph import Table
from feldspar.spec.source import FilesSource, KafkaSource
from feldspar.spec.types import ColumnType

_OF_SOURCE = "source_"
_TIMES = ("ts_ms", f"{_OF_SOURCE}ts_ms")
UNKNOWN = "after"
"""The column in which values come that the table does not declare, as JSON."""


def unwrapped(raw: DataFrame, table: Table, *, keep: Sequence[str]) -> DataFrame:
    """The rows of change events, where the table's source has such; others are left as they are.

    Args:
        raw: rows as bronze has them, with nested values as JSON text.
        table: what columns are looked for.
        keep: columns that are taken over, those that are there.

    Returns:
        The table's columns, mostly as text, and ``after``: what the event's row has in columns
        that the table does not declare, null where there is none.
    """
    if not is_enveloped(table):
        return raw
    row = F.when(_part(raw, "op") == "d", _part(raw, "before")).otherwise(_part(raw, "after"))
    values = F.from_json(row, "map<string,string>")
    of_message = set(table.of_message) & set(raw.columns)
    columns = {
        name: F.col(name) if name in of_message else _value(raw, values, name=name, kind=kind)
        for name, kind in table.types().items()
    }
    names = F.array(*[F.lit(name) for name in columns])
    unknown = F.map_filter(values, lambda name, _: ~F.array_contains(names, name))
    return raw.select(
        *[name for name in keep if name in raw.columns],
        *[value.alias(name) for name, value in columns.items()],
        *([] if UNKNOWN in columns else [as_json(unknown).alias(UNKNOWN)]),
    )


def is_enveloped(table: Table) -> bool:
    """Whether the table's rows come as change events."""
    source = table.source
    return isinstance(source, FilesSource | KafkaSource) and source.envelope is not None


def as_json(values: Column) -> Column:
    """Names and texts as JSON in the order of the names; null where there are none."""
    ordered = F.map_from_entries(F.array_sort(F.map_entries(values)))
    return F.when(F.size(values) > 0, F.to_json(ordered))


def _value(raw: DataFrame, values: Column, *, name: str, kind: ColumnType) -> Column:
    if name in _TIMES and kind is ColumnType.TIMESTAMP:
        return F.timestamp_millis(_of_event(raw, name).try_cast("bigint"))
    if name in ("op", "ts_ms") or name.startswith(_OF_SOURCE):
        return _of_event(raw, name)
    return values.getItem(name)


def _of_event(raw: DataFrame, name: str) -> Column:
    if name.startswith(_OF_SOURCE):
        return F.get_json_object(_part(raw, "source"), f"$.{name.removeprefix(_OF_SOURCE)}")
    return _part(raw, name)


def _part(raw: DataFrame, name: str) -> Column:
    """A field of the event as text; null where no event of the load has it."""
    bare = [F.col(name)] if name in raw.columns else []
    below = [F.get_json_object("payload", f"$.{name}")] if "payload" in raw.columns else []
    return F.coalesce(*bare, *below, F.lit(None).cast("string"))

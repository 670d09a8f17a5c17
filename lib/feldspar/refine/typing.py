"""Gives raw columns their declared types; what does not fit becomes null and a reason.

Reasons are ``<column>:<what>``. Nothing is guessed at: a time without a zone is refused unless
its source declares one, and so is what Spark would cast at a loss (1.7 to 1, a number to a time).
"""

from __future__ import annotations

from dataclasses import dataclass

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql.types import (
    ArrayType,
    BooleanType,
    DataType,
    DateType,
    DecimalType,
    FractionalType,
    MapType,
    NumericType,
    StringType,
    StructType,
    TimestampNTZType,
    TimestampType,
)

from feldspar.compute.checks.texts import DATE, LOCAL, NUMBER, ZONED, missing, untyped
from feldspar.compute.local_times import instants
from feldspar.graph.graph import Table
from feldspar.spec.table import ColumnSpec
from feldspar.spec.types import ColumnType


@dataclass(frozen=True)
class TypedColumn:
    """A declared column: its value, and the condition under which it could not be typed.

    ``failed`` is None where no value can fail: it has the declared type already.
    """

    name: str
    value: Column
    failed: Column | None
    reason: str


def typed_columns(table: Table, raw: StructType) -> list[TypedColumn]:
    """One entry a declared column, over the columns that the raw rows have."""
    present = {field.name for field in raw}
    return [
        _present(name, F.col(f"`{name}`"), spec, kind=raw[name].dataType, zone=table.source.zone)
        if name in present
        else _absent(name, spec)
        for name, spec in table.spec.columns.items()
    ]


def _absent(name: str, spec: ColumnSpec) -> TypedColumn:
    value = F.lit(None).cast(spec.type.spark)
    failed = None if spec.optional else F.lit(col=True)
    return TypedColumn(name, value, failed, missing(name))


def text_columns(table: Table, texts: Column) -> list[TypedColumn]:
    """One entry a declared column, from a map of names to texts."""
    return [
        _present(name, texts.getItem(name), spec, kind=StringType(), zone=table.source.zone)
        for name, spec in table.spec.columns.items()
    ]


def _present(
    name: str, source: Column, spec: ColumnSpec, *, kind: DataType, zone: str | None
) -> TypedColumn:
    reason = untyped(name, spec.type, zone)
    if kind.simpleString() == spec.type.spark and spec.type is not ColumnType.DOUBLE:
        return TypedColumn(name, source, None, reason)
    value = _value(source, kind, wanted=spec.type, zone=zone)
    if isinstance(kind, StringType) and spec.type is not ColumnType.STRING:
        source = F.when(F.trim(source) != "", source)
    failed = source.isNotNull() & value.isNull()
    return TypedColumn(name, value, failed, reason)


def _value(source: Column, kind: DataType, *, wanted: ColumnType, zone: str | None) -> Column:
    match wanted:
        case ColumnType.TIMESTAMP:
            value = _instant(source, kind, zone)
        case ColumnType.DATE:
            value = _date(source, kind)
        case ColumnType.STRING:
            value = _text(source, kind)
        case ColumnType.BOOLEAN:
            value = _truth(source, kind)
        case _:
            value = _number(source, kind, wanted)
    return F.lit(None).cast(wanted.spark) if value is None else value


def _instant(source: Column, kind: DataType, zone: str | None) -> Column | None:
    match kind:
        case TimestampType():
            return source
        case StringType():
            wall_time = source.try_cast("timestamp_ntz")
            local = F.when(source.rlike(LOCAL), _from_zone(wall_time, zone))
            return F.when(source.rlike(ZONED), source.try_cast("timestamp")).otherwise(local)
        case TimestampNTZType() | DateType():
            return _from_zone(source, zone)
        case _:
            return None


def _from_zone(local: Column, zone: str | None) -> Column:
    return instants(local, zone) if zone else F.lit(None).cast("timestamp")


def _date(source: Column, kind: DataType) -> Column | None:
    match kind:
        case StringType():
            return F.when(source.rlike(DATE), source.try_cast("date"))
        case DateType() | TimestampType() | TimestampNTZType():
            return source.cast("date")
        case _:
            return None


def _text(source: Column, kind: DataType) -> Column | None:
    match kind:
        case StructType() | ArrayType() | MapType():
            return F.to_json(source)
        case _:
            return source.try_cast("string")


def _truth(source: Column, kind: DataType) -> Column | None:
    match kind:
        case BooleanType() | StringType():
            return source.try_cast("boolean")
        case NumericType():
            return F.when(source.isin(0, 1), source == 1)
        case _:
            return None


def _number(source: Column, kind: DataType, wanted: ColumnType) -> Column | None:
    if not isinstance(kind, StringType | NumericType | BooleanType):
        return None
    value = source.try_cast(wanted.spark)
    if wanted is ColumnType.DOUBLE:
        # NaN and infinities would poison sums without a word
        finite = value.isNotNull() & ~F.isnan(value) & (F.abs(value) != F.lit(float("inf")))
        if isinstance(kind, StringType):
            finite = finite & source.rlike(NUMBER)
        return F.when(finite, value)
    if isinstance(kind, FractionalType | DecimalType):
        return F.when(source == F.floor(source), value)
    return value

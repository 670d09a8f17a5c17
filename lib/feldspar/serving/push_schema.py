"""What pushed rows look like, for OpenAPI: JSON Schema made of the tables' columns and checks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from feldspar.graph.graph import Table
from feldspar.spec.check import Between, NotNull, OneOf
from feldspar.spec.types import BIGINT_MAX, BIGINT_MIN, INT_MAX, INT_MIN, ColumnType

Schema = dict[str, Any]
_TYPES: Mapping[ColumnType, Schema] = {
    ColumnType.BOOLEAN: {"type": "boolean"},
    ColumnType.INT: {"type": "integer", "minimum": INT_MIN, "maximum": INT_MAX},
    ColumnType.BIGINT: {"type": "integer", "minimum": BIGINT_MIN, "maximum": BIGINT_MAX},
    ColumnType.DOUBLE: {"type": "number"},
    ColumnType.STRING: {"type": "string"},
    ColumnType.TIMESTAMP: {"type": "string", "format": "date-time"},
    ColumnType.DATE: {"type": "string", "format": "date"},
}


def rows_schema(tables: Iterable[Table], *, most: int) -> Schema:
    """One row of one of the tables, or a list of rows of one."""
    rows = [_row(table) for table in tables]
    lists = [{"type": "array", "items": row, "minItems": 1, "maxItems": most} for row in rows]
    return {"anyOf": [*rows, *lists]}


def update_schema(table: Table, *, key: str) -> Schema:
    """Some columns of a table, at least one."""
    columns = {name: column_schema(table, name) for name in table.spec.columns if name != key}
    return {
        "type": "object",
        "properties": columns,
        "additionalProperties": False,
        "minProperties": 1,
    }


def _row(table: Table) -> Schema:
    spec = table.spec.columns
    return {
        "title": table.name,
        "type": "object",
        "properties": {name: column_schema(table, name) for name in spec},
        "required": [name for name, one in spec.items() if not one.optional],
        "additionalProperties": False,
    }


def column_schema(table: Table, name: str) -> Schema:
    """A value of one column, as far as checks of it say."""
    schema = dict(_TYPES[table.spec.columns[name].type])
    nullable = name not in table.needed
    for check in table.spec.checks.get(name, ()):
        match check:
            case NotNull():
                nullable = False
            case Between(low=low, high=high):
                schema |= {"minimum": low, "maximum": high}
            case OneOf(values=values):
                schema["enum"] = list(values)
            case _:
                pass
    return {"anyOf": [schema, {"type": "null"}]} if nullable else schema

"""Reads ``ops.schemas``: the columns that files of a source had, by the number of their shape."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from feldspar.errors import TableNotFoundError
from feldspar.stores.tables import arrow, records
from feldspar.stores.tables.again import again
from feldspar.stores.tables.lake import Lake

TABLE = "schemas"
SCHEMA = pa.schema(
    {
        "source": pa.string(),
        "shape": pa.int64(),
        "format": pa.string(),
        "columns": pa.list_(pa.string()),
        "added": pa.list_(pa.string()),
        "removed": pa.list_(pa.string()),
        "retyped": pa.list_(pa.string()),
        "batch": pa.int64(),
        "files": pa.int64(),
        "file": pa.string(),
        "recorded_at": records.INSTANT,
    }
)
_READ = ("shape", "format", "columns", "batch", "recorded_at")


@dataclass(frozen=True)
class KnownShape:
    """A shape that a load has had: format, and columns with their types."""

    ident: int
    format: str
    columns: Mapping[str, str]


@again
def of_source(lake: Lake, source: str) -> list[KnownShape]:
    """The shapes of a source in the order in which they came: few, however many its files."""
    try:
        listed = arrow.dataset(lake, records.LAYER, TABLE)
    except TableNotFoundError:
        return []
    rows = listed.to_table(list(_READ), filter=pc.field("source") == source).sort_by(
        [("batch", "ascending"), ("recorded_at", "ascending")]
    )
    return [
        KnownShape(row["shape"], row["format"], dict(text.split(" ", 1) for text in row["columns"]))
        for row in rows.to_pylist()
    ]

"""Reads and writes ``ops.extracts``: which rows of a database each load of a JDBC source took.

A load writes one row; that of the newest load says how far the source is read.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa

from feldspar.graph.observed import ColumnRange, RelationRead
from feldspar.stores.tables import records
from feldspar.stores.tables.lake import Lake
from feldspar.stores.tables.log import Txn
from feldspar.times import from_micros, to_micros

TABLE = "extracts"
SCHEMA = pa.schema(
    {
        "source": pa.string(),
        "batch": pa.int64(),
        "relation": pa.string(),
        "relation_id": pa.string(),
        "incremental_column": pa.string(),
        "begin": pa.int64(),
        "upto": pa.int64(),
        "rows": pa.int64(),
        "late": pa.int64(),
        "again": pa.int64(),
        "waiting": pa.int64(),
        "snapshot_at": records.INSTANT,
        "recorded_at": records.INSTANT,
    }
)
_READ = ("relation", "relation_id", "incremental_column", "upto", "again", "snapshot_at")


@dataclass(frozen=True)
class Taken:
    """What a load found.

    Attributes:
        rows: that bronze got.
        late: of them, those that were committed below what had been read.
        again: rows of the database in the overlap; None: they were not counted.
        at: the moment whose state was read, in microseconds.
    """

    rows: int
    late: int
    again: int | None
    at: int


def newest(lake: Lake, source: str) -> RelationRead | None:
    """How far a source has been read; None where no load of it is listed."""
    rows = records.of_newest_load(lake, TABLE, source, columns=_READ)
    if not rows:
        return None
    relation, ident, column, upto, counted, at = (rows[0][name] for name in _READ)
    return RelationRead(relation, ident, column, upto, counted, to_micros(at))


def record(
    lake: Lake, source: str, wanted: ColumnRange, taken: Taken, *, txn: Txn, now: datetime
) -> None:
    """Lists a load, once.

    Args:
        lake: where the list is kept.
        source: what was loaded.
        wanted: which rows.
        taken: what they were.
        txn: names the load.
        now: when it was listed.
    """
    row = {
        "source": source,
        "batch": txn.position,
        "relation": wanted.relation,
        "relation_id": wanted.ident,
        "incremental_column": wanted.column,
        "begin": wanted.begin,
        "upto": wanted.upto,
        "rows": taken.rows,
        "late": taken.late,
        "again": taken.again,
        "waiting": wanted.left,
        "snapshot_at": from_micros(taken.at),
        "recorded_at": now,
    }
    records.append(lake, TABLE, [row], schema=SCHEMA, txn=txn)

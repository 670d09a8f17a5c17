"""Reads and writes ``ops.offsets``: which messages each load of a Kafka source took.

A load writes a row for every partition of the topic, also for those it took nothing of: the rows
of the newest load alone say how far the source is read, however many loads there were.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import pyarrow as pa

from feldspar.graph.observed import Messages, OffsetRange, TopicRead
from feldspar.stores.tables import records
from feldspar.stores.tables.lake import Lake
from feldspar.stores.tables.log import Txn

TABLE = "offsets"
SCHEMA = pa.schema(
    {
        "source": pa.string(),
        "batch": pa.int64(),
        "topic": pa.string(),
        "topic_id": pa.string(),
        "partition": pa.int32(),
        "begin": pa.int64(),
        "upto": pa.int64(),
        "rows": pa.int64(),
        "lost": pa.int64(),
        "waiting": pa.int64(),
        "recorded_at": records.INSTANT,
    }
)
_READ = ("topic", "topic_id", "partition", "upto")


def newest(lake: Lake, source: str) -> TopicRead | None:
    """How far a source has been read; None where no load of it is listed."""
    rows = records.of_newest_load(lake, TABLE, source, columns=_READ)
    if not rows:
        return None
    upto = {row["partition"]: row["upto"] for row in rows}
    return TopicRead(rows[0]["topic"], rows[0]["topic_id"], upto)


def record(
    lake: Lake,
    source: str,
    messages: Messages,
    *,
    rows: Mapping[int, int],
    txn: Txn,
    now: datetime,
) -> None:
    """Lists a load, once.

    Args:
        lake: where the list is kept.
        source: what was loaded.
        messages: the ranges, of every partition.
        rows: by partition, how many rows bronze got of it.
        txn: names the load.
        now: when it was listed.
    """
    listed = [
        {
            "source": source,
            "batch": txn.position,
            "topic": messages.topic,
            "topic_id": messages.topic_id,
            "recorded_at": now,
            "rows": rows.get(one.partition, 0),
            **_range(one),
        }
        for one in messages.ranges
    ]
    records.append(lake, TABLE, listed, schema=SCHEMA, txn=txn)


def _range(one: OffsetRange) -> dict[str, int]:
    return {
        "partition": one.partition,
        "begin": one.begin,
        "upto": one.upto,
        "lost": one.lost,
        "waiting": one.left,
    }

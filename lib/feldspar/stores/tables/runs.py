"""The list of runs that write to a lake, ``ops.runs``: the number of a run's row is its epoch."""

from __future__ import annotations

import os
import socket
from datetime import datetime
from uuid import uuid4

import pyarrow as pa

from feldspar.stores.tables import records
from feldspar.stores.tables.lake import Lake

TABLE = "runs"
SCHEMA = pa.schema(
    {
        "verb": pa.string(),
        "host": pa.string(),
        "process": pa.int64(),
        "started_at": records.INSTANT,
    }
)


def take_epoch(lake: Lake, *, verb: str, now: datetime) -> int:
    """An epoch of this run's own, from 1; a later run's is higher.

    The store creates each commit of a log once, so that no two runs get the same.

    Args:
        lake: what the run writes to.
        verb: what it does, for people.
        now: when it began.

    Raises:
        StoreError: the row could not be written.
    """
    row = {"verb": verb, "host": socket.gethostname(), "process": os.getpid(), "started_at": now}
    return records.append_noted(lake, TABLE, row, schema=SCHEMA, note=uuid4().hex) + 1

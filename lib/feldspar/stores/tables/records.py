"""The ``ops`` tables: a few rows at a time that the driver itself knows, appended exactly once.

Written by delta-rs, which takes milliseconds where a Spark job takes seconds. Nothing else may
write them: two kinds of writer on one table of an object store lose each other's commits.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import timedelta
from threading import Lock
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from deltalake.exceptions import DeltaError

from feldspar.errors import TableNotFoundError, UnreachableError
from feldspar.names import cursor
from feldspar.stores.tables import arrow, epochs, log
from feldspar.stores.tables.again import again, until_written
from feldspar.stores.tables.lake import Lake
from feldspar.stores.tables.log import NOTE, Txn
from feldspar.stores.tables.tiers import merge_of
from feldspar.times import to_micros, utc_now

LAYER = "ops"
Rows = Sequence[Mapping[str, object]]
FORGOTTEN_AFTER = "delta.setTransactionRetentionDuration"
INSTANT = pa.timestamp("us", "UTC")

_LOG = logging.getLogger(__name__)
_LOCKS: defaultdict[str, Lock] = defaultdict(Lock)
"""One a table: steps that run side by side write the same ones, and one of them creates it."""


def append(
    lake: Lake,
    name: str,
    rows: Rows,
    *,
    schema: pa.Schema,
    txn: Txn,
    kept: timedelta | None = None,
) -> None:
    """Appends rows to ``ops.<name>`` once: a repeat of the same ``txn`` changes nothing.

    Args:
        lake: where the table lies; it is made where it is missing.
        name: of the table.
        rows: one mapping of ``schema``'s columns each.
        schema: columns of the table.
        txn: names the write.
        kept: whole days after which the table forgets the names of writes, where each run has one
            of its own; None: it keeps them.

    Raises:
        OvertakenError: a later run has claimed the cursor.
        UnreachableError: the table could not be written.
        StoreError: somebody else's newer write of this ``app`` is there and this one is not.
    """
    with _LOCKS[lake.native_uri(LAYER, name)]:
        _append(lake, name, rows, schema=schema, txn=txn, kept=kept)
        _compact(lake, name)


@until_written
def _append(
    lake: Lake, name: str, rows: Rows, *, schema: pa.Schema, txn: Txn, kept: timedelta | None
) -> None:
    properties = _named(txn, kept)
    try:
        table = epochs.open_claimed(lake, LAYER, name, txn=txn)
    except TableNotFoundError:
        uri = lake.native_uri(LAYER, name)
        settings = {} if kept is None else {FORGOTTEN_AFTER: f"interval {kept.days} days"}
        _create(lake, uri, rows, schema=schema, properties=properties, settings=settings)
        return
    done = log.last_txn(table, txn.app)
    if done is not None and done.version >= txn.version:
        log.confirmed(lake, LAYER, name, txn=txn)
        return
    # from the version that was looked at: of two writes under one cursor, one fails
    _write(lake, table, rows, schema=schema, properties=properties)


def _named(txn: Txn, kept: timedelta | None) -> CommitProperties:
    written = None if kept is None else to_micros(utc_now()) // 1_000
    return CommitProperties(app_transactions=[Transaction(txn.app, txn.version, written)])


def append_noted(
    lake: Lake, name: str, row: Mapping[str, object], *, schema: pa.Schema, note: str
) -> int:
    """Appends a row to ``ops.<name>``; returns the version that it makes.

    Args:
        lake: where the table lies; it is made where it is missing.
        name: of the table.
        row: a mapping of ``schema``'s columns.
        schema: columns of the table.
        note: what no other commit carries.

    Raises:
        UnreachableError: the table could not be written.
    """
    uri = lake.native_uri(LAYER, name)
    properties = CommitProperties(custom_metadata={NOTE: note})
    with _LOCKS[uri]:
        until_written(_write)(lake, uri, [row], schema=schema, properties=properties)
        version = log.noted(lake, LAYER, name, note=note).version
        _compact(lake, name)
        return version


@again
def newest(
    lake: Lake,
    name: str,
    schema: pa.Schema,
    *,
    by: str,
    files: int,
    only: pc.Expression | None = None,
    most: tuple[str, int] | None = None,
) -> list[dict[str, Any]]:
    """Rows of ``ops.<name>`` in the order of a time, the newest last; none where it is not there.

    Args:
        lake: where the table lies.
        name: of the table.
        schema: columns that are read.
        by: the time.
        files: the newest ones, in which rows are looked for: the table grows for ever.
        only: what holds for them.
        most: a column, and how many rows of each of its values, from the end.
    """
    try:
        table = log.open_table(lake, LAYER, name)
    except TableNotFoundError:
        return []
    held = pa.table(table.get_add_actions(flatten=True))
    starts = sorted(held[f"min.{by}"].to_pylist(), reverse=True)[:files]
    recent = pc.field(by) >= pa.scalar(starts[-1], INSTANT)
    wanted = recent if only is None else recent & only
    rows = table.to_pyarrow_dataset().to_table(filter=wanted).sort_by(by)
    if most is not None:
        rows = _last_of_each(rows, *most).sort_by(by)
    found: list[dict[str, Any]] = rows.select(schema.names).to_pylist()
    return found


@again
def of_newest_load(
    lake: Lake, name: str, source: str, *, columns: Sequence[str]
) -> list[dict[str, Any]]:
    """What ``ops.<name>`` lists of a source's newest load; nothing where it lists none.

    Args:
        lake: where the table lies.
        name: of a list with a ``source`` and a ``batch``, kept under the cursor of its loads.
        source: what was loaded.
        columns: that are read.
    """
    app = cursor("ingest", source)
    state = log.table_state(lake, LAYER, name, cursors=[app])
    if state is None or app not in state.cursors:
        return []
    last = (pc.field("source") == source) & (pc.field("batch") == state.cursors[app])
    rows = arrow.dataset(lake, LAYER, name).to_table(list(columns), filter=last)
    listed: list[dict[str, Any]] = rows.to_pylist()
    return listed


def _last_of_each(rows: pa.Table, column: str, number: int) -> pa.Table:
    parts = [rows.filter(pc.field(column) == one) for one in pc.unique(rows[column])]
    last = [one.slice(max(0, one.num_rows - number)) for one in parts]
    return pa.concat_tables([rows.slice(0, 0), *last])


def _compact(lake: Lake, name: str) -> None:
    """Merges small files where there are too many. The rows are written: where it meets another
    writer, or the store breaks off, the next append tries again.
    """
    try:
        table = log.open_table(lake, LAYER, name)
        merge = merge_of(pa.table(table.get_add_actions())["size_bytes"].to_pylist())
        if merge is not None:
            table.optimize.compact(target_size=merge.upto)
    except (OSError, DeltaError, UnreachableError) as error:
        _LOG.info("%s.%s: merging is put off to the next append: %s", LAYER, name, error)


def _write(
    lake: Lake,
    table: DeltaTable | str,
    rows: Rows,
    *,
    schema: pa.Schema,
    properties: CommitProperties,
) -> None:
    write_deltalake(
        table,
        pa.Table.from_pylist(list(rows), schema=schema),
        mode="append",
        storage_options=lake.options(),
        commit_properties=properties,
    )


def _create(
    lake: Lake,
    uri: str,
    rows: Rows,
    *,
    schema: pa.Schema,
    properties: CommitProperties,
    settings: Mapping[str, str],
) -> None:
    """Makes the table with its first rows; fails where somebody has made it meanwhile."""
    write_deltalake(
        uri,
        pa.Table.from_pylist(list(rows), schema=schema),
        mode="error",
        configuration=settings,
        storage_options=lake.options(),
        commit_properties=properties,
    )

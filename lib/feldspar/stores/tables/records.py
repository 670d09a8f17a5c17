"""The ``ops`` tables: a few rows at a time that the driver itself knows, appended exactly once.

Written by delta-rs, which takes milliseconds where a Spark job takes seconds. Nothing else may
write them: two kinds of writer on one table of an object store lose each other's commits.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from threading import Lock

import pyarrow as pa
from deltalake import CommitProperties, Transaction, write_deltalake
from deltalake.exceptions import DeltaError

from feldspar.errors import StoreError
from feldspar.stores.tables import log
from feldspar.stores.tables.lake import Lake
from feldspar.stores.tables.log import Txn

LAYER = "ops"
INSTANT = pa.timestamp("us", "UTC")

_LOCKS: defaultdict[str, Lock] = defaultdict(Lock)
"""One a table: steps that run side by side write the same ones, and one of them creates it."""


def append(
    lake: Lake, name: str, rows: Sequence[Mapping[str, object]], *, schema: pa.Schema, txn: Txn
) -> None:
    """Appends rows to ``ops.<name>`` once: a repeat of the same ``txn`` changes nothing.

    Args:
        lake: where the table lies; it is made where it is missing.
        name: of the table.
        rows: one mapping of ``schema``'s columns each.
        schema: columns of the table.
        txn: names the write.

    Raises:
        StoreError: the table could not be written, or somebody else's newer write of this ``app``
            is there and this one is not.
    """
    uri = lake.native_uri(LAYER, name)
    with _LOCKS[uri]:
        done = log.cursor_version(lake, LAYER, name, app=txn.app)
        if done is not None and done >= txn.version:
            log.confirmed(lake, LAYER, name, txn=txn)
            return
        try:
            write_deltalake(
                uri,
                pa.Table.from_pylist(list(rows), schema=schema),
                mode="append",
                storage_options=lake.options(),
                commit_properties=CommitProperties(
                    app_transactions=[Transaction(txn.app, txn.version)]
                ),
            )
        except (DeltaError, OSError) as error:
            text = f"{LAYER}.{name}: the write {txn.app} at {txn.version} failed: {error}"
            raise StoreError(text, hint="see: feldspar doctor") from error

"""Writes of Spark that met another one under the same cursor: whose it was says the log."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException

from feldspar.stores.tables import log
from feldspar.stores.tables.lake import Lake
from feldspar.stores.tables.log import Txn

_MET_ANOTHER = re.compile("CONCURRENT_TRANSACTION|ConcurrentTransactionException")
"""What Delta says of two writes under one cursor."""


@contextmanager
def told_whose(lake: Lake, layer: str, name: str, *, txn: Txn) -> Iterator[None]:
    """While it lasts, Spark writes to a table.

    Raises:
        OvertakenError: a later run has written, or claimed the cursor, first.
    """
    try:
        yield
    except (Py4JJavaError, PySparkException) as error:
        if not _MET_ANOTHER.search(str(error)):
            raise
        found = log.last_txn(log.open_table(lake, layer, name), txn.app)
        if found is None or found.epoch <= txn.epoch:
            raise
        raise log.overtaken(f"{layer}.{name}", txn.app) from error

"""Turns what Spark throws into one of our errors: a cause in a line, and where the rest is.

A Java stack trace alone helps nobody; the whole of it is in Spark's log.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from py4j.protocol import Py4JError
from pyspark.errors import PySparkException

from feldspar.errors import StoreError
from feldspar.stores.tables.causes import cause


@contextmanager
def told_clearly(what: str, *, log: Path) -> Iterator[None]:
    """Within it, a failure of Spark is a StoreError that names ``what`` and the log.

    Raises:
        StoreError: Spark failed.
    """
    try:
        yield
    except (Py4JError, PySparkException) as error:
        raise StoreError(f"{what}: {cause(error)}", hint=f"the whole story: {log}") from error

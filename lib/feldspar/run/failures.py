"""Turns what Spark throws into one of our errors: a cause in a line, and where the rest is.

A Java stack trace alone helps nobody; the whole of it is in Spark's log.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from py4j.protocol import Py4JError, Py4JJavaError
from pyspark.errors import PySparkException

from feldspar.errors import StoreError

_LONGEST = 400


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


def cause(error: Exception) -> str:
    """The line that says why: the innermost cause in Java, or the last line of a Python worker."""
    if isinstance(error, Py4JJavaError):
        java = error.java_exception
        while java.getCause() is not None:
            java = java.getCause()
        text = str(java.toString())
    else:
        text = str(error)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if any(line.startswith("Traceback") for line in lines):
        # a Python worker's traceback: its last line names the error
        lines = [line for line in lines if not line.startswith(("at ", "JVM stacktrace"))]
        return lines[-1][:_LONGEST]
    return lines[0][:_LONGEST] if lines else type(error).__name__

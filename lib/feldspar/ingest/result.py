"""What a load did, for the summary, the report and the tests."""

from __future__ import annotations

from dataclasses import dataclass

from feldspar.ingest.probe import SetAside


@dataclass(frozen=True)
class IngestResult:
    """One load of one source."""

    source: str
    batch: int
    files: int
    rows: int
    set_aside: tuple[SetAside, ...]
    version: int | None
    """Bronze version that holds the load; None when it brought no rows."""
    left: int = 0
    """Messages, or rows of a database, that wait after the load, as far as its plan knew."""

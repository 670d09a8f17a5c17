"""Writes how the project is doing after a round of a stream, as text for Prometheus."""

from __future__ import annotations

from pathlib import Path

from feldspar.monitor.exposition import exposition, write_exposition
from feldspar.monitor.standing import standing
from feldspar.run.workplace import Workplace
from feldspar.stores.measured import measure


def write_metrics(work: Workplace, path: Path) -> None:
    """Replaces the file; one that cannot be written is told, and fails no round."""
    measured = measure(work.graph, work.environment, store=work.store)
    found = standing(work.graph, measured, namespace=work.environment.namespace)
    try:
        write_exposition(path, exposition(found))
    except OSError as error:
        work.say(f"metrics: {path} was not written: {error}")

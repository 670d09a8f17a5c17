"""When the tables that a step wrote get their small files merged: at once, or beside what follows.

A round of a stream that waits for merges is late by seconds, every 25th time or so. Nothing that
reads a table needs them: versions name their files, and a merge replaces none that is read.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

from feldspar.features.merging import merge_runs
from feldspar.graph.graph import Graph
from feldspar.graph.steps import FeaturesStep, HistoryStep, IngestStep, RefineStep, Step
from feldspar.stores.tables.compaction import compact
from feldspar.stores.tables.spark import SparkTables

Progress = Callable[[str], None]


class Care(Protocol):
    """Says when; ``before`` and ``after`` a step that writes a table."""

    def before(self, step: Step) -> None:
        """Returns when nobody merges what the step is about to write."""
        ...

    def after(self, step: Step, care: Callable[[], None]) -> None:
        """Takes care of what the step has written, now or soon."""
        ...


class AtOnce:
    """Care is a part of the step: what follows finds it done, and the next plan nothing to do."""

    def before(self, step: Step) -> None:
        """Nothing is under way."""

    def after(self, step: Step, care: Callable[[], None]) -> None:
        """Waits for it."""
        del step
        care()


class Beside:
    """Care runs in a thread of its own, one table after the other; close it at the end.

    A table is never cared for while a step writes it: rows that came while files are laid out
    anew would be in none of them.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1)
        self._pending: dict[str, Future[None]] = {}

    def before(self, step: Step) -> None:
        """Waits for care that is under way; what it raised, the step raises."""
        pending = self._pending.pop(step.name, None)
        if pending is not None:
            pending.result()

    def after(self, step: Step, care: Callable[[], None]) -> None:
        """Begins as soon as the tables before it are done."""
        self._pending[step.name] = self._pool.submit(care)

    def close(self) -> None:
        """Ends with what is under way; what has not begun is left to the next run."""
        self._pool.shutdown(cancel_futures=True)


def care_for(step: Step, graph: Graph, tables: SparkTables, *, progress: Progress) -> None:
    """Keeps the files of what a step wrote few, where there are too many.

    Raises:
        OvertakenError: a later run has claimed the table.
        UnreachableError: a table's log could not be read.
    """
    match step:
        case IngestStep(source=name):
            written = [("bronze", name)]
        case RefineStep(table=name):
            written = [("quarantine", name), ("silver", name)]
        case HistoryStep(table=name):
            written = [("history", name)]
        case FeaturesStep(view=name):
            merge_runs(graph.view(name), tables, progress=progress)
            return
        case _:
            return
    for layer, name in written:
        # a load none of whose files could be used makes no table
        if tables.exists(layer, name):
            compact(tables, layer, name, progress=progress)

"""gold -> Redis as a streaming query: every micro-batch of gold is a push of what it added.

The query tells that gold has new rows; which of them Redis lacks is said by Redis' own cursor,
which is written after the values. So a micro-batch that runs twice or a lost checkpoint changes
nothing, and streams and ``feldspar online push`` may take turns.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from pyspark.sql import DataFrame
from pyspark.sql.streaming.query import StreamingQuery

from feldspar.graph.view import View
from feldspar.online.push import PushResult, push
from feldspar.stores.online import OnlineStore
from feldspar.stores.tables.log import GENERATION
from feldspar.stores.tables.spark import SparkTables


@dataclass(frozen=True)
class PushBatch:
    """Pushes what gold has and Redis has not; what a micro-batch calls.

    Attributes:
        view: what to push.
        tables: the lake.
        store: where to.
        clock: gives now, in microseconds.
        done: gets what each push did.
        progress: gets a line when work starts.
    """

    view: View
    tables: SparkTables
    store: OnlineStore
    clock: Callable[[], int]
    done: Callable[[PushResult], None]
    progress: Callable[[str], None]

    def __call__(self, rows: DataFrame, batch: int) -> None:
        """Neither is looked at: versions of gold name the rows, and the cursor the versions."""
        del rows, batch
        view, tables = self.view, self.tables
        before = self.store.cursor(view.online_name)
        result = push(
            view,
            tables=tables,
            store=self.store,
            after=None if before is None else before.version,
            generation=int(tables.properties("gold", view.name).get(GENERATION, "0")),
            clock=self.clock(),
            progress=self.progress,
        )
        self.done(result)


def start_stream(
    batch: PushBatch, *, checkpoint: str, every: timedelta | None = None
) -> StreamingQuery:
    """Starts the query; the caller waits for it, or stops it.

    Args:
        batch: what a micro-batch does.
        checkpoint: folder of the query's progress, one for each view.
        every: how often gold is looked at; None: until all that is there is pushed.

    Raises:
        TableNotFoundError: the view has no gold table.
    """
    view = batch.view
    writer = batch.tables.changes("gold", view.name).writeStream.foreachBatch(batch.__call__)
    writer = writer.queryName(f"online {view.name}").option("checkpointLocation", checkpoint)
    if every is None:
        return writer.trigger(availableNow=True).start()
    milliseconds = every // timedelta(milliseconds=1)
    return writer.trigger(processingTime=f"{milliseconds} milliseconds").start()

"""The events that gold got since a push, taken by tasks from the very files that brought them.

Spark moves no row: an entity's events lie in one bucket, and so in one task.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from feldspar.compute.layout import BucketedRows
from feldspar.compute.windows.plan import LONGEST_MAX_FUTURE
from feldspar.names import BATCH, EVENT_ID, EVENT_TIME, KNOWN_TIME, POSITION, RETRACTED
from feldspar.online.tasks import AdvanceTask

_CLOCKS = (EVENT_TIME, KNOWN_TIME)
_SYSTEM = (EVENT_ID, *_CLOCKS, BATCH, POSITION, RETRACTED)


@dataclass(frozen=True)
class AddedTask:
    """Hands the added events of buckets, by number, to the task that puts them into values.

    Attributes:
        task: wants them sorted by entity.
        rows: the added files; few enough that a bucket's events fit in a task's memory.
    """

    task: AdvanceTask
    rows: BucketedRows

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return self.task(self._events(batches))

    def _events(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        packer = self.task.packer
        arguments = [name for name, _ in packer.layout.columns]
        columns = list(dict.fromkeys((*packer.keys, *_SYSTEM, *arguments)))
        for batch in batches:
            for bucket in batch.column(0).to_pylist():
                found = [run.read(columns) for run in self.rows.runs(bucket)]
                if found:
                    yield from self._counting(pa.concat_tables(found)).to_batches()

    def _counting(self, rows: pa.Table) -> pa.Table:
        """Recent events that have an entity, sorted by it, with clocks in microseconds; see
        ``frames.added_events``.
        """
        keys = self.task.packer.keys
        oldest = self.task.packer.horizon.oldest - LONGEST_MAX_FUTURE
        for clock in _CLOCKS:
            place = rows.schema.get_field_index(clock)
            rows = rows.set_column(place, clock, rows.column(clock).cast(pa.int64()))
        happened, known = (pc.greater(rows.column(clock), oldest) for clock in _CLOCKS)
        counts = pc.or_(happened, known)
        for key in keys:
            counts = pc.and_(counts, pc.is_valid(rows.column(key)))
        order = [(key, "ascending") for key in keys]
        return rows.filter(counts).sort_by(order).combine_chunks()

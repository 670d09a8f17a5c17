"""How the rows of a view lie in files: in hash buckets of the entity, sorted runs within.

A task is handed a bucket's runs as these protocols and does no I/O of its own; what fulfils them
is ``stores.tables.bucketed``. The order of rows is told by the rows themselves: an engine looks,
and sorts where it is not as expected.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa

from feldspar.compute.columns import find


class Run(Protocol):
    """Some consecutive rows of one data file, few enough for a task's memory."""

    @property
    def rows(self) -> int:
        """How many."""
        ...

    def read(self, columns: Sequence[str]) -> pa.Table:
        """Some columns of all rows, in the order of the file."""
        ...

    def take(self, columns: Sequence[str], rows: pa.Array) -> Iterator[pa.Table]:
        """Some columns of the rows at the given positions (int64), in the order asked for.

        A null position is a row of nulls.
        The columns come in groups, so that not all of a wide run is in memory at once.
        """
        ...


@dataclass(frozen=True, eq=False)
class TableRun:
    """A run that is in memory already."""

    table: pa.Table

    @property
    def rows(self) -> int:
        """How many."""
        return int(self.table.num_rows)

    def read(self, columns: Sequence[str]) -> pa.Table:
        """Some columns of all rows, or an EngineError that names one that is absent."""
        return pa.table({name: find(self.table, name) for name in columns})

    def take(self, columns: Sequence[str], rows: pa.Array) -> Iterator[pa.Table]:
        """Some columns of the rows at the given positions, one after the other."""
        for name in columns:
            yield self.read([name]).take(rows)


class BucketedRows(Protocol):
    """One version of a table whose rows are spread over hash buckets of the entity."""

    @property
    def schema(self) -> pa.Schema:
        """Names and types of the columns."""
        ...

    @property
    def buckets(self) -> int:
        """How many buckets there are, a power of two."""
        ...

    def runs(self, bucket: int, *, since: int | None = None) -> Iterator[Run]:
        """The runs of one bucket, each opened when it is asked for.

        Args:
            bucket: which.
            since: microseconds; a run all of whose rows happened and were known earlier may be
                left out.
        """
        ...

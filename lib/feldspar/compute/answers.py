"""Rows that Arrow functions are still to be run over: Spark is handed these in one piece, last.

Each hand-over between Python and the JVM costs as much as a join. Functions that follow one another
run in one task, and rows that go to files are written by the task that made them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Protocol

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import to_arrow_schema
from pyspark.sql.types import StructType

Batches = Iterator[pa.RecordBatch]
ArrowFunction = Callable[[Batches], Batches]
"""A module-level value, so that executors get it from the wheel."""


class Sink(Protocol):
    """Takes in the rows of one task and tells what became of them."""

    @property
    def told(self) -> StructType:
        """Columns of what it tells."""
        ...

    def __call__(self, batches: Batches) -> Batches:
        """Consumes all batches."""
        ...


@dataclass(frozen=True)
class Answers:
    """A frame, and the functions whose result is meant.

    Attributes:
        rows: what Spark knows of.
        functions: run over its partitions, one after the other.
        schema: of what the last of them returns.
        names: the columns that are asked for, in order.
    """

    rows: DataFrame
    functions: tuple[ArrowFunction, ...]
    schema: StructType
    names: tuple[str, ...]

    @staticmethod
    def of(rows: DataFrame) -> Answers:
        """A frame as it is."""
        return Answers(rows, (), rows.schema, tuple(rows.columns))

    def then(self, function: ArrowFunction, schema: StructType) -> Answers:
        """What the function makes of the columns asked for."""
        return Answers(self.rows, (*self._whole().functions, function), schema, tuple(schema.names))

    def select(self, names: Sequence[str]) -> Answers:
        """Some of the columns."""
        return replace(self, names=tuple(names))

    @property
    def asked(self) -> StructType:
        """The columns that are asked for."""
        return StructType([self.schema[name] for name in self.names])

    def frame(self) -> DataFrame:
        """The answers as Spark's rows."""
        rows = self.rows
        if self.functions:
            rows = rows.mapInArrow(_InTurn(self.functions), self.schema)
        return rows.select(*[F.col(f"`{name}`") for name in self.names])

    def into(self, sink: Sink) -> DataFrame:
        """The answers go into the sink, in the tasks that make them; what it tells comes back."""
        return self.rows.mapInArrow(_InTurn((*self._whole().functions, sink)), sink.told)

    def _whole(self) -> Answers:
        """The same with a last function that leaves only the columns asked for."""
        selected = _Selected(to_arrow_schema(self.asked, timezone="UTC"))
        return replace(self, functions=(*self.functions, selected))


@dataclass(frozen=True)
class _InTurn:
    functions: tuple[ArrowFunction, ...]

    def __call__(self, batches: Batches) -> Batches:
        return reduce(lambda rows, function: function(rows), self.functions, batches)


@dataclass(frozen=True)
class _Selected:
    """The columns and types of a schema, whatever else there is."""

    schema: pa.Schema

    def __call__(self, batches: Batches) -> Batches:
        for batch in batches:
            yield batch.select(self.schema.names).cast(self.schema)

"""Derived and on-demand features for the batches of a Spark task, after all stored ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
from pyspark.sql.types import DataType, StructField

from feldspar.compute.services.arrow import complete
from feldspar.graph.view import Derived, Service
from feldspar.names import feature_column
from feldspar.spec.types import ColumnType

REQUEST = "_request_"
"""Before the name of a request's column in the working frame: its value in the declared type."""


@dataclass(frozen=True)
class Completion:
    """The computations of a service over an Arrow table; travels to executors."""

    service: Service

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            yield from self.completed(pa.Table.from_batches([batch])).to_batches()

    def completed(self, table: pa.Table) -> pa.Table:
        """The table with one column more for each computed feature."""
        asked = _with_request(table, self.service)
        done = complete(asked, self.service)
        for name in done.column_names:
            if name not in asked.column_names:
                table = table.append_column(name, done.column(name))
        return table

    def fields(self) -> list[StructField]:
        """The columns that are added, in order."""
        fields = []
        for computation in self.service.computations:
            if isinstance(computation, Derived):
                name = feature_column(computation.view, computation.name)
                fields.append(StructField(name, _spark_type(computation.type)))
            else:
                fields += [
                    StructField(feature_column(computation.view, name), _spark_type(kind))
                    for name, kind in computation.outputs
                ]
        return fields


def _spark_type(kind: ColumnType) -> DataType:
    return DataType.fromDDL(kind.spark)


def _with_request(table: pa.Table, service: Service) -> pa.Table:
    """Request columns under their own names, in their declared types."""
    for name, _ in service.request:
        if name in table.column_names:
            table = table.drop_columns([name])
        place = table.column_names.index(REQUEST + name)
        names = list(table.column_names)
        names[place] = name
        table = table.rename_columns(names)
    return table

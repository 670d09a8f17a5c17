"""Splits JSON objects into columns of text, in Spark's tasks; how: ``compute.json_texts``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa

from feldspar.compute.json_texts import split


@dataclass(frozen=True)
class Splitter:
    """Puts columns of text in place of a column of JSON objects.

    A value that is no object, or that has a key of another name, goes whole into ``corrupt``; a
    value that is null has neither.
    """

    value: str
    names: tuple[str, ...]
    corrupt: str

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """For ``mapInArrow``: the other columns, ``corrupt``, and the names in their order."""
        for batch in batches:
            kept = [name for name in batch.schema.names if name != self.value]
            others = [batch.column(name) for name in kept]
            added = self._columns(batch.column(self.value).to_pylist())
            texts = [pa.array(column, pa.string()) for column in added]
            names = [*kept, self.corrupt, *self.names]
            yield pa.RecordBatch.from_arrays([*others, *texts], names=names)

    def _columns(self, texts: list[str | None]) -> list[list[str | None]]:
        known = set(self.names)
        corrupt: list[str | None] = []
        columns: list[list[str | None]] = [[] for _ in self.names]
        for text in texts:
            found = {} if text is None else split(text)
            fits = found is not None and found.keys() <= known
            corrupt.append(None if fits else text)
            values = found if found is not None and fits else {}
            for name, column in zip(self.names, columns, strict=True):
                column.append(values.get(name))
        return [corrupt, *columns]

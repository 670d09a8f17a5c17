"""Part files that are either finished or not there: written aside, then renamed.

A temporary name begins with a dot, which no reader of a folder takes for data.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa
import pyarrow.parquet as pq

from payments.manifest import GeneratedFile


class _Part:
    """A file that is being written."""

    def __init__(self, folder: Path, path: str) -> None:
        self.target = folder / path
        self.temporary = self.target.with_name(f".{self.target.name}.tmp")
        self.path = path
        self.rows = 0
        self.target.parent.mkdir(parents=True, exist_ok=True)

    def finish(self) -> GeneratedFile:
        """Gives the closed file its name."""
        size = self.temporary.stat().st_size
        self.temporary.replace(self.target)
        return GeneratedFile(path=self.path, rows=self.rows, bytes=size)


class TextSeries:
    """Text files of one source, one after the other; use as a context manager.

    Args:
        folder: folder of the whole data set.
        header: bytes that every file begins with.
    """

    def __init__(self, folder: Path, header: bytes = b"") -> None:
        self.files: list[GeneratedFile] = []
        self._folder = folder
        self._header = header
        self._part: _Part | None = None

    def write(self, path: str, content: bytes, *, rows: int) -> None:
        """Appends to the file of this path; another path than before ends the file before."""
        if self._part is None or self._part.path != path:
            self._end()
            self._part = _Part(self._folder, path)
            self._part.temporary.write_bytes(self._header)
        with self._part.temporary.open("ab") as file:
            file.write(content)
        self._part.rows += rows

    def _end(self) -> None:
        if self._part is not None:
            self.files.append(self._part.finish())
            self._part = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self._end()


class ParquetSeries:
    """Parquet files of one source, one after the other; use as a context manager.

    Args:
        folder: folder of the whole data set.
        schema: of every batch.
    """

    def __init__(self, folder: Path, schema: pa.Schema) -> None:
        self.files: list[GeneratedFile] = []
        self._folder = folder
        self._schema = schema
        self._part: _Part | None = None
        self._writer: pq.ParquetWriter | None = None

    def write(self, path: str, batch: pa.RecordBatch) -> None:
        """Appends a row group; another path than before ends the file before."""
        if self._part is None or self._part.path != path:
            self._end()
            self._part = _Part(self._folder, path)
            self._writer = pq.ParquetWriter(self._part.temporary, self._schema, compression="zstd")
        if self._writer is not None:
            self._writer.write_batch(batch)
        self._part.rows += batch.num_rows

    def _end(self) -> None:
        if self._part is not None and self._writer is not None:
            self._writer.close()
            self.files.append(self._part.finish())
        self._part = self._writer = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self._end()
        elif self._writer is not None:
            self._writer.close()

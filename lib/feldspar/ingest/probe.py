"""Looks into each new file before Spark does: its format, its columns, or why it cannot be used.

Cheap by design: a Parquet footer or a CSV header, never the rows. What only shows while rows
are read is found by ``ingest.files``.
"""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from enum import Enum

import pyarrow as pa
import pyarrow.parquet as pq

from feldspar.errors import StoreError
from feldspar.graph.observed import WaitingFile
from feldspar.ingest.columns import NOTHING, unusable
from feldspar.spec.environment import StorageSpec
from feldspar.stores import objects

_THREADS = 8
_HEADER_BYTES = 65_536


class Format(Enum):
    """How a file is written, told by the end of its name."""

    PARQUET = "parquet"
    CSV = "csv"
    JSON = "json"


_ENDINGS = {
    ".parquet": Format.PARQUET,
    ".csv": Format.CSV,
    ".jsonl": Format.JSON,
    ".ndjson": Format.JSON,
    ".json": Format.JSON,
}


@dataclass(frozen=True, order=True)
class FileColumn:
    """A column as a file has it, with the type that Spark gives it.

    ``kind`` is empty where only Spark can tell (nested values).
    """

    name: str
    kind: str
    nanoseconds: bool = False
    """A time to the nanosecond, which Spark reads as a number."""


@dataclass(frozen=True)
class Readable:
    """A file that can be read with others of the same format and columns."""

    file: WaitingFile
    format: Format
    columns: tuple[FileColumn, ...]
    """Empty for JSON lines, whose rows each name their own."""
    pushed: bool = False
    """Whether its rows came over HTTP: a line has one as text, and since when it is known."""


@dataclass(frozen=True)
class SetAside:
    """A file that cannot be used, and why."""

    file: WaitingFile
    error: str


def probe_files(
    files: Sequence[WaitingFile], storage: StorageSpec, *, inbox: str
) -> tuple[list[Readable], list[SetAside]]:
    """Sorts files into readable ones and ones to set aside, in the order given.

    Args:
        files: to look into.
        storage: where they are.
        inbox: the folder of rows that came over HTTP.

    Raises:
        StoreError: the storage failed, which says nothing of the files.
    """
    with ThreadPoolExecutor(_THREADS) as pool:
        found = list(pool.map(lambda file: _probe(file, storage), files))
    readable = [
        replace(one, pushed=one.file.uri.startswith(f"{inbox}/"))
        for one in found
        if isinstance(one, Readable)
    ]
    aside = [one for one in found if isinstance(one, SetAside)]
    return readable, aside


def _probe(file: WaitingFile, storage: StorageSpec) -> Readable | SetAside:
    name = file.uri.lower().removesuffix(".gz")
    kind = next((kind for ending, kind in _ENDINGS.items() if name.endswith(ending)), None)
    if kind is None:
        known = ", ".join(_ENDINGS)
        return SetAside(file, f"no known format; names end in {known} (and .gz for text)")
    if file.size == 0:
        return SetAside(file, "the file is empty (0 bytes)")
    try:
        columns = _columns(file, kind, storage=storage)
    except (pa.ArrowException, OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        if "AWS Error" in str(error):
            raise StoreError(f"{file.uri}: {error}", hint="run it again") from error
        return SetAside(file, f"cannot be read as {kind.value}: {str(error).splitlines()[0]}")
    problem = unusable(column.name for column in columns)
    return SetAside(file, problem) if problem else Readable(file, kind, columns)


def _columns(file: WaitingFile, kind: Format, *, storage: StorageSpec) -> tuple[FileColumn, ...]:
    match kind:
        case Format.PARQUET:
            return _parquet_columns(file, storage)
        case Format.CSV:
            return _csv_columns(file, storage)
        case Format.JSON:
            return ()


def _parquet_columns(file: WaitingFile, storage: StorageSpec) -> tuple[FileColumn, ...]:
    filesystem, path = objects.filesystem(storage, file.uri)
    with filesystem.open_input_file(path) as stream:
        schema = pq.ParquetFile(stream).schema_arrow
    return tuple(
        FileColumn(
            field.name,
            _spark_type(field.type),
            nanoseconds=pa.types.is_timestamp(field.type) and field.type.unit == "ns",
        )
        for field in schema
    )


def _spark_type(kind: pa.DataType) -> str:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_timestamp(kind):
        return "timestamp" if kind.tz else "timestamp_ntz"
    if pa.types.is_decimal(kind):
        return f"decimal({kind.precision},{kind.scale})"
    return _SPARK_TYPES.get(str(kind), "")


_SPARK_TYPES = {
    "null": NOTHING,
    "bool": "boolean",
    "int8": "tinyint",
    "int16": "smallint",
    "int32": "int",
    "int64": "bigint",
    "uint8": "smallint",
    "uint16": "int",
    "uint32": "bigint",
    "uint64": "decimal(20,0)",
    "float": "float",
    "double": "double",
    "string": "string",
    "large_string": "string",
    "string_view": "string",
    "binary": "binary",
    "large_binary": "binary",
    "date32[day]": "date",
}


def _csv_columns(file: WaitingFile, storage: StorageSpec) -> tuple[FileColumn, ...]:
    filesystem, path = objects.filesystem(storage, file.uri)
    with filesystem.open_input_stream(path, compression=None) as stream:
        start = stream.read(_HEADER_BYTES)
    if file.uri.lower().endswith(".gz"):
        start = gzip.GzipFile(fileobj=io.BytesIO(start)).read1(_HEADER_BYTES)
    line = start.split(b"\n", 1)[0].decode("utf-8-sig").strip()
    names = [name.strip() for name in next(csv.reader([line]), [])]
    if not names or len(set(names)) != len(names) or "" in names:
        raise InvalidHeaderError(f"its first line is no header of distinct names: {line[:80]!r}")
    return tuple(FileColumn(name, "string") for name in names)


class InvalidHeaderError(OSError):
    """The first line of a CSV file does not name its columns."""

"""One version of a bucketed table as a frozen list of files, for tasks that read their own.

The list is taken from the table's log once, by whoever plans the work; a task opens exactly these
files, on a disk or in a bucket, and never looks into a folder.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable

from feldspar.errors import StoreError
from feldspar.names import BUCKET, EVENT_TIME, KNOWN_TIME
from feldspar.spec.environment import StorageSpec
from feldspar.stores import objects
from feldspar.stores.tables import log
from feldspar.stores.tables.again import again
from feldspar.stores.tables.lake import Lake
from feldspar.times import to_micros

BUCKETS = "feldspar.buckets"
"""The table property that says how many buckets there are."""
ROWS_AT_ONCE = 4_000_000
BYTES_AT_ONCE = 64_000_000
Longs = npt.NDArray[np.int64]


@dataclass(frozen=True)
class DataFile:
    """One data file: its place below the table's folder, its rows and bytes.

    ``newest``: no row happened or was known after it, in microseconds; None: the log does not say.
    """

    path: str
    rows: int
    size: int
    newest: int | None = None

    def reaches(self, since: int | None) -> bool:
        """Whether a row may have happened or been known at ``since`` or later."""
        return since is None or self.newest is None or self.newest >= since


@dataclass(frozen=True)
class BucketedTable:
    """The files of one version of a table, by bucket; plain data that travels to executors.

    Attributes:
        storage: where the table lies.
        uri: its folder.
        version: of the table.
        schema: columns and types; those that an older file lacks are null there.
        buckets: how many buckets, a power of two.
        files: bucket to data files.
    """

    storage: StorageSpec
    uri: str
    version: int
    schema: pa.Schema
    buckets: int
    files: Mapping[int, tuple[DataFile, ...]]

    @property
    def size(self) -> int:
        """Bytes of all data files."""
        return sum(file.size for files in self.files.values() for file in files)

    @property
    def most_runs(self) -> int:
        """Files in the bucket that has the most of them."""
        return max((len(files) for files in self.files.values()), default=0)

    def runs(self, bucket: int, *, since: int | None = None) -> Iterator[FileRun]:
        """The runs of a bucket: its files, long ones in parts of whole row groups.

        Files all of whose rows happened and were known before ``since`` are left out.
        """
        for file in self.files.get(bucket, ()):
            if not file.reaches(since):
                continue
            opened = _open(self.storage, f"{self.uri}/{file.path}")
            yield from (FileRun(opened, part, self.schema) for part in _parts(opened))


@again
def bucketed_table(lake: Lake, layer: str, name: str, *, version: int) -> BucketedTable | None:
    """The files of a version, or None where the table is not laid out in buckets.

    Raises:
        TableNotFoundError: there is no such table.
    """
    table = _opened(lake, layer, name, version=version)
    if table is None:
        return None
    added = pa.table(table.get_add_actions(flatten=True))
    files: dict[int, list[DataFile]] = {}
    for row in added.to_pylist():
        file = DataFile(row["path"], int(row["num_records"] or 0), row["size_bytes"], _newest(row))
        files.setdefault(int(row[f"partition.{BUCKET}"]), []).append(file)
    return _of_files(lake, layer, name, table, files)


@again
def added_in_buckets(
    lake: Lake, layer: str, name: str, *, after: int, upto: int
) -> BucketedTable | None:
    """The files that the versions in (after, upto] added, be they merged since; else as above.

    Raises:
        TableNotFoundError: there is no such table.
        StoreError: a version removed or rewrote rows, or is no longer kept.
    """
    table = _opened(lake, layer, name, version=upto)
    if table is None:
        return None
    uri = lake.uri(layer, name)
    files: dict[int, list[DataFile]] = {}
    for one in log.added_files(lake.storage, uri, after=after, upto=upto):
        file = DataFile(one.path.removeprefix(f"{uri}/"), one.rows, one.size)
        files.setdefault(int(one.part[BUCKET]), []).append(file)
    return _of_files(lake, layer, name, table, files)


def _opened(lake: Lake, layer: str, name: str, *, version: int) -> DeltaTable | None:
    """None where the table is not laid out in buckets."""
    table = log.open_table(lake, layer, name)
    if table.version() != version:
        table.load_as_version(version)
    metadata = table.metadata()
    is_split = list(metadata.partition_columns) == [BUCKET]
    return table if is_split and BUCKETS in metadata.configuration else None


def _of_files(
    lake: Lake, layer: str, name: str, table: DeltaTable, files: Mapping[int, Sequence[DataFile]]
) -> BucketedTable:
    return BucketedTable(
        lake.storage,
        lake.uri(layer, name),
        table.version(),
        pa.schema(table.schema().to_arrow()),
        int(table.metadata().configuration[BUCKETS]),
        {bucket: tuple(found) for bucket, found in files.items()},
    )


def _newest(row: Mapping[str, Any]) -> int | None:
    """From the file's statistics, which cut times to milliseconds."""
    found = [row.get(f"max.{name}") for name in (EVENT_TIME, KNOWN_TIME)]
    times = [one for one in found if isinstance(one, datetime)]
    return max(map(to_micros, times)) + 1_000 if len(times) == len(found) else None


def _open(storage: StorageSpec, uri: str) -> pq.ParquetFile:
    filesystem, path = objects.filesystem(storage, uri)
    try:
        return pq.ParquetFile(path, filesystem=filesystem, memory_map=not storage.on_s3)
    except FileNotFoundError as error:
        raise StoreError(
            f"{uri}: the table's log names this file, but it is gone",
            hint="it was vacuumed while it was read, or removed by hand: run the command again",
        ) from error


def _parts(file: pq.ParquetFile) -> Iterator[tuple[int, ...]]:
    """Consecutive row groups of at most ``ROWS_AT_ONCE`` rows, or a single greater one."""
    part: list[int] = []
    rows = 0
    for group in range(file.metadata.num_row_groups):
        size = file.metadata.row_group(group).num_rows
        if part and rows + size > ROWS_AT_ONCE:
            yield tuple(part)
            part, rows = [], 0
        part.append(group)
        rows += size
    if part:
        yield tuple(part)


@dataclass(frozen=True, eq=False)
class FileRun:
    """Some row groups of one file; see ``compute.layout.Run``."""

    file: pq.ParquetFile
    groups: tuple[int, ...]
    schema: pa.Schema

    @cached_property
    def _ends(self) -> Longs:
        sizes = [self.file.metadata.row_group(group).num_rows for group in self.groups]
        return np.cumsum(sizes, dtype=np.int64)

    @property
    def rows(self) -> int:
        """How many rows."""
        return int(self._ends[-1])

    def read(self, columns: Sequence[str]) -> pa.Table:
        """Some columns of all rows, in the order of the file."""
        return self._read(columns, self.groups)

    def take(self, columns: Sequence[str], rows: pa.Array) -> Iterator[pa.Table]:
        """Some columns of the rows at some positions; row groups without one are not read."""
        asked = rows.fill_null(-1).to_numpy(zero_copy_only=False)
        group = np.searchsorted(self._ends, asked, side="right")
        touched = np.unique(group[asked >= 0])
        starts = np.concatenate(([0], self._ends))
        lengths = starts[touched + 1] - starts[touched]
        shift = np.zeros(len(self.groups), dtype=np.int64)
        shift[touched] = starts[touched] - (np.cumsum(lengths) - lengths)
        places = pa.array(asked - shift[group], mask=asked < 0)
        groups = tuple(self.groups[one] for one in touched)
        for part in self._columns_at_once(columns):
            yield self._read(part, groups).take(places)

    def _columns_at_once(self, columns: Sequence[str]) -> Iterator[list[str]]:
        """The columns in groups of bounded size: on a server one group is one round of requests."""
        width = max(1, BYTES_AT_ONCE // (8 * max(1, self.rows)))
        for start in range(0, len(columns), width):
            yield list(columns[start : start + width])

    def _read(self, columns: Sequence[str], groups: Sequence[int]) -> pa.Table:
        held = self.file.schema_arrow.names
        table = self.file.read_row_groups(
            list(groups), columns=[name for name in columns if name in held], use_threads=False
        )
        rows = sum(self.file.metadata.row_group(group).num_rows for group in groups)
        arrays = [
            table.column(name).cast(self.schema.field(name).type)
            if name in held
            else pa.nulls(rows, self.schema.field(name).type)
            for name in columns
        ]
        return pa.table(arrays, names=list(columns))

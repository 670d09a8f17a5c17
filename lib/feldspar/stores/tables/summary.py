"""What a table holds, from its log alone: rows, bytes, version, freshness; no data is read."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import fs

from feldspar.names import EVENT_TIME
from feldspar.stores import objects
from feldspar.stores.tables import log
from feldspar.stores.tables.again import again
from feldspar.stores.tables.lake import LAYERS, Lake
from feldspar.times import from_micros

AT_ONCE = 8
"""Logs that are read at the same time: each waits for the storage most of its time."""


@dataclass(frozen=True)
class TableSummary:
    """One table as its newest version says."""

    layer: str
    name: str
    version: int
    rows: int | None
    """None where a file states no count."""
    size: int
    """Bytes of the data files."""
    files: int
    newest_event: datetime | None
    """To the millisecond, as the files' statistics have it."""
    committed: datetime
    columns: tuple[tuple[str, str], ...]


def table_names(lake: Lake) -> tuple[tuple[str, str], ...]:
    """(layer, name) of every table that lies in the lake."""
    return tuple((layer, name) for layer in LAYERS for name in _folders(lake, layer))


def summaries(lake: Lake, names: Sequence[tuple[str, str]]) -> tuple[TableSummary, ...]:
    """One summary a table, in the order of ``names``.

    Raises:
        TableNotFoundError: a table is not there.
    """
    with ThreadPoolExecutor(AT_ONCE) as pool:
        futures = [pool.submit(summarise, lake, layer, name) for layer, name in names]
        return tuple(future.result() for future in futures)


@again
def summarise(lake: Lake, layer: str, name: str) -> TableSummary:
    """What the log of one table says.

    Raises:
        TableNotFoundError: the table is not there.
    """
    table = log.open_table(lake, layer, name)
    files = pa.table(table.get_add_actions(flatten=True))
    commit = log.read_commit(lake, layer, name, version=table.version())
    return TableSummary(
        layer=layer,
        name=name,
        version=table.version(),
        rows=_rows(files),
        size=pc.sum(files["size_bytes"]).as_py() or 0,
        files=files.num_rows,
        newest_event=_newest(files),
        committed=from_micros(commit.timestamp),
        columns=tuple((field.name, _type_name(field.type)) for field in table.schema().fields),
    )


@again
def newest_event(lake: Lake, layer: str, name: str, *, version: int) -> datetime | None:
    """The newest event of one version, as its files' statistics have it.

    Raises:
        TableNotFoundError: the table is not there.
        UnreachableError: the version is no longer kept.
    """
    table = log.open_table(lake, layer, name)
    table.load_as_version(version)
    return _newest(pa.table(table.get_add_actions(flatten=True)))


def _folders(lake: Lake, layer: str) -> list[str]:
    filesystem, path = objects.filesystem(lake.storage, lake.uri(layer, ""))
    selector = fs.FileSelector(path, allow_not_found=True)
    found = filesystem.get_file_info(selector)
    return sorted(info.base_name for info in found if info.type == fs.FileType.Directory)


def _rows(files: pa.Table) -> int | None:
    if files.num_rows == 0:
        return 0
    counts = files["num_records"]
    return None if counts.null_count else int(pc.sum(counts).as_py())


def _newest(files: pa.Table) -> datetime | None:
    name = f"max.{EVENT_TIME}"
    if name not in files.column_names or files.num_rows == 0:
        return None
    newest = pc.max(files[name]).as_py()
    return newest if isinstance(newest, datetime) else None


def _type_name(kind: object) -> str:
    """A Delta type in the words of definitions."""
    text = getattr(kind, "type", str(kind))
    return {"long": "bigint", "integer": "int"}.get(str(text), str(text))

"""Gives the upkeep of tables something to do: many small files, and such as are old enough to go.

A run of faults has a few batches; here a table comes to look as if it had had many, long ago.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from feldspar.stores.tables.log import open_table
from feldspar.times import to_micros, utc_now
from support.killing import Project

LONG_AGO = timedelta(days=8)
"""More than ``feldspar vacuum`` retains unless it is told otherwise."""
_SPLIT_BY = "partition."


def scatter(project: Project, layer: str, name: str, *, pieces: int) -> None:
    """Lays the rows of a table's largest file into as many files, or one a row.

    As where files are merged, the commit says that no row came or went.
    """
    folder = Path(project.lake.uri(layer, name))
    table = open_table(project.lake, layer, name)
    files = pa.table(table.get_add_actions(flatten=True)).to_pylist()
    largest = max(files, key=lambda file: file["size_bytes"])
    split_by = {
        key.removeprefix(_SPLIT_BY): str(value)
        for key, value in largest.items()
        if key.startswith(_SPLIT_BY)
    }
    actions = _moved(folder, largest["path"], split_by, pieces=pieces)
    version = folder / "_delta_log" / f"{table.version() + 1:020d}.json"
    lines = [json.dumps(action, separators=(",", ":")) + "\n" for action in actions]
    version.write_text("".join(lines), encoding="utf-8")


def _moved(
    folder: Path, path: str, split_by: Mapping[str, str], *, pieces: int
) -> Iterator[dict[str, Any]]:
    """What a commit says of a file whose rows went into others."""
    rows = pq.ParquetFile(folder / path).read()
    length = -(-rows.num_rows // pieces)
    now = to_micros(utc_now()) // 1_000
    same = {"partitionValues": split_by, "dataChange": False}
    yield {"commitInfo": {"timestamp": now, "operation": "SCATTER"}}
    yield {"remove": {"path": path, "deletionTimestamp": now, **same}}
    for start in range(0, rows.num_rows, length):
        part = rows.slice(start, length)
        piece = path.replace(".parquet", f"-{start}.parquet")
        pq.write_table(part, folder / piece)
        size = (folder / piece).stat().st_size
        stats = json.dumps({"numRecords": part.num_rows})
        yield {
            "add": {"path": piece, "size": size, "modificationTime": now, "stats": stats, **same}
        }


def age(project: Project) -> None:
    """As if everything in the lake had been written long ago."""
    seconds = (utc_now() - LONG_AGO).timestamp()
    for path in (project.folder / "lake").rglob("*"):
        os.utime(path, (seconds, seconds))


def start_vacuum(project: Project) -> subprocess.Popen[bytes]:
    """``feldspar vacuum`` as a process that can be killed."""
    words = ("vacuum", "--conf", str(project.folder / "conf"), "--env", "disk")
    return project.launch([sys.executable, "-m", "feldspar.cli.main", *words])

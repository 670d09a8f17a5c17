"""What lies in a table's folder that no kept version needs, and its removal.

Kept are the files of the oldest version that is to stay readable, and whatever any later version
added, also where it was replaced since: a reader that lags finds all of it. That is told from the
log itself, commit by commit, so it depends on no clock and on no tombstone that a checkpoint has
dropped. A file that no version names may belong to a write that is on its way: it stays until it is
as old as the retention.

The log is cut before the newest checkpoint that the oldest kept version can be read from. Delta
itself would cut it by age alone, whoever still reads: tables are made with that off.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from urllib.parse import unquote

import pyarrow as pa
from pyarrow import fs

from feldspar.stores import objects
from feldspar.stores.tables import log
from feldspar.stores.tables.again import again
from feldspar.stores.tables.lake import Lake

AT_ONCE = 16
"""Small requests at the same time: each waits for the storage most of its time."""
_LOG = "_delta_log/"
_COMMIT = re.compile(r"_delta_log/(\d{20})\.json$")
_CHECKPOINT = re.compile(r"_delta_log/(\d{20})\.checkpoint\.parquet$")
_OF_VERSION = re.compile(r"_delta_log/(\d{20})\.(json|crc|checkpoint\..*)$")
_DATA = re.compile(r"(\w+=[^/]*/)*[^/_.][^/]*\.parquet$")


@dataclass(frozen=True)
class Stored:
    """One file: its path below the table's folder, bytes, when it was written (microseconds)."""

    path: str
    size: int
    written: int


@dataclass(frozen=True)
class Folder:
    """All that lies in a table's folder at one moment."""

    lake: Lake
    layer: str
    name: str
    files: tuple[Stored, ...]

    @property
    def commits(self) -> Mapping[int, int]:
        """Versions that can still be read, and when each was committed (microseconds)."""
        found = [(_COMMIT.match(one.path), one.written) for one in self.files]
        times = {int(match[1]): written for match, written in found if match}
        checkpoints = [_CHECKPOINT.match(one.path) for one in self.files]
        begins = 0 if 0 in times else min((int(one[1]) for one in checkpoints if one), default=0)
        return {version: time for version, time in times.items() if version >= begins}

    def version_at(self, instant: int) -> int:
        """The version that was the newest at a time; the oldest one where the log begins later."""
        commits = self.commits
        before = [version for version, written in commits.items() if written <= instant]
        return max(before, default=min(commits, default=0))


@dataclass(frozen=True)
class Waste:
    """What may go from one table.

    Attributes:
        folder: where it lies.
        version: the oldest that stays readable.
        data: data files.
        log: entries of its log.
    """

    folder: Folder
    version: int
    data: tuple[Stored, ...]
    log: tuple[Stored, ...]

    @property
    def size(self) -> int:
        """Bytes in all."""
        return sum(one.size for one in (*self.data, *self.log))


@again
def listed(lake: Lake, layer: str, name: str) -> Folder:
    """The folder of a table as it is now."""
    filesystem, path = objects.filesystem(lake.storage, lake.uri(layer, name))
    found = filesystem.get_file_info(fs.FileSelector(path, recursive=True, allow_not_found=True))
    files = [
        Stored(info.path.removeprefix(f"{path}/"), info.size, info.mtime_ns // 1_000)
        for info in found
        if info.type is fs.FileType.File
    ]
    return Folder(lake, layer, name, tuple(sorted(files, key=lambda one: one.path)))


def waste(folder: Folder, *, version: int, before: int) -> Waste:
    """What no version from ``version`` on needs.

    Args:
        folder: as ``listed``.
        version: the oldest that is to stay readable.
        before: files that were written since (microseconds) stay, for they may be on their way.

    Raises:
        StoreError: the log does not tell of all of these versions.
    """
    kept = _kept(folder, version)
    data = [
        one
        for one in folder.files
        if _DATA.match(one.path) and one.written < before and unquote(one.path) not in kept
    ]
    return Waste(folder, version, tuple(data), tuple(_old_log(folder.files, version)))


def remove(found: Waste) -> None:
    """Deletes it: data first, then the log from its start, so that a stop in between harms nothing.

    Raises:
        UnreachableError: the store broke off.
    """
    folder = found.folder
    uri = folder.lake.uri(folder.layer, folder.name)
    filesystem, path = objects.filesystem(folder.lake.storage, uri)

    @again
    def delete(one: Stored) -> None:
        if filesystem.get_file_info(f"{path}/{one.path}").type is fs.FileType.File:
            filesystem.delete_file(f"{path}/{one.path}")

    for files in (found.data, found.log):
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for done in [pool.submit(delete, one) for one in files]:
                done.result()


def _kept(folder: Folder, version: int) -> set[str]:
    lake, uri = folder.lake, folder.lake.uri(folder.layer, folder.name)
    kept = _files_of(folder, version)
    later = [one for one in folder.commits if one > version]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        added = pool.map(lambda one: log.named_files(lake.storage, uri, version=one), later)
        kept.update(*added)
    # commits since the listing
    return kept | _files_of(folder, None)


@again
def _files_of(folder: Folder, version: int | None) -> set[str]:
    table = log.open_table(folder.lake, folder.layer, folder.name)
    if version is not None and version != table.version():
        table.load_as_version(version)
    return {unquote(path) for path in pa.table(table.get_add_actions())["path"].to_pylist()}


def _old_log(files: Iterable[Stored], version: int) -> list[Stored]:
    """Entries before the newest checkpoint of ``version`` or earlier."""
    names = [(one, _OF_VERSION.match(one.path)) for one in files if one.path.startswith(_LOG)]
    checkpoints = [
        int(match[1]) for one, _ in names if (match := _CHECKPOINT.match(one.path)) is not None
    ]
    base = max((one for one in checkpoints if one <= version), default=0)
    return [one for one, match in names if match and int(match[1]) < base]

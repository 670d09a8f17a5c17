"""Reads Delta logs without a JVM: versions, cursors, properties, what one commit did.

Tables are opened afresh at each call; nothing here writes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError as NoDeltaTable
from deltalake.schema import PrimitiveType

from feldspar.errors import OvertakenError, StoreError, TableNotFoundError
from feldspar.graph.observed import TableState
from feldspar.spec.environment import StorageSpec
from feldspar.stores import objects
from feldspar.stores.tables.again import again
from feldspar.stores.tables.lake import Lake

DEFINITION = "feldspar.definition"
GENERATION = "feldspar.generation"
SOURCE_GENERATION = "feldspar.source_generation"
LAYOUT = "feldspar.layout"
STATISTICS = "delta.dataSkippingStatsColumns"


NOTE = "userMetadata"
"""Where a commit keeps what its writer says of it."""
FENCE = "feldspar.fence"
"""In a commit's information: it has no rows, and shuts out earlier runs (``epochs``)."""
_SPARK_TYPES = {"long": "bigint", "integer": "int", "short": "smallint", "byte": "tinyint"}
_POSITION_BITS = 32
_POSITIONS = (1 << _POSITION_BITS) - 1


@dataclass(frozen=True)
class Txn:
    """Names a write: ``app`` counts, ``position`` says how far its source was read.

    ``epoch`` is that of the run that writes (``epochs``); 0: no other run writes there.

    >>> Txn.of("refine:payments#0", Txn("refine:payments#0", 7, epoch=2).version)
    Txn(app='refine:payments#0', position=7, epoch=2)
    """

    app: str
    position: int
    epoch: int = 0

    @property
    def version(self) -> int:
        """What Delta is told, and skips where it is not higher than the last: the later epoch's
        is always higher. Within an epoch 0 stands for a source that was not read yet.
        """
        if not self.epoch:
            return self.position
        return (self.epoch << _POSITION_BITS) + self.position + 1

    @staticmethod
    def of(app: str, version: int) -> Txn:
        """What a version in a log says."""
        epoch = version >> _POSITION_BITS
        return Txn(app, (version & _POSITIONS) - 1 if epoch else version, epoch)


@dataclass(frozen=True)
class Commit:
    """One version of a table: what was done, by which cursors, with which counts."""

    version: int
    operation: str
    metrics: dict[str, int] = field(default_factory=dict)
    txns: tuple[Txn, ...] = ()
    timestamp: int = 0
    """Microseconds since the epoch."""
    note: str = ""
    """What its writer put beside the rows."""
    is_fence: bool = False
    """It wrote nothing, and shut out earlier runs."""
    changes_rows: bool = True
    """Some came or went; else they were laid out anew."""
    counted: int = 0
    """Rows of the files that it added, as these say themselves."""

    @property
    def rows(self) -> int:
        """Rows that this commit added."""
        if not self.changes_rows:
            return 0
        told = self.metrics.get("numTargetRowsInserted", self.metrics.get("numOutputRows"))
        return self.counted if told is None else told


def open_table(lake: Lake, layer: str, name: str) -> DeltaTable:
    """The newest version of a table.

    Raises:
        TableNotFoundError: there is no such table in this environment.
    """
    try:
        return open_at(lake.native_uri(layer, name), lake.options())
    except NoDeltaTable as error:
        raise TableNotFoundError(
            f"there is no table {layer}.{name} in namespace {lake.namespace!r}",
            hint="see: feldspar show tables; make it with: feldspar apply",
        ) from error


@again
def open_at(uri: str, options: dict[str, str]) -> DeltaTable:
    """The newest version of the table in a folder; delta-rs's own error where there is none."""
    return DeltaTable(uri, storage_options=options)


@again
def table_state(lake: Lake, layer: str, name: str, *, cursors: Iterable[str]) -> TableState | None:
    """Version, definition and the named cursors of a table; None where there is none.

    Cursor names end in ``#*`` where the generation is the table's own.
    """
    try:
        table = open_table(lake, layer, name)
    except TableNotFoundError:
        return None
    properties = table.metadata().configuration
    generation = int(properties.get(GENERATION, "0"))
    found = {}
    for key in cursors:
        app = key.replace("#*", f"#{generation}")
        last = last_txn(table, app)
        if last is not None and last.position >= 0:
            found[app] = last.position
    return TableState(
        version=table.version(),
        definition=properties.get(DEFINITION),
        cursors=found,
        generation=generation,
        source_generation=int(properties.get(SOURCE_GENERATION, "0")),
        layout=properties.get(LAYOUT),
        columns={one.name: _spark_type(one.type) for one in table.schema().fields},
    )


def _spark_type(kind: object) -> str:
    """The type of a column by Spark's name."""
    name = kind.type if isinstance(kind, PrimitiveType) else str(kind)
    return _SPARK_TYPES.get(name, name)


def is_there(lake: Lake, layer: str, name: str) -> bool:
    """Whether there is such a table."""
    try:
        open_table(lake, layer, name)
    except TableNotFoundError:
        return False
    return True


@again
def schema_text(lake: Lake, layer: str, name: str, *, version: int | None = None) -> str:
    """Columns and types of the newest or of one version, as the log has them (JSON).

    Raises:
        TableNotFoundError: there is no such table.
    """
    table = open_table(lake, layer, name)
    if version is not None and version != table.version():
        table.load_as_version(version)
    return table.schema().to_json()


@again
def is_empty(lake: Lake, layer: str, name: str) -> bool:
    """Whether the newest version of a table has no files, and so no rows."""
    return int(open_table(lake, layer, name).get_add_actions().num_rows) == 0


@again
def last_txn(table: DeltaTable, app: str) -> Txn | None:
    """How far a cursor has come in a table, and in which epoch; None where it never wrote."""
    version = table.transaction_version(app)
    return None if version is None else Txn.of(app, int(version))


def read_commit(lake: Lake, layer: str, name: str, *, version: int) -> Commit:
    """What one version did.

    Raises:
        StoreError: the log no longer holds this version.
    """
    return read_commit_at(lake.storage, lake.uri(layer, name), version=version)


@again
def read_commit_at(storage: StorageSpec, uri: str, *, version: int) -> Commit:
    """What one version of the table in a folder did.

    Raises:
        StoreError: the log no longer holds this version.
    """
    return _commit(version, _kept_actions(storage, uri, version))


def _commit(version: int, actions: list[dict[str, Any]]) -> Commit:
    info: dict[str, Any] = next((one["commitInfo"] for one in actions if "commitInfo" in one), {})
    txns = [one["txn"] for one in actions if "txn" in one]
    metrics = info.get("operationMetrics", {})
    files = [one[kind] for one in actions for kind in ("add", "remove") if kind in one]
    return Commit(
        version=version,
        operation=info.get("operation", ""),
        metrics={key: int(value) for key, value in metrics.items() if str(value).isdigit()},
        txns=tuple(Txn.of(one["appId"], int(one["version"])) for one in txns),
        timestamp=int(info.get("timestamp", 0)) * 1_000,
        note=info.get(NOTE, ""),
        is_fence=FENCE in info,
        changes_rows=any(file.get("dataChange", True) for file in files),
        counted=sum(_counted(one["add"]) for one in actions if "add" in one),
    )


def _counted(added: Mapping[str, Any]) -> int:
    """Rows of a file, as it says itself."""
    return int(json.loads(added.get("stats") or "{}").get("numRecords", 0))


def confirmed(lake: Lake, layer: str, name: str, *, txn: Txn) -> Commit:
    """The commit that carries a write, be it the last try's or an earlier one's.

    Looked for from the end of the log.

    Raises:
        OvertakenError: a later run has taken over.
        StoreError: the table's log does not show it: it was skipped as older than another's.
    """
    for commit in _newest_first(lake, layer, name):
        for found in commit.txns:
            if found.app == txn.app and found.epoch > txn.epoch:
                raise overtaken(f"{layer}.{name}", txn.app)
            same = (found.app, found.position) == (txn.app, txn.position)
            if same and not commit.is_fence:
                return commit
    raise StoreError(
        f"{layer}.{name}: the write {txn.app} at {txn.position} is not in the table's log",
        hint="another driver writes to this table; run one at a time",
    )


def noted(lake: Lake, layer: str, name: str, *, note: str) -> Commit:
    """The newest commit with a note, looked for from the end of the log.

    Raises:
        StoreError: no version has it.
    """
    for commit in _newest_first(lake, layer, name):
        if commit.note == note:
            return commit
    raise StoreError(f"{layer}.{name}: no version has the note {note}", hint="run it again")


def _newest_first(lake: Lake, layer: str, name: str) -> Iterator[Commit]:
    for version in range(open_table(lake, layer, name).version(), -1, -1):
        yield read_commit(lake, layer, name, version=version)


def overtaken(table: str, app: str) -> OvertakenError:
    """The error of a run that finds a later one's mark."""
    return OvertakenError(
        f"{table}: a later run has taken over {app}; this one wrote nothing there any more",
        hint="let the other run finish; feldspar plan shows what is left to do",
    )


def rows_between(lake: Lake, layer: str, name: str, *, after: int | None, upto: int) -> int:
    """Rows that the versions in (after, upto] of an append-only table added.

    Counted without reading them: by the commits, or from the start by the files' own counts,
    because old commits leave the log.
    """
    if after is None:
        return amounts(lake, layer, name, version=upto)[0]
    versions = range(after + 1, upto + 1)
    return sum(read_commit(lake, layer, name, version=version).rows for version in versions)


@again
def amounts(lake: Lake, layer: str, name: str, *, version: int) -> tuple[int, int, int]:
    """Rows, bytes and files of one version, as its files' own counts say."""
    table = open_table(lake, layer, name)
    table.load_as_version(version)
    files = pa.table(table.get_add_actions(flatten=True))
    rows, size = (pc.sum(files[one]).as_py() or 0 for one in ("num_records", "size_bytes"))
    return int(rows), int(size), files.num_rows


@again
def file_sizes(lake: Lake, layer: str, name: str) -> list[int]:
    """Bytes of each data file of the newest version."""
    found = pa.table(open_table(lake, layer, name).get_add_actions())["size_bytes"].to_pylist()
    return [int(size) for size in found]


@again
def may_hold(lake: Lake, layer: str, name: str, *, column: str, low: object, high: object) -> bool:
    """Whether a file of the newest version may have a value from ``low`` to ``high``.

    A file whose statistics do not tell may have any.
    """
    files = pa.table(open_table(lake, layer, name).get_add_actions(flatten=True))
    ends = (f"min.{column}", f"max.{column}")
    if not files.num_rows or not set(ends) <= set(files.column_names):
        return bool(files.num_rows)
    least, most = (files[end] for end in ends)
    apart = pc.or_(
        pc.less(most, pa.scalar(low, most.type)), pc.greater(least, pa.scalar(high, least.type))
    )
    return not bool(pc.all(pc.fill_null(apart, fill_value=False)).as_py())


@dataclass(frozen=True)
class AddedFile:
    """A data file, the version that added it, when (microseconds), its bytes and rows (0: it does
    not say), and the part of the table that it is in, by column.
    """

    path: str
    version: int
    committed: int
    size: int
    rows: int
    part: Mapping[str, str]


def added_files(storage: StorageSpec, uri: str, *, after: int, upto: int) -> list[AddedFile]:
    """Data files that the versions in (after, upto] of the table in a folder added.

    Raises:
        StoreError: a version removed or rewrote rows, which files alone cannot tell.
    """
    files = []
    for version in range(after + 1, upto + 1):
        actions = _kept_actions(storage, uri, version)
        committed = _commit(version, actions).timestamp
        for action in actions:
            if action.get("remove", {}).get("dataChange") or "cdc" in action:
                text = f"version {version} of {uri} changed or removed rows"
                raise StoreError(text, hint="read this source with 'read: change_feed'")
            if action.get("add", {}).get("dataChange"):
                one = action["add"]
                path, part = f"{uri}/{unquote(one['path'])}", one.get("partitionValues", {})
                size, rows = int(one["size"]), _counted(one)
                files.append(AddedFile(path, version, committed, size, rows, part))
    return files


def named_files(storage: StorageSpec, uri: str, *, version: int) -> set[str]:
    """Paths, below the table's folder, of the files that one version added or rewrote.

    Raises:
        StoreError: the log no longer holds this version.
    """
    actions = _kept_actions(storage, uri, version)
    return {unquote(action["add"]["path"]) for action in actions if "add" in action}


@again
def _kept_actions(storage: StorageSpec, uri: str, version: int) -> list[dict[str, Any]]:
    try:
        return _actions(storage, uri, version)
    except FileNotFoundError as error:
        text = f"{uri} no longer keeps version {version} in its log"
        raise StoreError(text, hint="rebuild what reads it, or keep logs longer") from error


def _actions(storage: StorageSpec, uri: str, version: int) -> list[dict[str, Any]]:
    filesystem, path = objects.filesystem(storage, f"{uri}/_delta_log/{version:020d}.json")
    with filesystem.open_input_stream(path) as stream:
        return [json.loads(line) for line in stream.read().decode().splitlines() if line]

"""files -> bronze: each file once, with provenance; what cannot be read is set aside and said.

Order of commits: bronze with cursor ``ingest:<source>`` = load number, then the file list with
the same cursor. A load that stopped between the two is completed from what bronze holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime

import pyarrow as pa
from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import functions as F

from feldspar.errors import InputError, StoreError, UnreachableError
from feldspar.graph.observed import WaitingFile
from feldspar.graph.steps import IngestStep
from feldspar.ingest import bronze
from feldspar.ingest.columns import FILE, NOTHING, misfit, stored_type
from feldspar.ingest.frames import as_kept, read_files, together
from feldspar.ingest.probe import Format, Readable, SetAside, probe_files
from feldspar.ingest.result import IngestResult
from feldspar.ingest.shapes import note_shapes
from feldspar.names import BATCH, POSITION, SERVED_INBOX, cursor
from feldspar.stores import objects
from feldspar.stores.tables import records
from feldspar.stores.tables.causes import cause
from feldspar.stores.tables.log import Commit, Txn
from feldspar.stores.tables.spark import SparkTables

FILES_SCHEMA = pa.schema(
    {
        "source": pa.string(),
        "uri": pa.string(),
        "size": pa.int64(),
        "modified": pa.int64(),
        "batch": pa.int64(),
        "status": pa.string(),
        "error": pa.string(),
        "recorded_at": records.INSTANT,
    }
)
LOADED, ASIDE = "loaded", "set aside"
ONE_TASK = 4 * 2**20
"""Bytes of files that one task reads in no time."""
Progress = Callable[[str], None]


def ingest_files(
    step: IngestStep, tables: SparkTables, *, now: datetime, progress: Progress
) -> IngestResult:
    """Loads the step's files into ``bronze.<source>``.

    Raises:
        InputError: no file could be read, and none ever was: there is nothing to go on with.
        OvertakenError: another run has loaded files since the plan was made.
        StoreError: the storage failed, or bronze could not be written.
    """
    txn = tables.txn(cursor("ingest", step.source), step.batch)
    bronze.claim(step, txn.app, tables, listed="files")
    if step.resume:
        return _complete_list(step, tables, txn=txn, now=now, progress=progress)
    if not step.files:
        raise InputError(f"{step.name}: the step names no files", hint="feldspar plan")
    readable, aside = probe_files(
        step.files, tables.lake.storage, inbox=tables.lake.inbox(step.source)
    )
    readable, misfits = _fit(readable, step=step, tables=tables)
    commit, bad = None, list[SetAside]()
    if readable:
        progress(f"{step.name}: reading {len(readable)} files")
        readable, bad, commit = _load(readable, step, tables=tables, txn=txn, now=now)
    aside = [*aside, *misfits, *bad]
    for one in aside:
        progress(f"{step.name}: set aside {one.file.uri}: {one.error}")
    _record([one.file for one in readable], aside, step=step, tables=tables, txn=txn, now=now)
    _take_out([one.file.uri for one in readable], tables=tables, progress=progress)
    if commit is None and not tables.exists("bronze", step.source):
        raise _nothing_to_read(step, aside)
    return IngestResult(
        step.source,
        step.batch,
        len(readable),
        commit.rows if commit else 0,
        tuple(aside),
        commit.version if commit else None,
    )


def _nothing_to_read(step: IngestStep, aside: Sequence[SetAside]) -> InputError:
    first = aside[0]
    return InputError(
        f"{step.name}: none of {len(aside)} files can be used; {first.file.uri}: {first.error}",
        hint="a file that was set aside is tried again when it has changed",
    )


def _load(
    files: list[Readable], step: IngestStep, *, tables: SparkTables, txn: Txn, now: datetime
) -> tuple[list[Readable], list[SetAside], Commit | None]:
    """Appends to bronze; files whose rows cannot be read are found, set aside, and left out."""
    try:
        return files, [], _append(files, step, tables=tables, txn=txn, now=now)
    except (Py4JJavaError, PySparkException, InputError) as error:
        good, bad = _tell_apart(files, step, tables=tables)
        if not bad:
            raise StoreError(f"{step.name}: writing failed: {cause(error)}") from error
    commit = _append(good, step, tables=tables, txn=txn, now=now) if good else None
    return good, bad, commit


def _append(
    files: Sequence[Readable], step: IngestStep, *, tables: SparkTables, txn: Txn, now: datetime
) -> Commit:
    groups = read_files(tables.spark, files)
    known = bronze.known_columns(tables, step.source)
    rows = as_kept(together(groups), known)
    problem = misfit(bronze.own_columns(rows), known)
    if problem:
        raise InputError(f"{step.name}: {problem}")
    # pushed rows have columns of their table's, whatever files have
    seen = {
        group.shape: [one.file.uri for one in group.files]
        for group in groups
        if not group.files[0].pushed
    }
    note_shapes(seen, step, tables.lake, now=now)
    size = sum(one.file.size for one in files)
    if size <= ONE_TASK:
        # one file, not one a task: whatever follows opens each
        rows = rows.coalesce(1)
    rows = rows.withColumn(POSITION, F.monotonically_increasing_id())
    return bronze.append(rows, step, tables=tables.sized(size), txn=txn, now=now)


def _fit(
    readable: list[Readable], *, step: IngestStep, tables: SparkTables
) -> tuple[list[Readable], list[SetAside]]:
    """Sets aside files whose column types clash with those bronze (or an earlier file) has."""
    known = bronze.known_columns(tables, step.source)
    good, bad = [], []
    for one in readable:
        columns = [(column.name, column.kind) for column in one.columns]
        problem = _no_header(one, known) or misfit(columns, known)
        if problem:
            bad.append(SetAside(one.file, problem))
            continue
        good.append(one)
        _remember(columns, known)
    return good, bad


def _no_header(one: Readable, known: Mapping[str, str]) -> str:
    """A CSV file that shares no column with what was read before begins with a row, most likely:
    it must not be taken for names.
    """
    names = {column.name.lower() for column in one.columns}
    if one.format is not Format.CSV or not known or names & {name.lower() for name in known}:
        return ""
    before = ", ".join(known)
    return f"its first line names none of the columns that were read before ({before})"


def _remember(columns: Iterable[tuple[str, str]], known: dict[str, str]) -> None:
    for name, kind in columns:
        if kind != NOTHING:
            known.setdefault(name, stored_type(kind))


def _tell_apart(
    files: Sequence[Readable], step: IngestStep, *, tables: SparkTables
) -> tuple[list[Readable], list[SetAside]]:
    """Reads each file alone, to the end, to find those that cannot be read.

    Raises:
        UnreachableError: the storage is away, which says nothing of the files.
    """
    known = bronze.known_columns(tables, step.source)
    good, bad = [], []
    for one in files:
        problem = _unreadable(one, known, tables=tables)
        if problem:
            bad.append(SetAside(one.file, problem))
        else:
            good.append(one)
    if bad:
        objects.probe(tables.lake.storage)
    return good, bad


def _unreadable(one: Readable, known: dict[str, str], *, tables: SparkTables) -> str:
    try:
        rows = together(read_files(tables.spark, [one]))
        problem = misfit(bronze.own_columns(rows), known)
        if not problem:
            rows.write.format("noop").mode("overwrite").save()
            _remember(bronze.own_columns(rows), known)
    except InputError as error:
        return error.message
    except (Py4JJavaError, PySparkException) as error:
        return f"cannot be read: {cause(error)}"
    return problem


def _complete_list(
    step: IngestStep, tables: SparkTables, *, txn: Txn, now: datetime, progress: Progress
) -> IngestResult:
    """After a stop between the two commits: the list of files is what bronze holds of the load."""
    loaded = tables.read("bronze", step.source).where(F.col(BATCH) == step.batch)
    # as many as one load has files: the driver held as long a list when it made the step
    names = {row[FILE] for row in loaded.select(FILE).distinct().collect()}
    waiting = {file.uri.replace("s3://", "s3a://", 1): file for file in step.files}
    unknown = {"size": None, "modified": None}
    rows = [
        _listed(step, waiting[name], LOADED, None, now=now)
        if name in waiting
        # it has gone since it was loaded
        else {**_listed(step, WaitingFile(name, 0, 0), LOADED, None, now=now), **unknown}
        for name in sorted(names)
    ]
    records.append(tables.lake, "files", rows, schema=FILES_SCHEMA, txn=txn)
    _take_out(sorted(names), tables=tables, progress=progress)
    return IngestResult(step.source, step.batch, len(names), loaded.count(), (), None)


def _take_out(names: Sequence[str], *, tables: SparkTables, progress: Progress) -> None:
    """Deletes logged answers that both commits have: they would be listed at every plan, for ever.

    Whoever else brings files keeps them.
    """
    inbox = tables.lake.uri(*SERVED_INBOX.split("/"))
    try:
        objects.delete_files(
            [name for name in names if name.startswith(f"{inbox}/")], tables.lake.storage
        )
    except UnreachableError as error:
        progress(f"files that were loaded stay in the inbox: {error.message}")


def _record(
    loaded: Sequence[WaitingFile],
    aside: Sequence[SetAside],
    *,
    step: IngestStep,
    tables: SparkTables,
    txn: Txn,
    now: datetime,
) -> None:
    outcomes: list[tuple[WaitingFile, str, str | None]] = [
        *((file, LOADED, None) for file in loaded),
        *((one.file, ASIDE, one.error) for one in aside),
    ]
    rows = [_listed(step, file, status, error, now=now) for file, status, error in outcomes]
    records.append(tables.lake, "files", rows, schema=FILES_SCHEMA, txn=txn)


def _listed(
    step: IngestStep, file: WaitingFile, status: str, error: str | None, *, now: datetime
) -> dict[str, object]:
    """A row of the list of files."""
    return {
        "source": step.source,
        "uri": file.uri,
        "size": file.size,
        "modified": file.modified,
        "batch": step.batch,
        "status": status,
        "error": error,
        "recorded_at": now,
    }

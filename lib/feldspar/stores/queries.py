"""SQL over the lake without a JVM: DuckDB reads the Arrow datasets of the tables that are named.

Read only and closed in: a query sees those tables and nothing else, no files and no network.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import sqlglot
from pyarrow import csv
from sqlglot import expressions as sql
from sqlglot.errors import SqlglotError

from feldspar.errors import StoreError, TableNotFoundError, UsageError, nearest
from feldspar.stores.tables import arrow
from feldspar.stores.tables.lake import LAYERS, Lake
from feldspar.stores.tables.summary import table_names

TableName = tuple[str, str]
"""(layer, name)."""

BATCH_ROWS = 65_536
WRITERS = {".parquet": "Parquet", ".csv": "CSV"}


@dataclass(frozen=True)
class Answer:
    """The first rows of a result, and how many there are in all."""

    rows: pa.Table
    count: int


def first_rows(lake: Lake, text: str, *, limit: int) -> Answer:
    """Runs a query and keeps its first rows; the others are only counted.

    Raises:
        UsageError: the text is not one query, or DuckDB cannot answer it.
        TableNotFoundError: a table is not there; the nearest names are given.
    """
    with _reader(lake, text) as reader:
        kept: list[pa.RecordBatch] = []
        count = 0
        for batch in reader:
            if count < limit:
                kept.append(batch.slice(0, limit - count))
            count += batch.num_rows
        return Answer(pa.Table.from_batches(kept, reader.schema), count)


def write_rows(lake: Lake, text: str, *, out: Path) -> int:
    """Runs a query and streams its result into a .parquet or .csv file.

    Returns:
        rows written.

    Raises:
        UsageError: as for ``first_rows``, or another kind of file is asked for.
    """
    if out.suffix not in WRITERS:
        raise UsageError(
            f"--out {out}: {out.suffix or 'no ending'} is no kind of file written here",
            hint=f"end it in {' or '.join(WRITERS)}",
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    draft = out.with_name(f".{out.name}.draft")
    count = 0
    try:
        with _reader(lake, text) as reader, _writer(draft, reader.schema, out.suffix) as writer:
            for batch in reader:
                writer.write_batch(batch)
                count += batch.num_rows
        draft.replace(out)
    finally:
        draft.unlink(missing_ok=True)
    return count


def tables_of(text: str) -> tuple[TableName, ...]:
    """The tables that a query names, each once, in order of appearance.

    Raises:
        UsageError: not exactly one query, or a table without its layer.

    >>> tables_of("with a as (select 1) select * from gold.spend join a on true")
    (('gold', 'spend'),)
    """
    tree = _parsed(text)
    local = {cte.alias for cte in tree.find_all(sql.CTE)}
    found: dict[TableName, None] = {}
    for table in tree.find_all(sql.Table):
        if isinstance(table.this, sql.Func):
            continue  # range(10): DuckDB, closed in, has no function that reads a file
        if table.db in LAYERS and table.name:
            found[table.db, table.name] = None
        elif table.db or table.name not in local:
            raise UsageError(
                f"{table.sql()} names no table of a layer",
                hint=f"write layer.name, e.g. gold.{table.name or 'name'}; "
                f"layers: {', '.join(LAYERS)}; see: feldspar show tables",
            )
    return tuple(found)


def _parsed(text: str) -> sql.Query:
    try:
        trees = [tree for tree in sqlglot.parse(text, read="duckdb") if tree is not None]
    except SqlglotError as error:
        first = str(error).partition("\n")[0]
        raise UsageError(f"the query cannot be read: {first}") from error
    if len(trees) != 1 or not isinstance(trees[0], sql.Query):
        raise UsageError(
            "a query is one SELECT: tables are only read here", hint='e.g. "select 1 as one"'
        )
    return trees[0]


@contextmanager
def _reader(lake: Lake, text: str) -> Iterator[pa.RecordBatchReader]:
    """The result of a query as a stream of batches."""
    tables = {name: _dataset(lake, *name) for name in tables_of(text)}
    closed_in = {
        "enable_external_access": "false",
        "python_enable_replacements": "false",
        "TimeZone": "UTC",
    }
    with duckdb.connect(":memory:") as connection:
        try:
            for layer in dict.fromkeys(layer for layer, _ in tables):
                connection.execute(f'create schema "{layer}"')
            for (layer, name), dataset in tables.items():
                connection.register(f"{layer}.{name}", dataset)
                connection.execute(
                    f'create view "{layer}"."{name}" as select * from "{layer}.{name}"'
                )
            for setting, value in closed_in.items():
                connection.execute(f"set {setting} = '{value}'")
            yield connection.sql(text).to_arrow_reader(BATCH_ROWS)
        except duckdb.Error as error:
            raise _explained(error) from error


def _explained(error: duckdb.Error) -> Exception:
    message = str(error)
    if isinstance(error, duckdb.IOException | duckdb.InternalException):
        return StoreError(f"the query failed: {message}")
    return UsageError(f"the query cannot be answered: {message}", hint="see: feldspar show tables")


def _dataset(lake: Lake, layer: str, name: str) -> pa.dataset.Dataset:
    try:
        return arrow.dataset(lake, layer, name)
    except TableNotFoundError as error:
        known = [f"{where}.{table}" for where, table in table_names(lake)]
        near = nearest(f"{layer}.{name}", known) or tuple(known)
        said = f"; nearest: {', '.join(near)}" if near else ""
        raise TableNotFoundError(f"{error.message}{said}", hint=error.hint) from error


@contextmanager
def _writer(
    path: Path, schema: pa.Schema, suffix: str
) -> Iterator[pq.ParquetWriter | csv.CSVWriter]:
    writer = pq.ParquetWriter(path, schema) if suffix == ".parquet" else csv.CSVWriter(path, schema)
    with writer:
        yield writer

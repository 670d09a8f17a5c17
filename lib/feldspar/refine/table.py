"""bronze -> silver of one table: valid rows once, the others to quarantine, and a ledger row.

Order of commits, all with the cursor ``refine:<table>#<generation>`` at the source's version:
quarantine (where rows were refused), silver, ledger. The ledger confirms a batch; a run that finds
quarantine or silver ahead of it repeats the batch with the same bounds, and Delta skips what was
committed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa
from pyspark import StorageLevel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from feldspar.compute.dedupe import first_known, same_row
from feldspar.errors import LedgerError, StoreError
from feldspar.graph.graph import Table
from feldspar.graph.steps import Mode, RefineStep
from feldspar.names import EVENT_TIME, KNOWN_TIME, REASONS, cursor
from feldspar.refine.rows import PROVENANCE, RAW, checked_rows, silver_columns
from feldspar.refine.unknown import refuse_unknown
from feldspar.refine.upstream import Upstream
from feldspar.spec.types import ColumnType
from feldspar.stores.tables import records
from feldspar.stores.tables.epochs import refuse_stale
from feldspar.stores.tables.log import DEFINITION, GENERATION, STATISTICS, Commit, Txn
from feldspar.stores.tables.spark import Declared, SparkTables, nullable, struct

LEDGER_SCHEMA = pa.schema(
    {
        "table": pa.string(),
        "generation": pa.int32(),
        "source": pa.string(),
        "after_version": pa.int64(),
        "upto_version": pa.int64(),
        "rows_in": pa.int64(),
        "valid": pa.int64(),
        "quarantined": pa.int64(),
        "duplicates": pa.int64(),
        "finished_at": records.INSTANT,
    }
)
QUARANTINE_SCHEMA = (
    "_reasons array<string>, _raw string, _file string, _batch bigint, _position bigint, "
    "_ingested_at timestamp, _earlier array<struct<until timestamp, reasons array<string>>>"
)
QUARANTINE_COLUMNS = (REASONS, RAW, *PROVENANCE)
_ROWS, _LOW, _HIGH = "rows", "low", "high"
_TOLD_EXACTLY = (ColumnType.BIGINT, ColumnType.INT, ColumnType.STRING, ColumnType.DATE)
"""Types of keys whose least and greatest values a table's log has as they are."""
Progress = Callable[[str], None]


@dataclass(frozen=True)
class RefineResult:
    """One batch of one table; ``rows_in = valid + quarantined + duplicates``."""

    table: str
    version: int
    rows_in: int = 0
    valid: int = 0
    quarantined: int = 0
    duplicates: int = 0
    reasons: tuple[tuple[str, int], ...] = ()


def refine_table(
    step: RefineStep, table: Table, *, tables: SparkTables, now: datetime, progress: Progress
) -> RefineResult:
    """Brings ``silver.<table>`` up to the source version of the step.

    Raises:
        OvertakenError: another run has moved the table on since the plan was made.
        LedgerError: rows in and rows out do not add up; the batch is not confirmed.
    """
    upstream = Upstream(table, tables)
    upto = _upto(step, upstream)
    txn = tables.txn(cursor("refine", table.name, step.generation), upto)
    _claim(step, txn.app, tables)
    raw = upstream.rows(after=step.after, upto=upto)
    checked = checked_rows(raw, table, lacking=upstream.lacking())
    schema = nullable(checked.select(*silver_columns(checked, table)).schema)
    targets = _targets(step, table, schema=schema)
    if step.mode is Mode.REBUILD and not _already_replaced(step, tables):
        for layer, declared in targets.items():
            tables.replace(layer, table.name, declared)
    if upto == step.after:
        # the definition alone has changed, or no file of the load could be read
        for layer, declared in targets.items():
            tables.ensure(layer, table.name, declared)
        return RefineResult(table.name, version=tables.version("silver", table.name))
    with evaluated_once(checked) as rows:
        progress(f"{step.name}: checking rows of {table.source_name} up to version {upto}")
        sized = tables.sized(upstream.size(after=step.after, upto=upto))
        result = _write(rows, table, targets, tables=sized, txn=txn)
    expected = upstream.row_count(after=step.after, upto=upto)
    _confirm(result, expected, step=step, table=table, tables=tables, txn=txn, now=now)
    return result


def _claim(step: RefineStep, app: str, tables: SparkTables) -> None:
    """Makes sure that the tables are as the plan found them, and that no earlier run writes there.

    The ledger comes last, as it is written: what it confirms is there.
    """
    if not tables.epoch:
        return
    begun = [tables.claim(layer, step.table, app) for layer in ("quarantine", "silver")]
    confirmed = tables.claim("ops", "ledger", app).position
    refuse_stale(f"{step.name}, its source", planned=step.after, found=confirmed)
    # quarantine lags where nothing was refused
    after = -1 if step.after is None else step.after
    ahead = [one.position for one in begun if one.position is not None and one.position > after]
    if ahead:
        refuse_stale(f"{step.name}, its batch", planned=step.upto, found=max(ahead))
    generation = begun[-1].generation
    if generation is not None and step.mode is not Mode.REBUILD:
        refuse_stale(f"{step.name}, generation", planned=step.generation, found=generation)


def _upto(step: RefineStep, upstream: Upstream) -> int:
    newest = upstream.version()
    if step.after is not None and newest < step.after:
        raise StoreError(
            f"{step.name}: its source is at version {newest}, and was read up to {step.after}",
            hint="the source was made anew; feldspar plan shows what follows",
        )
    return newest if step.upto is None else step.upto


@contextmanager
def evaluated_once(rows: DataFrame) -> Iterator[DataFrame]:
    """The rows, kept for all that is done with them."""
    rows.persist(StorageLevel.MEMORY_AND_DISK)
    try:
        yield rows
    finally:
        rows.unpersist()


def _targets(step: RefineStep, table: Table, *, schema: StructType) -> dict[str, Declared]:
    """What is declared of quarantine and silver, in the order they are written."""
    generation = {GENERATION: str(step.generation)}
    # the clock reads the newest event from these, and merges skip files by key
    statistics = ",".join((*table.spec.key, EVENT_TIME, KNOWN_TIME))
    properties = {DEFINITION: table.definition, STATISTICS: statistics, **generation}
    return {
        "quarantine": quarantine_declared(step.generation),
        "silver": Declared(schema, properties),
    }


def quarantine_declared(generation: int) -> Declared:
    """What quarantine is to be; ``_earlier``: reasons that a row had before it was replayed."""
    return Declared(struct(QUARANTINE_SCHEMA), {GENERATION: str(generation)})


def _already_replaced(step: RefineStep, tables: SparkTables) -> bool:
    properties = tables.properties("silver", step.table)
    return properties.get(GENERATION) == str(step.generation)


def _write(
    rows: DataFrame,
    table: Table,
    targets: Mapping[str, Declared],
    *,
    tables: SparkTables,
    txn: Txn,
) -> RefineResult:
    seen = survey(rows, table)
    counted = seen.counted
    if table.spec.unknown_columns == "fail":
        refuse_unknown(rows, counted, table)
    valid = rows.where(F.size(REASONS) == 0).select(*silver_columns(rows, table))
    failed = rows.where(F.size(REASONS) > 0).select(*QUARANTINE_COLUMNS)
    candidates = counted.get((), 0)
    refused = 0
    # an empty commit is spared, but not where an earlier try of this batch found rows to refuse
    if sum(counted.values()) > candidates or not tables.lacks("quarantine", table.name, txn=txn):
        declared = targets["quarantine"]
        refused = tables.append(failed, "quarantine", table.name, txn=txn, declared=declared).rows
    silver = _accept(valid, seen, table, targets["silver"], tables=tables, txn=txn)
    return RefineResult(
        table=table.name,
        rows_in=candidates + refused,
        valid=silver.rows,
        quarantined=refused,
        duplicates=candidates - silver.rows,
        reasons=by_reason(counted),
        version=silver.version,
    )


def _accept(
    valid: DataFrame,
    seen: Survey,
    table: Table,
    declared: Declared,
    *,
    tables: SparkTables,
    txn: Txn,
) -> Commit:
    """Adds the rows that silver does not have; where none of its files can have one, unseen."""
    place, key = ("silver", table.name), table.spec.key
    rows, same = first_known(valid, key), same_row(key)
    if seen.keys is not None and tables.exists(*place):
        low, high = seen.keys
        if not tables.may_hold(*place, key[0], low, high):
            return tables.append(rows, *place, txn=txn, declared=declared)
        if isinstance(low, int):
            # of files that hold no such key nothing is read
            same = f"{same} and old.`{key[0]}` between {low} and {high}"
    return tables.merge_new(rows, *place, same=same, txn=txn, declared=declared)


@dataclass(frozen=True)
class Survey:
    """What one look at judged rows tells.

    Attributes:
        counted: rows by their set of reasons: a handful of groups, however many rows.
        keys: the least and the greatest first column of the keys of valid rows; None: there are
            none, or statistics of files do not tell such values exactly.
    """

    counted: Mapping[tuple[str, ...], int]
    keys: tuple[Any, Any] | None


def survey(rows: DataFrame, table: Table) -> Survey:
    """One pass over judged rows."""
    name = table.spec.key[0]
    key = F.col(f"`{name}`")
    ends = (F.min(key).alias(_LOW), F.max(key).alias(_HIGH))
    groups = rows.groupBy(REASONS).agg(F.count(F.lit(1)).alias(_ROWS), *ends).collect()
    valid = [(one[_LOW], one[_HIGH]) for one in groups if not one[REASONS]]
    told = valid and valid[0][0] is not None and table.types()[name] in _TOLD_EXACTLY
    counted = {tuple(one[REASONS]): one[_ROWS] for one in groups}
    return Survey(counted, valid[0] if told else None)


def by_reason(counted: Mapping[tuple[str, ...], int]) -> tuple[tuple[str, int], ...]:
    """How many rows have each reason."""
    totals: Counter[str] = Counter()
    for reasons, number in counted.items():
        totals.update(dict.fromkeys(reasons, number))
    return tuple(sorted(totals.items()))


def _confirm(
    result: RefineResult,
    expected: int,
    *,
    step: RefineStep,
    table: Table,
    tables: SparkTables,
    txn: Txn,
    now: datetime,
) -> None:
    """Writes the ledger row, once the commits' own counts agree with the source's."""
    if result.rows_in != expected or result.duplicates < 0:
        raise LedgerError(
            f"{step.name}: {expected} rows came in from {table.source_name}, but "
            f"{result.valid} are valid + {result.quarantined} quarantined + "
            f"{result.duplicates} duplicates",
            hint="nothing is confirmed; the next run repeats this batch",
        )
    row = {
        "table": table.name,
        "generation": step.generation,
        "source": table.source_name,
        "after_version": step.after,
        "upto_version": txn.position,
        "rows_in": expected,
        "valid": result.valid,
        "quarantined": result.quarantined,
        "duplicates": result.duplicates,
        "finished_at": now,
    }
    records.append(tables.lake, "ledger", [row], schema=LEDGER_SCHEMA, txn=txn)

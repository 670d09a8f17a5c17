"""bronze -> silver of one table: valid rows once, the others to quarantine, and a ledger row.

Order of commits, all with the cursor ``refine:<table>#<generation>`` at the source's version:
quarantine, silver, ledger. The ledger confirms a batch; a run that finds quarantine or silver
ahead of it repeats the batch with the same bounds, and Delta skips what was committed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

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
from feldspar.stores.tables import records
from feldspar.stores.tables.compaction import compact
from feldspar.stores.tables.epochs import refuse_stale
from feldspar.stores.tables.log import DEFINITION, GENERATION, STATISTICS, Txn
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
        result = _write(rows, table, targets, tables=tables, txn=txn)
    expected = upstream.row_count(after=step.after, upto=upto)
    _confirm(result, expected, step=step, table=table, tables=tables, txn=txn, now=now)
    for layer in targets:
        compact(tables, layer, table.name, progress=progress)
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
    positions = [one.position for one in begun if one.position not in (None, step.after)]
    if positions:
        refuse_stale(f"{step.name}, its batch", planned=step.upto, found=max(positions))
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
    counted = count_by_reasons(rows)
    if table.spec.unknown_columns == "fail":
        refuse_unknown(rows, counted, table)
    valid = rows.where(F.size(REASONS) == 0).select(*silver_columns(rows, table))
    failed = rows.where(F.size(REASONS) > 0).select(*QUARANTINE_COLUMNS)
    candidates = sum(number for reasons, number in counted.items() if not reasons)
    quarantined = tables.append(
        failed, "quarantine", table.name, txn=txn, declared=targets["quarantine"]
    )
    silver = tables.merge_new(
        first_known(valid, table.spec.key),
        "silver",
        table.name,
        same=same_row(table.spec.key),
        txn=txn,
        declared=targets["silver"],
    )
    return RefineResult(
        table=table.name,
        rows_in=candidates + quarantined.rows,
        valid=silver.rows,
        quarantined=quarantined.rows,
        duplicates=candidates - silver.rows,
        reasons=by_reason(counted),
        version=silver.version,
    )


def count_by_reasons(rows: DataFrame) -> dict[tuple[str, ...], int]:
    """Rows by their set of reasons: a handful of groups, however many rows."""
    counts = rows.groupBy(REASONS).count().collect()
    return {tuple(row[REASONS]): row["count"] for row in counts}


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

"""quarantine -> silver: rows that were refused, judged again by what conf/ says today.

What a row was is in bronze still; quarantine says which. An accepted row is known from now on, so
that what was known at earlier moments stays what it was. Order of commits, all with the cursor
``replay:<table>#<generation>`` at quarantine's version: silver, quarantine, ledger. A replay that
is stopped between them finds its rows in silver, and goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from feldspar.compute.dedupe import first_known, same_row
from feldspar.errors import TableNotFoundError, UsageError
from feldspar.graph.graph import Table
from feldspar.names import BATCH, GONE, KNOWN_TIME, POSITION, REASONS, cursor
from feldspar.refine.rows import checked_rows, silver_columns
from feldspar.refine.table import (
    LEDGER_SCHEMA,
    QUARANTINE_COLUMNS,
    by_reason,
    evaluated_once,
    quarantine_declared,
    survey,
)
from feldspar.refine.upstream import Upstream
from feldspar.spec.source import DeltaSource
from feldspar.stores.tables import records
from feldspar.stores.tables.log import GENERATION, Commit, Txn
from feldspar.stores.tables.spark import SparkTables

EARLIER = "_earlier"
_BEFORE = "_before"
Progress = Callable[[str], None]
Row = dict[str, object]
PLACE = (BATCH, POSITION)
"""Names a row of bronze."""


@dataclass(frozen=True)
class Chosen:
    """Which rows are judged again: those with a reason, those that came since a moment; or all."""

    reason: str | None = None
    since: datetime | None = None

    def condition(self) -> Column:
        """True for the rows of quarantine."""
        found = F.lit(True)  # noqa: FBT003 a literal of SQL
        if self.reason is not None:
            found = found & F.array_contains(REASONS, self.reason)
        if self.since is not None:
            found = found & (F.col("_ingested_at") >= F.lit(self.since))
        return found


@dataclass(frozen=True)
class ReplayResult:
    """``rows`` were judged again: ``accepted`` + ``duplicates`` of silver + ``refused``.

    ``reasons``: how many of the refused ones have each.
    """

    table: str
    rows: int
    accepted: int
    duplicates: int
    refused: int
    reasons: tuple[tuple[str, int], ...] = ()

    def lines(self) -> Iterator[str]:
        """What came of it, for people."""
        yield (
            f"{self.table}: {self.rows:,} rows judged again: {self.accepted:,} accepted, "
            f"{self.duplicates:,} copies of accepted ones, {self.refused:,} refused"
        )
        yield from (f"  {reason}: {rows:,}" for reason, rows in self.reasons)


def judge_again(
    table: Table, chosen: Chosen, *, tables: SparkTables, now: datetime
) -> ReplayResult:
    """What ``replay`` would do, without doing it; copies of silver's rows count as accepted.

    Raises:
        UsageError: the table reads somebody else's Delta table, which may not have the rows.
        TableNotFoundError: nothing was ever refused.
    """
    version = _version(table, tables)
    with evaluated_once(_judged(table, chosen, tables, version=version, now=now)) as rows:
        return _result(table, survey(rows, table).counted)


def replay(
    table: Table, chosen: Chosen, *, tables: SparkTables, now: datetime, progress: Progress
) -> ReplayResult:
    """Takes rows that pass today's checks from quarantine into silver; the others stay.

    A row that is refused again keeps its place, gets today's reasons, and remembers the earlier
    ones (``_earlier``).

    Args:
        table: whose rows.
        chosen: which of them.
        tables: the lake.
        now: since when accepted rows are known.
        progress: gets a line when work starts.

    Raises:
        UsageError: the table reads somebody else's Delta table, which may not have the rows.
        TableNotFoundError: nothing was ever refused.
        OvertakenError: a later run writes to the tables.
    """
    version = _version(table, tables)
    generation = int(tables.properties("silver", table.name).get(GENERATION, "0"))
    txn = tables.txn(cursor("replay", table.name, generation), version)
    for layer, name in (("silver", table.name), ("quarantine", table.name), ("ops", "ledger")):
        tables.claim(layer, name, txn.app)
    progress(f"quarantine.{table.name}: judging rows of version {version} again")
    tables.ensure("quarantine", table.name, quarantine_declared(generation))
    with evaluated_once(_judged(table, chosen, tables, version=version, now=now)) as rows:
        counted = survey(rows, table).counted
        silver = _accept(rows, table, tables, txn=txn)
        tables.merge_rows(
            _changed(rows, tables.read("quarantine", table.name), now=now),
            "quarantine",
            table.name,
            same=" and ".join(f"old.{one} = new.{one}" for one in PLACE),
            newer="true",
            txn=txn,
        )
    result = _result(table, counted, accepted=silver.rows)
    row = _ledger_row(result, txn=txn, generation=generation, now=now)
    records.append(tables.lake, "ledger", [row], schema=LEDGER_SCHEMA, txn=txn)
    return result


def _accept(rows: DataFrame, table: Table, tables: SparkTables, *, txn: Txn) -> Commit:
    valid = rows.where(F.size(REASONS) == 0).select(*silver_columns(rows, table))
    unique = first_known(valid, table.spec.key)
    same = same_row(table.spec.key)
    return tables.merge_new(unique, "silver", table.name, same=same, txn=txn)


def _version(table: Table, tables: SparkTables) -> int:
    if isinstance(table.source, DeltaSource):
        raise UsageError(
            f"{table.name} reads {table.source.path}, which may not keep the rows it refused",
            hint="mend the rows there: changed ones are read again",
        )
    if not tables.exists("quarantine", table.name):
        raise TableNotFoundError(
            f"there is no table quarantine.{table.name}: nothing was refused yet",
            hint="see: feldspar quarantine list",
        )
    return tables.version("quarantine", table.name)


def _judged(
    table: Table, chosen: Chosen, tables: SparkTables, *, version: int, now: datetime
) -> DataFrame:
    """The chosen rows as they came, through today's types, checks and rules."""
    refused = tables.read("quarantine", table.name, version=version).where(chosen.condition())
    bronze = tables.read("bronze", table.source_name)
    raw = bronze.join(refused.select(*PLACE), list(PLACE), "left_semi")
    known = F.greatest(KNOWN_TIME, F.lit(now).cast("timestamp"))
    lacking = Upstream(table, tables).lacking()
    return checked_rows(raw, table, lacking=lacking).withColumn(KNOWN_TIME, known)


def _changed(rows: DataFrame, held: DataFrame, *, now: datetime) -> DataFrame:
    """Rows of quarantine that go, and those that have other reasons now."""
    before = held.select(*PLACE, F.col(REASONS).alias(_BEFORE), EARLIER)
    until = F.lit(now).cast("timestamp").alias("until")
    entry = F.array(F.struct(until, F.col(_BEFORE).alias("reasons")))
    earlier = F.when(F.col(EARLIER).isNull(), entry).otherwise(F.concat(EARLIER, entry))
    joined = rows.select(*QUARANTINE_COLUMNS).join(before, list(PLACE))
    gone = F.size(REASONS) == 0
    differing = joined.where(gone | (F.col(REASONS) != F.col(_BEFORE)))
    return differing.select(*QUARANTINE_COLUMNS, earlier.alias(EARLIER), gone.alias(GONE))


def _result(
    table: Table, counted: Mapping[tuple[str, ...], int], *, accepted: int | None = None
) -> ReplayResult:
    passed, rows = counted.get((), 0), sum(counted.values())
    new = passed if accepted is None else accepted
    return ReplayResult(table.name, rows, new, passed - new, rows - passed, by_reason(counted))


def _ledger_row(result: ReplayResult, *, txn: Txn, generation: int, now: datetime) -> Row:
    return {
        "table": result.table,
        "generation": generation,
        "source": f"quarantine.{result.table}",
        "after_version": None,
        "upto_version": txn.position,
        "rows_in": result.rows,
        "valid": result.accepted,
        "quarantined": result.refused,
        "duplicates": result.duplicates,
        "finished_at": now,
    }

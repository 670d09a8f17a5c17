"""One pass over raw rows: typed columns, both clocks, content hash, and every reason to refuse.

The frame it makes is evaluated once (the caller persists it) and then split in two.
"""

from __future__ import annotations

from typing import assert_never

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from feldspar.compute.checks.rows import FailedWhen, row_checks
from feldspar.compute.dedupe import content_hash
from feldspar.compute.history import is_delete
from feldspar.graph.graph import Table
from feldspar.names import BATCH, EVENT_TIME, KNOWN_TIME, POSITION, ROW_HASH
from feldspar.refine.envelope import unwrapped
from feldspar.refine.typing import typed_columns
from feldspar.spec.source import KnownAfterEvent, KnownByColumn, KnownRule, KnownWhenIngested

REASONS = "_reasons"
RAW = "_raw"
PROVENANCE = ("_file", BATCH, POSITION, "_ingested_at")
_CORRUPT = "_corrupt"
_FAILED = "_failed"
_DELETE_FAILED = "_delete_failed"
_RECORD = "_record"
_UNPARSED = "line:not_parsed"
_NEXT = "\n"


def checked_rows(raw: DataFrame, table: Table) -> DataFrame:
    """Typed rows with system columns, ``_reasons`` (empty: valid) and ``_raw`` (JSON text)."""
    whole = raw.withColumn(_RECORD, _record(raw))
    raw = unwrapped(whole, table, keep=(*PROVENANCE, _CORRUPT, _RECORD))
    columns = typed_columns(table, raw.schema)
    failures = {
        one.name: FailedWhen(one.reason, one.failed) for one in columns if one.failed is not None
    }
    before = [*_not_parsed(raw), *_unknown_columns(raw, table), *failures.values()]
    judged = [failures[name] for name in table.needed if name in failures]
    of_deletes = [*_not_parsed(raw), *judged]
    typed = raw.select(
        *[one.value.alias(one.name) for one in columns],
        *[F.col(name) for name in PROVENANCE],
        _reasons(before).alias(_FAILED),
        *([_reasons(of_deletes).alias(_DELETE_FAILED)] if table.deletes_rows else []),
        F.col(_RECORD),
    )
    if table.deletes_rows:
        failed = F.when(is_delete(table), F.col(_DELETE_FAILED)).otherwise(F.col(_FAILED))
        typed = typed.withColumn(_FAILED, failed).drop(_DELETE_FAILED)
    refused = {one.name: one.reason for one in columns if one.failed is not None}
    return _clocks_and_checks(typed, table, refused=refused)


def _clocks_and_checks(typed: DataFrame, table: Table, *, refused: dict[str, str]) -> DataFrame:
    names = list(table.spec.columns)
    event_time = F.col(f"`{table.source.event_time}`")
    known = F.coalesce(*[_known_time(rule, event_time) for rule in table.source.known_time])
    timed = typed.withColumns({EVENT_TIME: event_time, KNOWN_TIME: known})
    limit = F.expr(f"make_dt_interval(0, 0, 0, {table.spec.max_future.total_seconds()})")
    after = [
        *[_unless_refused(check, refused) for check in row_checks(table)],
        FailedWhen(
            "known_time:not_null", F.col(EVENT_TIME).isNotNull() & F.col(KNOWN_TIME).isNull()
        ),
        FailedWhen("event_time:in_the_future", F.col(EVENT_TIME) > F.col(KNOWN_TIME) + limit),
    ]
    hashed = timed.withColumn(ROW_HASH, content_hash(names))
    judged = hashed.withColumn(REASONS, _all_reasons(after))
    # the raw record is written out for the rows that fail only: JSON of every row costs seconds
    text = F.coalesce(F.col(f"{_RECORD}.line"), F.to_json(f"{_RECORD}.columns"))
    return judged.withColumn(RAW, F.when(F.size(REASONS) > 0, text)).drop(_FAILED, _RECORD)


def _unless_refused(check: FailedWhen, refused: dict[str, str]) -> FailedWhen:
    """A value that could not be typed has that reason, and not that it is null as well."""
    name, _, what = check.reason.rpartition(":")
    if what != "not_null" or name not in refused:
        return check
    lines = F.concat(F.lit(_NEXT), F.col(_FAILED), F.lit(_NEXT))
    known = F.contains(lines, F.lit(f"{_NEXT}{refused[name]}{_NEXT}"))
    return FailedWhen(check.reason, check.condition & ~known)


def _known_time(rule: KnownRule, event_time: Column) -> Column:
    match rule:
        case KnownAfterEvent(plus=plus):
            return event_time + F.expr(f"make_dt_interval(0, 0, 0, {plus.total_seconds()})")
        case KnownByColumn(column=name):
            return F.col(f"`{name}`")
        case KnownWhenIngested():
            return F.col("_ingested_at")
        case _:
            assert_never(rule)


def _not_parsed(raw: DataFrame) -> list[FailedWhen]:
    if _CORRUPT not in raw.columns:
        return []
    return [FailedWhen(_UNPARSED, F.col(_CORRUPT).isNotNull())]


def _unknown_columns(raw: DataFrame, table: Table) -> list[FailedWhen]:
    if table.spec.unknown_columns == "ignore":
        return []
    declared = {*table.spec.columns, *PROVENANCE, _CORRUPT, _RECORD}
    return [
        FailedWhen(f"{name}:unknown_column", F.col(f"`{name}`").isNotNull())
        for name in raw.columns
        if name not in declared
    ]


def _record(raw: DataFrame) -> Column:
    names = [name for name in raw.columns if name not in (*PROVENANCE, _CORRUPT)]
    line = F.col(_CORRUPT) if _CORRUPT in raw.columns else F.lit(None).cast("string")
    columns = F.struct(*[F.col(f"`{name}`") for name in names])
    return F.struct(line.alias("line"), columns.alias("columns"))


def _reasons(failures: list[FailedWhen], *, first: Column | None = None) -> Column:
    """Reasons as the lines of one text: an array with holes to close costs ten times as much."""
    lines = [F.when(one.condition, F.lit(one.reason)) for one in failures]
    before = [] if first is None else [F.when(first != "", first)]
    return F.concat_ws(_NEXT, *before, *lines)


def _all_reasons(failures: list[FailedWhen]) -> Column:
    """A line that could not be parsed has that one reason: its nulls say nothing."""
    text = _reasons(failures, first=F.col(_FAILED))
    none, only = F.array().cast("array<string>"), F.array(F.lit(_UNPARSED))
    valid, unparsed = text == "", F.col(_FAILED).startswith(_UNPARSED)
    return F.when(valid, none).when(unparsed, only).otherwise(F.split(text, _NEXT))

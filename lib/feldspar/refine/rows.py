"""One pass over raw rows: typed columns, both clocks, content hash, and every reason to refuse.

The frame it makes is evaluated once (the caller persists it) and then split in two.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import assert_never

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from feldspar.compute.checks.rows import FailedWhen, row_checks
from feldspar.compute.checks.texts import FUTURE, NO_KNOWN_TIME, missing
from feldspar.compute.dedupe import content_hash
from feldspar.compute.history import is_delete
from feldspar.graph.graph import Table
from feldspar.names import (
    BATCH,
    EVENT_TIME,
    KNOWN_TIME,
    POSITION,
    PUSHED,
    PUSHED_AT,
    REASONS,
    ROW_HASH,
    SHAPE,
)
from feldspar.refine.envelope import unwrapped
from feldspar.refine.typing import TypedColumn, text_columns, typed_columns
from feldspar.refine.unknown import additions, refusals, undeclared
from feldspar.spec.source import KnownAfterEvent, KnownByColumn, KnownRule, KnownWhenIngested

RAW = "_raw"
PROVENANCE = ("_file", BATCH, POSITION, "_ingested_at")
_CORRUPT = "_corrupt"
_NO_SHAPES: Mapping[str, Sequence[int]] = MappingProxyType({})
_FAILED = "_failed"
_DELETE_FAILED = "_delete_failed"
_RECORD = "_record"
_TEXTS = "_texts"
_OWN = (_CORRUPT, SHAPE, _RECORD, PUSHED, PUSHED_AT)
_UNPARSED = "line:not_parsed"
_NEXT = "\n"


def checked_rows(
    raw: DataFrame, table: Table, *, lacking: Mapping[str, Sequence[int]] = _NO_SHAPES
) -> DataFrame:
    """Types and judges the rows of one table.

    Args:
        raw: rows of bronze, or as such.
        table: what they are to be.
        lacking: by column the shapes (``names.SHAPE``) of files that had no such column, though
            they must: their nulls are no values.

    Returns:
        The columns of ``silver_columns``, provenance, ``_reasons`` (empty: valid) and ``_raw``
        (JSON text).
    """
    whole = raw.withColumn(_RECORD, _record(raw))
    raw = unwrapped(whole, table, keep=(*PROVENANCE, *_OWN))
    columns = typed_columns(table, raw.schema)
    pushed: list[TypedColumn] = []
    if PUSHED in raw.columns:
        raw = raw.withColumn(_TEXTS, F.from_json(PUSHED, "map<string,string>"))
        pushed = text_columns(table, F.col(_TEXTS))
    unknown = undeclared(raw, table, known=(*PROVENANCE, *_OWN, _TEXTS, *table.of_message))
    added = additions(raw, unknown, table)
    failures = _failures(columns, pushed, lacking)
    by_type = [one for name in table.spec.columns for one in failures.get(name, ())]
    before = [*_not_parsed(raw), *refusals(unknown, table), *by_type]
    judged = [one for name in table.needed for one in failures.get(name, ())]
    of_deletes = [*_not_parsed(raw), *judged]
    typed = raw.select(
        *[value.alias(name) for name, value in _values(columns, pushed).items()],
        *[value.alias(name) for name, value in added.items()],
        *[F.col(name) for name in PROVENANCE],
        _reasons(before).alias(_FAILED),
        *([_reasons(of_deletes).alias(_DELETE_FAILED)] if table.deletes_rows else []),
        *([F.col(PUSHED_AT).try_cast("timestamp").alias(PUSHED_AT)] if pushed else []),
        F.col(_RECORD),
    )
    if table.deletes_rows:
        failed = F.when(is_delete(table), F.col(_DELETE_FAILED)).otherwise(F.col(_FAILED))
        typed = typed.withColumn(_FAILED, failed).drop(_DELETE_FAILED)
    refused = {name: tuple(one.reason for one in found) for name, found in failures.items()}
    hashed = [*table.spec.columns, *added]
    return _clocks_and_checks(typed, table, refused=refused, hashed=hashed)


def silver_columns(checked: DataFrame, table: Table) -> list[str]:
    """What silver keeps of ``checked_rows``: declared, added and the system's columns."""
    system = (EVENT_TIME, KNOWN_TIME, BATCH, POSITION, ROW_HASH)
    known = {*table.spec.columns, *system, *PROVENANCE, REASONS, RAW}
    added = [name for name in checked.columns if name not in known]
    return [*table.spec.columns, *added, *system]


def _values(columns: Sequence[TypedColumn], pushed: Sequence[TypedColumn]) -> dict[str, Column]:
    """By column its value: of a pushed row that of its text, whatever files have."""
    if not pushed:
        return {one.name: one.value for one in columns}
    by_push = F.col(PUSHED).isNotNull()
    pairs = zip(columns, pushed, strict=True)
    return {one.name: F.when(by_push, text.value).otherwise(one.value) for one, text in pairs}


def _failures(
    columns: Sequence[TypedColumn],
    pushed: Sequence[TypedColumn],
    lacking: Mapping[str, Sequence[int]],
) -> dict[str, tuple[FailedWhen, ...]]:
    """By column, why its values cannot be taken."""
    found: dict[str, tuple[FailedWhen, ...]] = {}
    for one in columns:
        shapes = lacking.get(one.name, ())
        lacks = FailedWhen(missing(one.name), F.col(SHAPE).isin(list(shapes)))
        found[one.name] = (*([lacks] if shapes else []), *_untyped(one))
    by_push = F.col(PUSHED).isNotNull()
    for one in pushed:
        of_files = [FailedWhen(of.reason, ~by_push & of.condition) for of in found[one.name]]
        of_push = [FailedWhen(of.reason, by_push & of.condition) for of in _untyped(one)]
        found[one.name] = (*of_files, *of_push)
    return found


def _untyped(one: TypedColumn) -> list[FailedWhen]:
    return [] if one.failed is None else [FailedWhen(one.reason, one.failed)]


def _clocks_and_checks(
    typed: DataFrame, table: Table, *, refused: Mapping[str, Sequence[str]], hashed: Sequence[str]
) -> DataFrame:
    event_time = F.col(f"`{table.source.event_time}`")
    rules = [_known_time(rule, event_time) for rule in table.source.known_time]
    known = F.coalesce(*([F.col(PUSHED_AT)] if PUSHED_AT in typed.columns else []), *rules)
    timed = typed.withColumns({EVENT_TIME: event_time, KNOWN_TIME: known})
    limit = F.expr(f"make_dt_interval(0, 0, 0, {table.spec.max_future.total_seconds()})")
    after = [
        *[_unless_refused(check, refused) for check in row_checks(table)],
        FailedWhen(NO_KNOWN_TIME, F.col(EVENT_TIME).isNotNull() & F.col(KNOWN_TIME).isNull()),
        FailedWhen(FUTURE, F.col(EVENT_TIME) > F.col(KNOWN_TIME) + limit),
    ]
    judged = timed.withColumns({ROW_HASH: content_hash(hashed), REASONS: _all_reasons(after)})
    # the raw record is written out for the rows that fail only: JSON of every row costs seconds
    text = F.coalesce(F.col(f"{_RECORD}.line"), F.to_json(f"{_RECORD}.columns"))
    return judged.withColumn(RAW, F.when(F.size(REASONS) > 0, text)).drop(
        _FAILED, _RECORD, PUSHED_AT
    )


def _unless_refused(check: FailedWhen, refused: Mapping[str, Sequence[str]]) -> FailedWhen:
    """A value that could not be typed has that reason, and not that it is null as well."""
    name, _, what = check.reason.rpartition(":")
    if what != "not_null":
        return check
    lines = F.concat(F.lit(_NEXT), F.col(_FAILED), F.lit(_NEXT))
    condition = check.condition
    for reason in refused.get(name, ()):
        condition = condition & ~F.contains(lines, F.lit(f"{_NEXT}{reason}{_NEXT}"))
    return FailedWhen(check.reason, condition)


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


def _record(raw: DataFrame) -> Column:
    names = [name for name in raw.columns if name not in (*PROVENANCE, *_OWN)]
    whole = [F.col(name) for name in (_CORRUPT, PUSHED) if name in raw.columns]
    line = F.coalesce(*whole, F.lit(None).cast("string"))
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

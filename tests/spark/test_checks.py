"""Many checks at once give the reasons that each gives alone, whatever the row and the session."""

from __future__ import annotations

import os
from random import Random

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from feldspar.compute.checks.rows import row_checks
from feldspar.graph.graph import Table
from feldspar.names import REASONS
from feldspar.refine.rows import checked_rows
from feldspar.spec.check import Between, CheckSpec, Matches, NotNull, OneOf
from feldspar.spec.expression import parse
from feldspar.spec.source import FilesSource, KnownWhenIngested
from feldspar.spec.table import ColumnSpec, TableSpec
from feldspar.spec.types import ColumnType
from support.expressions import NUMBERS, SCHEMA, VALUES, random_expression

CASES = int(os.environ.get("CASES", "300")) // 150
ROWS, CHECKS, RULES = 150, 70, 30
A_GROUP = 5  # conditions that one small projection evaluates
TEXTS = (None, "", "a", "A", "BE", "BE\n", "a\r\n", "é", "\u017f", "\U0001f600", "a b", "12", "\0")
PATTERNS = ("[A-Z]{2}", ".", r"\w+", "[^a]*", "(?i)be", r"\p{L}+", "(?=a).*", "a|BE", "")
COLUMNS = {name: kind for name, kind in SCHEMA.items() if name != "view.ratio"} | {
    "two words": ColumnType.STRING
}
PROVENANCE = "'f' _file, 0L _batch, _row _position, timestamp'2026-01-01' _ingested_at"
LIMIT = "spark.sql.codegen.hugeMethodLimit"


@pytest.mark.parametrize("seed", range(CASES))
@pytest.mark.parametrize("limit", ["8000", "65535"])
def test_reasons_of_a_hundred_checks_are_those_of_each(
    spark: SparkSession, seed: int, limit: str
) -> None:
    random = Random(seed)
    table = _table(random)
    session = spark.newSession()
    session.conf.set(LIMIT, limit)
    rows = _frame(session, random)

    found = checked_rows(rows, table).select("_position", REASONS).collect()

    judged = {row["_position"]: row[REASONS] for row in found}
    assert judged == _each_alone(rows, table)
    assert sum(bool(reasons) for reasons in judged.values()) > ROWS // 10


def _each_alone(rows: DataFrame, table: Table) -> dict[int, list[str]]:
    """The reasons by row, a few conditions at a time."""
    reasons: dict[int, list[str]] = {number: [] for number in range(ROWS)}
    checks = row_checks(table)
    typed = checked_rows(rows, table).drop(REASONS).persist()
    for start in range(0, len(checks), A_GROUP):
        some = checks[start : start + A_GROUP]
        columns = [one.condition.alias(f"c{number}") for number, one in enumerate(some)]
        for row in typed.select("_position", *columns).collect():
            holding = [one.reason for one, holds in zip(some, row[1:], strict=True) if holds]
            reasons[row["_position"]] += holding
    typed.unpersist()
    return reasons


def test_the_number_of_jobs_does_not_depend_on_the_number_of_checks(spark: SparkSession) -> None:
    counts = [_jobs(spark, checks, rules) for checks, rules in ((1, 0), (CHECKS, RULES))]

    assert counts[0] == counts[1] > 0


def _jobs(spark: SparkSession, checks: int, rules: int) -> int:
    random = Random(1)
    judged = checked_rows(_frame(spark, random), _table(random, checks=checks, rules=rules))
    group = f"checks-{checks}"
    spark.sparkContext.setJobGroup(group, "")
    try:
        judged.groupBy(REASONS).count().collect()
    finally:
        spark.sparkContext.setLocalProperty("spark.jobGroup.id", None)  # type: ignore[arg-type]
    return len(spark.sparkContext.statusTracker().getJobIdsForGroup(group))


def _table(random: Random, *, checks: int = CHECKS, rules: int = RULES) -> Table:
    stated: dict[str, tuple[CheckSpec, ...]] = {}
    for _ in range(checks):
        name = random.choice(list(COLUMNS))
        stated[name] = (*stated.get(name, ()), _check(random, COLUMNS[name]))
    spec = TableSpec(
        **{"from": "rows"},
        key=("big", "at"),
        columns={name: ColumnSpec(type=kind) for name, kind in COLUMNS.items()},
        checks=stated,
        unknown_columns="ignore",
    )
    source = FilesSource(
        kind="files", path="rows", event_time="at", known_time=(KnownWhenIngested(),)
    )
    named = tuple((f"r{number}", parse(_rule(random))) for number in range(rules))
    return Table("rows", spec, "rows", source, named, definition="")


def _rule(random: Random) -> str:
    """A condition over the columns that are there."""
    drawn = iter(lambda: random_expression(random, ColumnType.BOOLEAN, 2), "")
    return next(one for one in drawn if "view.ratio" not in one)


def _check(random: Random, kind: ColumnType) -> CheckSpec:
    if kind is ColumnType.STRING:
        listed = OneOf(values=tuple(one for one in random.sample(TEXTS, 4) if one is not None))
        return random.choice([NotNull(), Matches(pattern=random.choice(PATTERNS)), listed])
    if kind not in NUMBERS:
        return NotNull()
    low, high, *others = (_number(random) for _ in range(5))
    return random.choice([NotNull(), Between(low=low, high=high), OneOf(values=tuple(others))])


def _number(random: Random) -> float:
    drawn = [*VALUES[random.choice(NUMBERS)], random.randrange(-9, 9), 0.25, 1e300]
    return random.choice([one for one in drawn if one is not None])


def _frame(session: SparkSession, random: Random) -> DataFrame:
    """Raw rows: of the declared types, with awkward values; all events lie in the past."""
    stored = {ColumnType.TIMESTAMP: "bigint", ColumnType.DATE: "int"}
    fields = [f"`{name}` {stored.get(kind, kind.spark)}" for name, kind in COLUMNS.items()]
    values = {name: VALUES[kind] for name, kind in COLUMNS.items()}
    values |= dict.fromkeys(("country", "channel", "two words"), TEXTS)
    finite = [one for one in VALUES[ColumnType.DOUBLE] if one is None or abs(one) < 1e99]
    values["amount"] = tuple(finite)
    values["at"] = (None, 0, 1, -1)
    data = [(number, *(random.choice(one) for one in values.values())) for number in range(ROWS)]
    rows = session.createDataFrame(data, ", ".join(["_row bigint", *fields]))
    readers = {ColumnType.TIMESTAMP: F.timestamp_micros, ColumnType.DATE: F.date_from_unix_date}
    times = {name: readers[kind](name) for name, kind in COLUMNS.items() if kind in readers}
    named = [f"`{name}`" for name in COLUMNS]
    return rows.withColumns(times).selectExpr(*named, *PROVENANCE.split(", "))

"""Spark gives the values that plain Python gives, whatever the session's zone and ANSI mode."""

from __future__ import annotations

import math
import os
from random import Random
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from feldspar.compute.expressions.online import compile_row
from feldspar.compute.expressions.spark import column
from feldspar.spec.expression import Expression, parse, type_of
from feldspar.spec.types import ColumnType
from support.expressions import NAMES, SCHEMA, random_expression, random_row, same

CASES = int(os.environ.get("CASES", "300")) // 3
ROWS = 40
A_JOB = 25  # expressions: more in one projection and code generation dominates


@pytest.fixture(params=["UTC ansi", "America/New_York plain"])
def session(spark: SparkSession, request: pytest.FixtureRequest) -> SparkSession:
    """A session of its own, so that its settings touch no other test."""
    zone, mode = request.param.split()
    own = spark.newSession()
    own.conf.set("spark.sql.session.timeZone", zone)
    own.conf.set("spark.sql.ansi.enabled", str(mode == "ansi").lower())
    return own


def test_spark_and_one_row_agree(session: SparkSession) -> None:
    random = Random(20180401)
    rows = [random_row(random) for _ in range(ROWS)]
    expressions = [_random(random, number) for number in range(CASES)]
    df = _frame(session, rows)

    wrong = []
    for start in range(0, CASES, A_JOB):
        some = expressions[start : start + A_JOB]
        for expression, values in zip(some, _spark_values(df, some), strict=True):
            online = compile_row(expression, SCHEMA, names=NAMES)
            expected = [online(row) for row in rows]
            wrong += [
                (str(expression), row, one, other)
                for row, one, other in zip(rows, expected, values, strict=True)
                if not same(one, other)
            ]

    assert not wrong, f"{len(wrong)} of {CASES * ROWS}: {wrong[:2]}"


def test_exp_and_ln_are_within_an_ulp_or_two(session: SparkSession) -> None:
    random = Random(7)
    rows = [{**random_row(random), "amount": random.uniform(-700, 700)} for _ in range(ROWS * 10)]
    expressions = [parse("exp(amount)"), parse("ln(amount)"), parse("ln(view.ratio)")]

    results = _spark_values(_frame(session, rows), expressions)

    for expression, values in zip(expressions, results, strict=True):
        online = compile_row(expression, SCHEMA, names=NAMES)
        for row, value in zip(rows, values, strict=True):
            expected = online(row)
            assert same(expected, value) or math.isclose(expected, value, rel_tol=1e-15)


def test_the_column_has_the_declared_type(session: SparkSession) -> None:
    texts = {
        "small + 1": "bigint",
        "small / 2": "double",
        "hour(at)": "int",
        "cast(at as date)": "date",
        "case when flag then 1 else 2.5 end": "double",
        "coalesce(small, big)": "bigint",
    }
    df = _frame(session, [])

    found = {
        text: df.select(column(parse(text), SCHEMA, names=NAMES).alias("x")).schema["x"].dataType
        for text in texts
    }

    assert {text: kind.simpleString() for text, kind in found.items()} == texts


def _random(random: Random, number: int) -> Expression:
    kinds = list(ColumnType)
    return parse(random_expression(random, kinds[number % len(kinds)], random.randrange(1, 4)))


def _frame(session: SparkSession, rows: list[dict[str, Any]]) -> DataFrame:
    names = {NAMES.get(name, name): kind for name, kind in SCHEMA.items()}
    stored = {ColumnType.TIMESTAMP: "bigint", ColumnType.DATE: "int"}
    schema = ", ".join(f"{name} {stored.get(kind, kind.spark)}" for name, kind in names.items())
    data = [(number, *(row[name] for name in names)) for number, row in enumerate(rows)]
    df = session.createDataFrame(data, f"_row int, {schema}")
    readers = {ColumnType.TIMESTAMP: F.timestamp_micros, ColumnType.DATE: F.date_from_unix_date}
    times = {name: readers[kind](name) for name, kind in names.items() if kind in readers}
    return df.withColumns(times)


def _spark_values(df: DataFrame, expressions: list[Expression]) -> list[list[Any]]:
    columns = [
        _as_stored(column(one, SCHEMA, names=NAMES), type_of(one, SCHEMA)).alias(f"e{number}")
        for number, one in enumerate(expressions)
    ]
    collected = sorted(df.select("_row", *columns).collect(), key=lambda row: row["_row"])
    return [[row[f"e{number}"] for row in collected] for number in range(len(expressions))]


def _as_stored(value: Any, kind: ColumnType) -> Any:
    match kind:
        case ColumnType.TIMESTAMP:
            return F.unix_micros(value)
        case ColumnType.DATE:
            return F.unix_date(value)
        case _:
            return value

"""The expression language: what it reads, what it refuses and how, and fixed values."""

from __future__ import annotations

import math
from typing import Any

import pyarrow as pa
import pytest
from sqlglot import Tokenizer

from feldspar.compute.expressions.arrow import evaluate
from feldspar.compute.expressions.online import compile_row
from feldspar.errors import EngineError
from feldspar.spec.expression import (
    ExpressionError,
    TypeMismatchError,
    UnknownColumnError,
    parse,
    parse_aggregation,
    result_type,
    type_of,
)
from feldspar.spec.types import ColumnType

SCHEMA = {
    "amount": ColumnType.DOUBLE,
    "age": ColumnType.INT,
    "count": ColumnType.BIGINT,
    "country": ColumnType.STRING,
    "is_fraud": ColumnType.BOOLEAN,
    "at": ColumnType.TIMESTAMP,
    "day": ColumnType.DATE,
    "customer_spend.count_30d": ColumnType.BIGINT,
}


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("amount/30.0", "amount / 30.0"),
        ("( amount )", "amount"),
        ("a - (b - c)", "a - (b - c)"),
        ("(a - b) - c", "a - b - c"),
        ("(a OR b) AND NOT c", "(a or b) and not c"),
        ("amount BETWEEN 0 AND 10", "amount >= 0 and amount <= 10"),
        ("country != 'BE'", "country <> 'BE'"),
        ("country not in ('BE','it''s')", "country not in ('BE', 'it''s')"),
        ("a is not null", "a is not null"),
        ("(a = b) = c", "(a = b) = c"),
        ("case x when 1 then 2 end", "case when x = 1 then 2 else null end"),
        ("- 5", "-5"),
        ("-(5)", "-5"),
        ("- -a", "-(-a)"),
        ("1e3", "1000.0"),
        ("amount::int", "cast(amount as int)"),
        ("cast('2018-04-01T02:00:00+02:00' as timestamp)", "timestamp '2018-04-01T00:00:00Z'"),
        ("date '2018-04-01'", "date '2018-04-01'"),
        ('"amount" + "order by"', 'amount + "order by"'),
        ("customer_spend . count_30d", "customer_spend.count_30d"),
        ("amount -- in euro", "amount"),
    ],
)
def test_spacing_and_spelling_do_not_change_the_canonical_text(text: str, canonical: str) -> None:
    assert str(parse(text)) == canonical


def test_expressions_that_say_the_same_are_equal() -> None:
    assert parse("amount+1") == parse("( amount  + 1 )")


def test_columns_are_all_that_are_read() -> None:
    assert parse("case when a > view.b then a else c end").columns == {"a", "view.b", "c"}


@pytest.mark.parametrize(
    "word", sorted(word for word in Tokenizer.KEYWORDS if word.replace("_", "").isalpha())
)
def test_any_word_can_name_a_column_in_quotes(word: str) -> None:
    text = str(parse(f'not "{word.lower()}" = 1'))

    assert parse(text).columns == {word.lower()}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("amount + foo(b)", "amount + foo(b): the function foo at character 10 is not allowed"),
        ("rond(amount)", "rond(amount): the function rond (nearest: round) at character 1"),
        ("1 + avg(amount)", "the aggregate avg(...) inside an expression at character 5"),
        ("nvl(a, b)", "the function nvl"),
        ("a like 'x'", "like (a LIKE 'x') at character 1"),
        ("a in (select 1)", "query in a IN (SELECT 1)"),
        ("a in (1, null)", "a list of other than literals"),
        ("a in ()", "a list of other than literals"),
        ("a between symmetric 1 and 2", "symmetric in"),
        ("a is true", "is (a IS TRUE)"),
        ("sum(a) over (partition by b)", "window"),
        ("(select 1)", "subquery"),
        ("abs(a) filter (where b)", "filter"),
        ("a b", "alias"),
        ("a; b", "block"),
        ("a || b", "dpipe"),
        ("t.*", "column (t.*)"),
        ("a.b.c", "db in a.b.c"),
        ("cast(a as decimal(3, 2))", "a cast to decimal(3, 2) (types: boolean, int,"),
        ("9223372036854775808", "which is no 64-bit number"),
        ("1e400", "which is no double"),
        ("round(a, 1, 2)", "round of 3 arguments"),
        ("hour(a, b)", "'hour(a, b)' cannot be read: wrong number of arguments"),
        ("a +", "cannot be read"),
        ("", "cannot be read"),
        ("timestamp '2018-04-01 00:00:00'", "names no zone"),
        ("date '2018-04-31'", "day is out of range"),
        ("(" * 1000 + "a" + ")" * 1000, "nested too deeply"),
        ("a" + "+a" * 300, "nested more than 100 deep"),
    ],
)
def test_what_is_outside_the_language_is_named(text: str, message: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        parse(text)

    assert message in str(caught.value)


def test_a_refusal_says_what_is_allowed() -> None:
    with pytest.raises(ExpressionError) as caught:
        parse("log(amount)")

    assert caught.value.hint.startswith("allowed: columns, literals, + - * / %")


def test_an_unknown_column_names_the_nearest() -> None:
    with pytest.raises(UnknownColumnError) as caught:
        type_of(parse("amout * 2"), SCHEMA)

    assert (caught.value.column, caught.value.nearest[0]) == ("amout", "amount")


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("age + 1", "bigint"),
        ("age / 2", "double"),
        ("age % 2.0", "double"),
        ("abs(age)", "bigint"),
        ("round(amount, 2)", "double"),
        ("round(age)", "bigint"),
        ("hour(at)", "int"),
        ("dayofweek(day)", "int"),
        ("dayofweek(at) >= 6", "boolean"),
        ("coalesce(age, 1)", "int"),
        ("coalesce(null, count, age)", "bigint"),
        ("greatest(age, 1.0)", "double"),
        ("case when is_fraud then 'x' end", "string"),
        ("case when null then amount else 1 end", "double"),
        ("cast(null as date)", "date"),
        ("cast(at as date)", "date"),
        ("least(customer_spend.count_30d * 6.0 / greatest(count, 1), 1.0)", "double"),
        ("age in (1, 2.5)", "boolean"),
        ("3000000000", "bigint"),
    ],
)
def test_every_expression_has_one_type(text: str, kind: str) -> None:
    assert type_of(parse(text), SCHEMA) == kind


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("is_fraud + 1", "is_fraud + 1: '+' takes numbers, not boolean"),
        ("country = 1", "country = 1: string and int have no common type"),
        ("country in ('BE', 1)", "string and int have no common type"),
        ("at > '2018-04-01'", "timestamp and string have no common type"),
        ("at > day", "timestamp and date have no common type"),
        ("is_fraud < true", "booleans have no order"),
        ("greatest(is_fraud, true)", "booleans have no order"),
        ("amount and is_fraud", "a condition is a boolean, not double"),
        ("not age", "a condition is a boolean, not int"),
        ("case when age then 1 end", "a condition is a boolean, not int"),
        ("case when is_fraud then 1 else 'x' end", "int and string have no common type"),
        ("null", "null has no type here"),
        ("null + 1", "null has no type here"),
        ("amount = null", "null has no type here"),
        ("coalesce(null, null)", "only null"),
        ("hour(day)", "hour takes a timestamp, not date"),
        ("lower(age)", "lower takes a string, not int"),
        ("round(amount, age)", "the digits are a whole number from 0 to 15"),
        ("round(amount, -1)", "the digits are a whole number from 0 to 15"),
        ("cast(country as double)", "string does not convert to double"),
        ("cast(amount as string)", "double does not convert to string"),
        ("cast(age as boolean)", "int does not convert to boolean"),
        ("cast(at as bigint)", "timestamp does not convert to bigint"),
    ],
)
def test_a_type_without_a_meaning_is_refused(text: str, message: str) -> None:
    with pytest.raises(TypeMismatchError) as caught:
        type_of(parse(text), SCHEMA)

    assert message in str(caught.value)


MIDNIGHT = 1_522_540_800_000_000  # Sunday 2018-04-01, UTC
VALUES: list[tuple[str, Any, Any]] = [
    ("amount / 0", 5.0, None),
    ("amount % 0", 5.0, None),
    ("-amount % 2", 5.0, -1.0),
    ("1.0 / (amount - amount)", 5.0, None),
    ("amount / 2", math.inf, math.inf),
    ("amount - amount", math.inf, math.nan),
    ("sqrt(amount)", -1.0, None),
    ("ln(amount)", 0.0, None),
    ("sqrt(amount)", math.nan, math.nan),
    ("exp(amount)", 1000.0, math.inf),
    ("amount = amount", math.nan, True),
    ("amount > 1e308", math.nan, True),
    ("amount between 0 and 10", math.nan, False),
    ("amount between 0 and 10", None, None),
    ("amount > 0 or true", None, True),
    ("amount > 0 and false", None, False),
    ("amount > 0 and true", None, None),
    ("not amount > 0", None, None),
    ("amount is null", None, True),
    ("amount in (1, 2)", None, None),
    ("amount in (1, 2)", 2.0, True),
    ("case when amount > 0 then 1 end", None, None),
    ("coalesce(amount, 7)", None, 7.0),
    ("greatest(amount, 1)", None, 1.0),
    ("least(amount, 1)", math.nan, 1.0),
    ("greatest(amount, 1)", math.nan, math.nan),
    ("round(amount)", 2.5, 3.0),
    ("round(amount)", -2.5, -3.0),
    ("round(amount)", 0.49999999999999994, 0.0),
    ("round(amount, 2)", 1.125, 1.13),
    ("cast(amount as int)", -1.9, -1),
    ("cast(amount as int)", 2147483648.0, None),
    ("cast(amount as bigint)", 9.223372036854775807e18, None),
    ("cast(amount as bigint)", math.nan, None),
    ("count + 1", 2**63 - 1, None),
    ("-count", -(2**63), None),
    ("abs(count)", -(2**63), None),
    ("count * -1", 2**63 - 1, -(2**63) + 1),
    ("count % -1", -(2**63), 0),
    ("-7 % count", 3, -1),
    ("count = 9007199254740992.0", 2**53 + 1, True),
    ("cast(count as int)", 2**31, None),
    ("cast(count as string)", -5, "-5"),
    ("cast(is_fraud as int) + 1", True, 2),
    ("upper(country)", "été", "éTé"),
    ("country > 'Z'", "a", True),
    ("hour(at)", MIDNIGHT - 1, 23),
    ("hour(at)", -1, 23),
    ("dayofweek(at)", MIDNIGHT, 7),
    ("dayofweek(at)", MIDNIGHT - 1, 6),
    ("dayofweek(day)", 0, 4),
    ("at >= timestamp '2018-04-01T00:00:00Z'", MIDNIGHT, True),
    ("cast(cast(at as date) as timestamp) = at", -1, False),
]


@pytest.mark.parametrize(("text", "given", "expected"), VALUES)
def test_one_row_has_the_defined_value(text: str, given: Any, expected: Any) -> None:
    expression = parse(text)

    value = compile_row(expression, SCHEMA)(dict.fromkeys(expression.columns, given))

    assert _same(value, expected)


@pytest.mark.parametrize(("text", "given", "expected"), VALUES)
def test_a_batch_has_the_defined_value(text: str, given: Any, expected: Any) -> None:
    expression = parse(text)
    stored = {ColumnType.TIMESTAMP: "int64", ColumnType.DATE: "int32"}
    (name,) = expression.columns
    column = pa.array([given], stored.get(SCHEMA[name], _ARROW[SCHEMA[name]]))

    result = evaluate(expression, pa.table({name: column}), SCHEMA)

    assert _same(result[0].as_py(), expected)


_ARROW = {
    ColumnType.DOUBLE: "float64",
    ColumnType.BIGINT: "int64",
    ColumnType.BOOLEAN: "bool",
    ColumnType.STRING: "string",
    ColumnType.TIMESTAMP: "int64",
    ColumnType.DATE: "int32",
}


def _same(value: Any, expected: Any) -> bool:
    if isinstance(expected, float) and math.isnan(expected):
        return isinstance(value, float) and math.isnan(value)
    return type(value) is type(expected) and bool(value == expected)


def test_a_constant_fills_the_batch_and_an_empty_batch_stays_empty() -> None:
    table = pa.table({"amount": pa.array([1.0, 2.0])})

    lengths = [len(evaluate(parse("1 + 1"), part, SCHEMA)) for part in (table, table.slice(2))]

    assert lengths == [2, 0]


def test_names_say_where_a_column_is_found() -> None:
    expression = parse("customer_spend.count_30d + 1")
    names = {"customer_spend.count_30d": "customer_spend__count_30d"}

    batch = evaluate(expression, pa.table({"customer_spend__count_30d": [1]}), SCHEMA, names=names)
    online = compile_row(expression, SCHEMA, names=names)({"customer_spend__count_30d": 1})

    assert (batch.to_pylist(), online) == ([2], 2)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (pa.table({"age": [1]}), 'an expression reads "amount"; the rows have age'),
        (pa.table({"amount": ["x"]}), 'column "amount" is string, declared double'),
    ],
)
def test_rows_that_do_not_fit_are_refused(table: pa.Table, message: str) -> None:
    with pytest.raises(EngineError) as caught:
        evaluate(parse("amount + 1"), table, SCHEMA)

    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "canonical", "kind"),
    [
        ("count()", "count()", "bigint"),
        ("COUNT(*)", "count()", "bigint"),
        ("count(country)", "count(country)", "bigint"),
        ("avg( amount*2 )", "avg(amount * 2)", "double"),
        ("avg(is_fraud)", "avg(is_fraud)", "double"),
        ("sum(age)", "sum(age)", "double"),
        ("min(age)", "min(age)", "bigint"),
        ("max(amount)", "max(amount)", "double"),
        ("stddev(count)", "stddev(count)", "double"),
        ("variance(amount)", "variance(amount)", "double"),
    ],
)
def test_an_aggregate_has_a_name_and_a_type(text: str, canonical: str, kind: str) -> None:
    aggregation = parse_aggregation(text)

    assert (str(aggregation), result_type(aggregation, SCHEMA)) == (canonical, kind)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("agv(amount)", "nearest: avg; allowed: count, sum, avg"),
        ("amount", "amount: not an aggregate"),
        ("avg(amount) / 2", "not an aggregate"),
        ("sum()", "wrong number of arguments"),
        ("sum(*)", "sum needs a value"),
        ("count(distinct amount)", "distinct (DISTINCT amount) at character 16"),
        ("max(avg(amount))", "the aggregate avg(...) inside an expression"),
    ],
)
def test_what_is_no_aggregate_is_refused(text: str, message: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        parse_aggregation(text)

    assert message in str(caught.value)


@pytest.mark.parametrize("text", ["sum(country)", "max(at)", "min(is_fraud)", "avg(day)"])
def test_an_aggregate_of_a_type_without_a_meaning_is_refused(text: str) -> None:
    with pytest.raises(TypeMismatchError):
        result_type(parse_aggregation(text), SCHEMA)

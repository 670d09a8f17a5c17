"""Random expressions and rows of awkward values, for comparing engines with each other."""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random
from typing import Any

import pyarrow as pa

from feldspar.compute.expressions.arrow import arrow_type
from feldspar.spec.types import ColumnType

SCHEMA = {
    "flag": ColumnType.BOOLEAN,
    "other_flag": ColumnType.BOOLEAN,
    "small": ColumnType.INT,
    "other_small": ColumnType.INT,
    "big": ColumnType.BIGINT,
    "other_big": ColumnType.BIGINT,
    "amount": ColumnType.DOUBLE,
    "view.ratio": ColumnType.DOUBLE,
    "country": ColumnType.STRING,
    "channel": ColumnType.STRING,
    "at": ColumnType.TIMESTAMP,
    "until": ColumnType.TIMESTAMP,
    "day": ColumnType.DATE,
}
NAMES = {"view.ratio": "view__ratio"}

NUMBERS = (ColumnType.INT, ColumnType.BIGINT, ColumnType.DOUBLE)
VALUES: dict[ColumnType, tuple[Any, ...]] = {
    ColumnType.BOOLEAN: (None, True, False),
    ColumnType.INT: (None, 0, 1, -1, 7, -3, 2**31 - 1, -(2**31)),
    ColumnType.BIGINT: (None, 0, 1, -1, 10, 2**53 + 1, 3_037_000_500, 2**63 - 1, -(2**63)),
    ColumnType.DOUBLE: (
        *(None, 0.0, -0.0, 1.0, -1.5, 0.5, 2.5, 0.49999999999999994, 1.005, 1e-310, 1e308),
        *(2.0**31, -(2.0**31) - 0.5, 2.0**63, -(2.0**63), 2.0**52 + 1.0, 4503599627370495.5),
        *(math.nan, math.inf, -math.inf),
    ),
    ColumnType.STRING: (None, "", "a", "A", "b", "BE", "Éß", "é", "\U0001f600", "￿", "it's"),
    ColumnType.TIMESTAMP: (
        *(None, 0, -1, 1, 1_522_540_799_999_999, 1_522_540_800_000_000),
        *(-62_135_596_800_000_000, 253_402_300_799_999_999, -3_600_000_001),
    ),
    ColumnType.DATE: (None, 0, -1, 3, 17_622, -719_162, 2_932_896),
}
_LITERALS: dict[ColumnType, tuple[str, ...]] = {
    ColumnType.BOOLEAN: ("true", "false", "cast(null as boolean)"),
    ColumnType.INT: ("0", "1", "-1", "3", "2147483647", "cast(null as int)"),
    ColumnType.BIGINT: ("2147483648", "9223372036854775807", "-9223372036854775808"),
    ColumnType.DOUBLE: ("0.0", "0.5", "-2.5", "1e300", "cast(null as double)"),
    ColumnType.STRING: ("''", "'a'", "'BE'", "'it''s'", "'é'"),
    ColumnType.TIMESTAMP: ("timestamp '2018-04-01T00:00:00Z'", "timestamp '1969-12-31T23:00:00Z'"),
    ColumnType.DATE: ("date '2018-04-01'", "date '1969-12-31'"),
}


def random_row(random: Random) -> dict[str, Any]:
    """A row of the schema, by the frame's names, as ``compile_row`` takes it."""
    return {NAMES.get(name, name): random.choice(VALUES[kind]) for name, kind in SCHEMA.items()}


def arrow_rows(rows: list[dict[str, Any]]) -> pa.Table:
    """Rows as an Arrow table; times come as whole numbers and leave as times."""
    columns = {}
    for name, kind in SCHEMA.items():
        frame_name = NAMES.get(name, name)
        values = [row[frame_name] for row in rows]
        columns[frame_name] = pa.array(values, storage(kind)).cast(arrow_type(kind))
    return pa.table(columns)


def storage(kind: ColumnType) -> pa.DataType:
    """The Arrow type of a value as ``compile_row`` holds it."""
    numbers = {ColumnType.TIMESTAMP: pa.int64(), ColumnType.DATE: pa.int32()}
    return numbers.get(kind, arrow_type(kind))


def same(left: Any, right: Any) -> bool:
    """Equal bit for bit, but for the sign of a zero; NaN is NaN, True is not 1."""
    if isinstance(left, float) and isinstance(right, float):
        return left == right or (math.isnan(left) and math.isnan(right))
    return type(left) is type(right) and bool(left == right)


def random_expression(random: Random, kind: ColumnType, depth: int) -> str:
    """The text of an expression of a type; ``exp`` and ``ln`` are left out: they round."""
    if depth == 0 or random.random() < 0.1:
        return _leaf(random, kind)
    if random.random() < 0.2:
        return _any_type(random, kind, depth - 1)
    return _FORMS[kind](random, depth - 1)


def _leaf(random: Random, kind: ColumnType) -> str:
    columns = [name for name, its in SCHEMA.items() if its is kind]
    return random.choice(columns if random.random() < 0.75 else _LITERALS[kind])


def _any_type(random: Random, kind: ColumnType, depth: int) -> str:
    first, second = (random_expression(random, kind, depth) for _ in range(2))
    condition = random_expression(random, ColumnType.BOOLEAN, depth)
    forms = [
        f"case when {condition} then {first} else {second} end",
        f"case when {condition} then {first} end",
        f"coalesce({first}, {second})",
    ]
    if kind is not ColumnType.BOOLEAN:
        forms += [f"least({first}, {second})", f"greatest({first}, null, {second})"]
    return random.choice(forms)


def _boolean(random: Random, depth: int) -> str:
    kind = random.choice(list(ColumnType))
    other = random.choice(NUMBERS) if kind in NUMBERS else kind
    first = random_expression(random, kind, depth)
    second = random_expression(random, other, depth)
    flag, other_flag = (random_expression(random, ColumnType.BOOLEAN, depth) for _ in range(2))
    signs = ["=", "<>"] if kind is ColumnType.BOOLEAN else ["=", "<>", "<", "<=", ">", ">="]
    listed = [one for one in _LITERALS[kind] if "null" not in one]
    forms = [
        f"({first}) {random.choice(signs)} ({second})",
        f"({flag}) {random.choice(['and', 'or'])} ({other_flag})",
        f"not ({flag})",
        f"({first}) is {random.choice(['', 'not '])}null",
        f"({first}) {random.choice(['', 'not '])}in ({', '.join(listed)})",
    ]
    return random.choice(forms)


def _int(random: Random, depth: int) -> str:
    source = random.choice([ColumnType.BOOLEAN, ColumnType.BIGINT, ColumnType.DOUBLE])
    instant = random_expression(random, ColumnType.TIMESTAMP, depth)
    forms = [
        f"hour({instant})",
        f"dayofweek({instant})",
        f"dayofweek({random_expression(random, ColumnType.DATE, depth)})",
        f"cast({random_expression(random, source, depth)} as int)",
    ]
    return random.choice(forms)


def _bigint(random: Random, depth: int) -> str:
    first, second = (
        random_expression(random, random.choice([ColumnType.INT, ColumnType.BIGINT]), depth)
        for _ in range(2)
    )
    forms = [
        *(f"({first}) {sign} ({second})" for sign in "+-*%"),
        f"-({first})",
        f"abs({first})",
        f"round({first}, 2)",
        f"cast({random_expression(random, ColumnType.DOUBLE, depth)} as bigint)",
    ]
    return random.choice(forms)


def _double(random: Random, depth: int) -> str:
    double = random_expression(random, ColumnType.DOUBLE, depth)
    number = random_expression(random, random.choice(NUMBERS), depth)
    forms = [
        *(f"({double}) {sign} ({number})" for sign in "+-*%"),
        f"({number}) / ({random_expression(random, random.choice(NUMBERS), depth)})",
        f"-({double})",
        f"abs({double})",
        f"sqrt({number})",
        f"round({double}, {random.choice([0, 1, 2, 15])})",
        f"cast({number} as double)",
    ]
    return random.choice(forms)


def _string(random: Random, depth: int) -> str:
    text = random_expression(random, ColumnType.STRING, depth)
    whole = random_expression(random, random.choice([ColumnType.INT, ColumnType.BIGINT]), depth)
    return random.choice([f"lower({text})", f"upper({text})", f"cast({whole} as string)"])


def _timestamp(random: Random, depth: int) -> str:
    return f"cast({random_expression(random, ColumnType.DATE, depth)} as timestamp)"


def _date(random: Random, depth: int) -> str:
    return f"cast({random_expression(random, ColumnType.TIMESTAMP, depth)} as date)"


_FORMS: dict[ColumnType, Callable[[Random, int], str]] = {
    ColumnType.BOOLEAN: _boolean,
    ColumnType.INT: _int,
    ColumnType.BIGINT: _bigint,
    ColumnType.DOUBLE: _double,
    ColumnType.STRING: _string,
    ColumnType.TIMESTAMP: _timestamp,
    ColumnType.DATE: _date,
}

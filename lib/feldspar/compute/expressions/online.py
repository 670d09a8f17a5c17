"""Expressions over one row in plain Python; the meaning is fixed in ``spec.expression``.

Compiled once into closures and called per request: no Arrow, no Spark. For many rows:
``arrow``.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

from feldspar.compute.expressions.bounds import (
    DAY_MICROS,
    HOUR_MICROS,
    INTEGERS,
    LOWER_LETTERS,
    NO_FRACTION,
    OPEN_BOUNDS,
    THURSDAY,
    UPPER_LETTERS,
)
from feldspar.spec.syntax import Expression, Operator
from feldspar.spec.typed import Constant, Conversion, Field, Operation, Schema, Typed, resolve
from feldspar.spec.types import BIGINT_MAX, BIGINT_MIN, ColumnType

Row = Mapping[str, Any]
RowFunction = Callable[[Row], Any]


def compile_row(
    expression: Expression, schema: Schema, *, names: Mapping[str, str] | None = None
) -> RowFunction:
    """A function from one row to the expression's value.

    A row maps column names to bool, int, float, str or None; a timestamp is an int of
    microseconds and a date an int of days since the epoch, in UTC, and so is the result. A
    column that the row lacks is a KeyError: fill rows with None first.

    Args:
        expression: what to compute.
        schema: the types of the columns it reads.
        names: the row's name of a column where it differs, such as
            ``{"view.feature": "view__feature"}``.

    Raises:
        UnknownColumnError: a column is not in the schema.
        TypeMismatchError: an operation has no meaning for the types it is given.
    """
    return _compile(resolve(expression, schema), names or {})


def _compile(typed: Typed, names: Mapping[str, str]) -> RowFunction:
    match typed:
        case Constant(value, _):
            return lambda _: value
        case Field(name, kind):
            return _field(names.get(name, name), kind)
        case Conversion(argument, target):
            return _lift(_conversion(argument.type, target), [_compile(argument, names)])
        case Operation():
            return _operation(typed, [_compile(one, names) for one in typed.arguments])


def _operation(typed: Operation, arguments: list[RowFunction]) -> RowFunction:
    operation, taken = typed.operator, typed.arguments[0].type
    if operation in _NULL_AWARE:
        return _NULL_AWARE[operation](arguments)
    if operation in _EXTREMES:
        return _extreme(_order(_EXTREMES[operation], taken), arguments)
    if typed.type is ColumnType.BIGINT:
        return _lift(_WHOLE[operation], arguments)
    if operation is Operator.DAYOFWEEK and taken is ColumnType.DATE:
        return _lift(_day_of_week, arguments)
    return _lift(_order(operation, taken), arguments)


def _order(operation: Operator, taken: ColumnType) -> Callable[..., Any]:
    if taken is ColumnType.DOUBLE and operation in _ORDER_WITH_NAN:
        return _ORDER_WITH_NAN[operation]
    return _STRICT[operation]


def _field(name: str, kind: ColumnType) -> RowFunction:
    if kind is ColumnType.DOUBLE:
        return lambda row: None if (value := row[name]) is None else float(value)
    if kind in (ColumnType.BOOLEAN, ColumnType.STRING):
        return lambda row: row[name]
    return lambda row: None if (value := row[name]) is None else int(value)


def _lift(function: Callable[..., Any], arguments: list[RowFunction]) -> RowFunction:
    """Null in, null out."""
    if len(arguments) == 1:
        only = arguments[0]
        return lambda row: None if (value := only(row)) is None else function(value)
    first, second = arguments

    def run(row: Row) -> Any:
        left = first(row)
        if left is None:
            return None
        right = second(row)
        return None if right is None else function(left, right)

    return run


def _conversion(source: ColumnType, target: ColumnType) -> Callable[[Any], Any]:
    match target:
        case ColumnType.DOUBLE:
            return float
        case ColumnType.STRING:
            return str
        case ColumnType.DATE:
            return lambda micros: micros // DAY_MICROS
        case ColumnType.TIMESTAMP:
            return lambda days: _held(days * DAY_MICROS)
        case _ if source is ColumnType.DOUBLE:
            low, high = OPEN_BOUNDS[target]
            return lambda value: int(value) if low < value < high else None
        case _:
            return _to_integer(target)


def _to_integer(target: ColumnType) -> Callable[[Any], Any]:
    low, high = INTEGERS[target]
    return lambda value: int(value) if low <= value <= high else None


def _held(value: int) -> int | None:
    return value if BIGINT_MIN <= value <= BIGINT_MAX else None


def _whole_remainder(x: int, y: int) -> int | None:
    if y == 0:
        return None
    rest = abs(x) % abs(y)
    return -rest if x < 0 else rest


def _remainder(x: float, y: float) -> float | None:
    if y == 0:
        return None
    return math.nan if math.isinf(x) else math.fmod(x, y)


def _equal(x: float, y: float) -> bool:
    return x == y or (math.isnan(x) and math.isnan(y))


def _greater(x: float, y: float) -> bool:
    return x > y or (math.isnan(x) and not math.isnan(y))


def _exp(x: float) -> float:
    try:
        return math.exp(x)
    except OverflowError:
        return math.inf


def _round(x: float, digits: int) -> float:
    scale = 10.0**digits
    scaled = x * scale
    if not abs(scaled) < NO_FRACTION:
        return x
    whole = float(int(scaled))
    step = math.copysign(1.0, scaled) if abs(scaled - whole) >= 0.5 else 0.0
    return (whole + step) / scale


def _day_of_week(days: int) -> int:
    return (days + THURSDAY) % 7 + 1


_TO_LOWER = str.maketrans(UPPER_LETTERS, LOWER_LETTERS)
_TO_UPPER = str.maketrans(LOWER_LETTERS, UPPER_LETTERS)

_WHOLE: Mapping[Operator, Callable[..., Any]] = {
    Operator.ADD: lambda x, y: _held(x + y),
    Operator.SUBTRACT: lambda x, y: _held(x - y),
    Operator.MULTIPLY: lambda x, y: _held(x * y),
    Operator.REMAINDER: _whole_remainder,
    Operator.NEGATE: lambda x: _held(-x),
    Operator.ABS: lambda x: _held(abs(x)),
}
_STRICT: Mapping[Operator, Callable[..., Any]] = {
    Operator.ADD: operator.add,
    Operator.SUBTRACT: operator.sub,
    Operator.MULTIPLY: operator.mul,
    Operator.DIVIDE: lambda x, y: x / y if y != 0 else None,
    Operator.REMAINDER: _remainder,
    Operator.NEGATE: operator.neg,
    Operator.EQUAL: operator.eq,
    Operator.NOT_EQUAL: operator.ne,
    Operator.LESS: operator.lt,
    Operator.LESS_EQUAL: operator.le,
    Operator.GREATER: operator.gt,
    Operator.GREATER_EQUAL: operator.ge,
    Operator.NOT: operator.not_,
    Operator.ABS: abs,
    Operator.SQRT: lambda x: None if x < 0 else math.sqrt(x),
    Operator.EXP: _exp,
    Operator.LN: lambda x: None if x <= 0 else math.log(x),
    Operator.ROUND: _round,
    Operator.LOWER: lambda text: text.translate(_TO_LOWER),
    Operator.UPPER: lambda text: text.translate(_TO_UPPER),
    Operator.HOUR: lambda micros: micros % DAY_MICROS // HOUR_MICROS,
    Operator.DAYOFWEEK: lambda micros: _day_of_week(micros // DAY_MICROS),
}

_ORDER_WITH_NAN: Mapping[Operator, Callable[[float, float], bool]] = {
    Operator.EQUAL: _equal,
    Operator.NOT_EQUAL: lambda x, y: not _equal(x, y),
    Operator.LESS: lambda x, y: _greater(y, x),
    Operator.LESS_EQUAL: lambda x, y: not _greater(x, y),
    Operator.GREATER: _greater,
    Operator.GREATER_EQUAL: lambda x, y: not _greater(y, x),
}
_EXTREMES = {Operator.LEAST: Operator.LESS, Operator.GREATEST: Operator.GREATER}


def _and(arguments: list[RowFunction]) -> RowFunction:
    first, second = arguments

    def run(row: Row) -> bool | None:
        left = first(row)
        if left is False:
            return False
        right = second(row)
        return right if left or right is False else None

    return run


def _or(arguments: list[RowFunction]) -> RowFunction:
    first, second = arguments

    def run(row: Row) -> bool | None:
        left = first(row)
        if left:
            return True
        right = second(row)
        return right if left is False or right else None

    return run


def _is_null(arguments: list[RowFunction]) -> RowFunction:
    only = arguments[0]
    return lambda row: only(row) is None


def _in(arguments: list[RowFunction]) -> RowFunction:
    # no literal is NaN, so Python's own set has the meaning of =
    first, listed = arguments[0], frozenset(literal({}) for literal in arguments[1:])
    return lambda row: None if (value := first(row)) is None else value in listed


def _case(arguments: list[RowFunction]) -> RowFunction:
    branches = tuple(zip(arguments[:-1:2], arguments[1:-1:2], strict=True))
    otherwise = arguments[-1]

    def run(row: Row) -> Any:
        for condition, value in branches:
            if condition(row):
                return value(row)
        return otherwise(row)

    return run


def _coalesce(arguments: list[RowFunction]) -> RowFunction:
    def run(row: Row) -> Any:
        for argument in arguments:
            value = argument(row)
            if value is not None:
                return value
        return None

    return run


def _extreme(beats: Callable[[Any, Any], bool], arguments: list[RowFunction]) -> RowFunction:
    def run(row: Row) -> Any:
        best = None
        for argument in arguments:
            value = argument(row)
            if value is not None and (best is None or beats(value, best)):
                best = value
        return best

    return run


_NULL_AWARE: Mapping[Operator, Callable[[list[RowFunction]], RowFunction]] = {
    Operator.AND: _and,
    Operator.OR: _or,
    Operator.IS_NULL: _is_null,
    Operator.IN: _in,
    Operator.CASE: _case,
    Operator.COALESCE: _coalesce,
}

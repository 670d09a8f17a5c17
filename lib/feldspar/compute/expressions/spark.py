"""Expressions as Spark columns; the meaning is fixed in ``spec.expression``.

Nothing here depends on the session: neither its zone nor its ANSI mode.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from pyspark.sql import Column
from pyspark.sql import functions as F

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
from feldspar.spec.typed import (
    Constant,
    Conversion,
    Field,
    Operation,
    Schema,
    Typed,
    resolve,
    rounding_digits,
)
from feldspar.spec.types import ColumnType

Columns = Sequence[Column]


def column(
    expression: Expression, schema: Schema, *, names: Mapping[str, str] | None = None
) -> Column:
    """The expression as a column of a frame.

    Args:
        expression: what to compute.
        schema: the types of the columns it reads.
        names: the frame's name of a column where it differs, such as
            ``{"view.feature": "view__feature"}``.

    Raises:
        UnknownColumnError: a column is not in the schema.
        TypeMismatchError: an operation has no meaning for the types it is given.
    """
    return _column(resolve(expression, schema), names or {})


def _column(typed: Typed, names: Mapping[str, str]) -> Column:
    match typed:
        case Constant(value, kind):
            return _constant(value, kind)
        case Field(name, kind):
            quoted = names.get(name, name).replace("`", "``")
            return F.col(f"`{quoted}`").cast(kind.spark)
        case Conversion(argument, target):
            return _convert(_column(argument, names), argument.type, target)
        case Operation():
            return _operation(typed, [_column(argument, names) for argument in typed.arguments])


def _operation(typed: Operation, columns: Columns) -> Column:
    if typed.type is ColumnType.BIGINT and typed.operator in _WHOLE:
        return _WHOLE[typed.operator](columns)
    if typed.operator is Operator.DAYOFWEEK:
        return _day_of_week(columns[0], typed.arguments[0].type)
    if typed.operator is Operator.ROUND:
        return _round(columns[0], 10.0 ** rounding_digits(typed))
    return _OPERATIONS[typed.operator](columns)


def _constant(value: object, kind: ColumnType) -> Column:
    if value is None:
        return F.lit(None).cast(kind.spark)
    if kind is ColumnType.TIMESTAMP:
        return F.timestamp_micros(F.lit(value).cast("bigint"))
    if kind is ColumnType.DATE:
        return F.date_from_unix_date(F.lit(value).cast("int"))
    return F.lit(value).cast(kind.spark)


def _convert(value: Column, source: ColumnType, target: ColumnType) -> Column:
    if target is ColumnType.DATE:
        return F.date_from_unix_date(_days(value).cast("int"))
    if target is ColumnType.TIMESTAMP:
        micros = F.try_multiply(F.unix_date(value).cast("bigint"), F.lit(DAY_MICROS))
        return F.timestamp_micros(micros)
    if source is ColumnType.DOUBLE:
        low, high = OPEN_BOUNDS[target]
        return F.when((value > low) & (value < high), value.try_cast(target.spark))
    if target is ColumnType.INT and source is ColumnType.BIGINT:
        return F.when(value.between(*INTEGERS[target]), value.try_cast("int"))
    return value.cast(target.spark)


def _days(instant: Column) -> Column:
    micros = F.unix_micros(instant)
    # whole by construction, so the double holds it exactly
    return ((micros - F.pmod(micros, F.lit(DAY_MICROS))) / DAY_MICROS).cast("bigint")


def _hour(instant: Column) -> Column:
    of_day = F.pmod(F.unix_micros(instant), F.lit(DAY_MICROS))
    return ((of_day - F.pmod(of_day, F.lit(HOUR_MICROS))) / HOUR_MICROS).cast("int")


def _day_of_week(value: Column, kind: ColumnType) -> Column:
    days = F.unix_date(value).cast("bigint") if kind is ColumnType.DATE else _days(value)
    return (F.pmod(days + THURSDAY, F.lit(7)) + 1).cast("int")


def _round(value: Column, scale: float) -> Column:
    scaled = value * scale
    whole = scaled.try_cast("bigint").cast("double")
    step = F.when(F.abs(scaled - whole) >= 0.5, F.signum(scaled)).otherwise(0.0)
    return F.when(F.abs(scaled) < NO_FRACTION, (whole + step) / scale).otherwise(value)


def _negate(value: Column) -> Column:
    return F.try_subtract(F.lit(0).cast("bigint"), value)


def _case(columns: Sequence[Column]) -> Column:
    result = columns[-1]
    for condition, value in reversed(list(zip(columns[:-1:2], columns[1:-1:2], strict=True))):
        result = F.when(condition, value).otherwise(result)
    return result


_WHOLE: Mapping[Operator, Callable[[Columns], Column]] = {
    Operator.ADD: lambda c: F.try_add(c[0], c[1]),
    Operator.SUBTRACT: lambda c: F.try_subtract(c[0], c[1]),
    Operator.MULTIPLY: lambda c: F.try_multiply(c[0], c[1]),
    Operator.NEGATE: lambda c: _negate(c[0]),
    Operator.ABS: lambda c: F.when(c[0] < 0, _negate(c[0])).otherwise(c[0]),
}
_OPERATIONS: Mapping[Operator, Callable[[Columns], Column]] = {
    Operator.ADD: lambda c: c[0] + c[1],
    Operator.SUBTRACT: lambda c: c[0] - c[1],
    Operator.MULTIPLY: lambda c: c[0] * c[1],
    Operator.DIVIDE: lambda c: F.try_divide(c[0], c[1]),
    Operator.REMAINDER: lambda c: F.try_mod(c[0], c[1]),
    Operator.NEGATE: lambda c: -c[0],
    Operator.EQUAL: lambda c: c[0] == c[1],
    Operator.NOT_EQUAL: lambda c: c[0] != c[1],
    Operator.LESS: lambda c: c[0] < c[1],
    Operator.LESS_EQUAL: lambda c: c[0] <= c[1],
    Operator.GREATER: lambda c: c[0] > c[1],
    Operator.GREATER_EQUAL: lambda c: c[0] >= c[1],
    Operator.AND: lambda c: c[0] & c[1],
    Operator.OR: lambda c: c[0] | c[1],
    Operator.NOT: lambda c: ~c[0],
    Operator.IS_NULL: lambda c: c[0].isNull(),
    Operator.IN: lambda c: c[0].isin(*c[1:]),
    Operator.CASE: _case,
    Operator.COALESCE: lambda c: F.coalesce(*c),
    Operator.ABS: lambda c: F.abs(c[0]),
    Operator.LEAST: lambda c: F.least(*c) if len(c) > 1 else c[0],
    Operator.GREATEST: lambda c: F.greatest(*c) if len(c) > 1 else c[0],
    Operator.SQRT: lambda c: F.when(~(c[0] < 0), F.sqrt(c[0])),
    Operator.EXP: lambda c: F.exp(c[0]),
    Operator.LN: lambda c: F.ln(c[0]),
    Operator.LOWER: lambda c: F.translate(c[0], UPPER_LETTERS, LOWER_LETTERS),
    Operator.UPPER: lambda c: F.translate(c[0], LOWER_LETTERS, UPPER_LETTERS),
    Operator.HOUR: lambda c: _hour(c[0]),
}

"""The small typed expression language of derived columns, checks, labels and aggregates.

A listed subset of SQL (``spec.grammar``) with one meaning in Spark, Arrow and plain Python
(``compute.expressions``). An operation that has no answer in its type is null; none raises.

- Whole numbers: ``+ - *``, minus and ``abs`` work in bigint and are null on overflow. ``%``
  has the sign of the dividend; of doubles it is C's fmod.
- ``/`` is always of doubles. ``/`` and ``%`` by 0 are null, ``sqrt`` of a negative and ``ln``
  of 0 or less too. Else doubles follow IEEE 754 (overflow is infinity). The sign of a zero
  means nothing. ``exp`` and ``ln`` agree between engines within 1e-15 of the value, all else
  bit for bit.
- Mixed numbers take the wider type; a bigint beside a double becomes the nearest double.
- Comparisons with null are null; ``and``, ``or``, ``not`` and ``case`` know three values.
  NaN equals itself and is greater than every other number, as in Spark and PostgreSQL. Texts
  compare by their UTF-8 bytes.
- ``least`` and ``greatest`` skip nulls. ``in`` lists literals. ``between`` includes both ends.
- ``round(x, n)``: half away from zero of x * 10^n in double arithmetic; n is 0 to 15.
- ``lower`` and ``upper`` change the letters A to Z only.
- ``hour`` is 0 to 23 in UTC; ``dayofweek`` is ISO's, Monday 1 to Sunday 7, in UTC.
- Casts: boolean to number (1 or 0), between numbers (doubles lose their fraction; null when
  the target cannot hold the value), whole number to string, timestamp to its day in UTC and
  back (midnight).
"""

from __future__ import annotations

from dataclasses import dataclass

from feldspar.spec.grammar import read, read_aggregate
from feldspar.spec.syntax import (
    Call,
    Expression,
    ExpressionError,
    Literal,
    Node,
    Operator,
    Scalar,
    TypeMismatchError,
    UnknownColumnError,
    render,
)
from feldspar.spec.typed import Schema, resolve
from feldspar.spec.types import INT_MAX, INT_MIN, ColumnType

__all__ = [
    "Aggregation",
    "Expression",
    "ExpressionError",
    "TypeMismatchError",
    "UnknownColumnError",
    "both",
    "equals",
    "of_node",
    "only_where",
    "parse",
    "parse_aggregation",
    "result_type",
    "type_of",
    "where",
]

_DOUBLE_RESULT = ("sum", "avg", "stddev", "variance")


def parse(text: str) -> Expression:
    """The expression that a text says.

    Raises:
        ExpressionError: the text is not in the language; names what, where and what is allowed.

    >>> str(parse("amount/2>10 AND country<>'BE'"))
    "amount / 2 > 10 and country <> 'BE'"
    """
    return Expression(text, read(text))


def type_of(expression: Expression, schema: Schema) -> ColumnType:
    """The type of an expression's value over columns of a schema.

    Raises:
        UnknownColumnError: a column is not in the schema.
        TypeMismatchError: an operation has no meaning for the types it is given.

    >>> type_of(parse("amount / 2"), {"amount": ColumnType.BIGINT})
    <ColumnType.DOUBLE: 'double'>
    """
    return resolve(expression, schema).type


@dataclass(frozen=True)
class Aggregation:
    """A function over the rows of a window.

    ``argument`` is None for ``count()``; ``parameter`` is how many of the first or last are meant
    (None: one, without a number in its name), or which quantile.
    """

    function: str
    argument: Expression | None
    parameter: int | float | None = None

    def __str__(self) -> str:
        parts = [one for one in (self.argument, self.parameter) if one is not None]
        return f"{self.function}({', '.join(map(str, parts))})"


def parse_aggregation(text: str) -> Aggregation:
    """The aggregate that a text says, such as ``count()`` or ``avg(amount)``.

    Raises:
        ExpressionError: the text is no aggregate of the list, or its argument no expression.

    >>> str(parse_aggregation("AVG( amount*2 )"))
    'avg(amount * 2)'
    """
    function, node, parameter = read_aggregate(text)
    argument = None if node is None else of_node(node)
    return Aggregation(function, argument, parameter)


def of_node(node: Node) -> Expression:
    """The expression that nodes say, under its canonical text."""
    return Expression(render(node), node)


def only_where(aggregation: Aggregation, condition: Expression) -> Aggregation:
    """The aggregate over the rows for which a condition holds.

    >>> str(only_where(parse_aggregation("count()"), parse("channel = 'online'")))
    "count(case when channel = 'online' then 1 else null end)"
    """
    argument = aggregation.argument
    counted = Literal(1, ColumnType.INT) if argument is None else argument.node
    return Aggregation(
        aggregation.function, where(of_node(counted), condition), aggregation.parameter
    )


def where(expression: Expression, condition: Expression) -> Expression:
    """The expression's value where a condition holds, else null."""
    choice = (condition.node, expression.node, Literal(None, None))
    return of_node(Call(Operator.CASE, choice))


def equals(expression: Expression, value: Scalar) -> Expression:
    """The condition that an expression has a value.

    >>> str(equals(parse("channel"), "it's"))
    "channel = 'it''s'"
    """
    match value:
        case bool():
            kind = ColumnType.BOOLEAN
        case int():
            kind = ColumnType.INT if INT_MIN <= value <= INT_MAX else ColumnType.BIGINT
        case str():
            kind = ColumnType.STRING
    return of_node(Call(Operator.EQUAL, (expression.node, Literal(value, kind))))


def both(left: Expression, right: Expression) -> Expression:
    """The condition that two conditions hold."""
    return of_node(Call(Operator.AND, (left.node, right.node)))


def result_type(aggregation: Aggregation, schema: Schema) -> ColumnType:
    """The type of an aggregate.

    Counts are bigint; min and max keep whole numbers; first and last have the type of their
    argument; all else is double. Booleans count as 1 and 0 in sum, avg, stddev and variance.

    Raises:
        UnknownColumnError: a column is not in the schema.
        TypeMismatchError: the function has no meaning for its argument's type.

    >>> result_type(parse_aggregation("max(age)"), {"age": ColumnType.INT})
    <ColumnType.BIGINT: 'bigint'>
    """
    if aggregation.argument is None:
        return ColumnType.BIGINT
    argument = type_of(aggregation.argument, schema)
    if aggregation.function in ("count", "approx_distinct"):
        return ColumnType.BIGINT
    if aggregation.function in ("first", "last"):
        return argument
    boolean_counts = argument is ColumnType.BOOLEAN and aggregation.function in _DOUBLE_RESULT
    if not argument.is_number and not boolean_counts:
        raise TypeMismatchError(f"{aggregation}: {aggregation.function} takes no {argument}")
    whole = argument.is_integer and aggregation.function in ("min", "max")
    return ColumnType.BIGINT if whole else ColumnType.DOUBLE

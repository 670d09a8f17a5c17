"""Expressions with a type at every node and every conversion written out.

The rules of types live here alone: engines walk the typed tree and decide nothing. What each
operation yields is fixed in ``spec.expression``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from feldspar.errors import nearest
from feldspar.spec.syntax import (
    Call,
    Cast,
    Column,
    Expression,
    Literal,
    Node,
    Operator,
    TypeMismatchError,
    UnknownColumnError,
    render,
)
from feldspar.spec.types import ColumnType

Schema = Mapping[str, ColumnType]
MAX_DIGITS = 15

_NUMBERS = (ColumnType.INT, ColumnType.BIGINT, ColumnType.DOUBLE)
_CASTS = frozenset(
    [(ColumnType.BOOLEAN, number) for number in _NUMBERS]
    + [(low, high) for low in _NUMBERS for high in _NUMBERS if low is not high]
    + [(ColumnType.INT, ColumnType.STRING), (ColumnType.BIGINT, ColumnType.STRING)]
    + [(ColumnType.TIMESTAMP, ColumnType.DATE), (ColumnType.DATE, ColumnType.TIMESTAMP)]
)


@dataclass(frozen=True)
class Constant:
    """A literal of a known type; see ``spec.syntax.Literal`` for how values are held."""

    value: bool | int | float | str | None
    type: ColumnType


@dataclass(frozen=True)
class Field:
    """A column of the input."""

    name: str
    type: ColumnType


@dataclass(frozen=True)
class Operation:
    """An operation whose arguments already have the types it works on."""

    operator: Operator
    arguments: tuple[Typed, ...]
    type: ColumnType


@dataclass(frozen=True)
class Conversion:
    """A change of type; a value that the target cannot hold becomes null."""

    argument: Typed
    type: ColumnType


Typed = Constant | Field | Operation | Conversion


def resolve(expression: Expression, schema: Schema) -> Typed:
    """The typed form of an expression over columns of a schema.

    Raises:
        UnknownColumnError: a column is not in the schema.
        TypeMismatchError: an operation has no meaning for the types it is given.
    """
    return _typed(expression.node, schema)


def rounding_digits(operation: Operation) -> int:
    """The digits after the point that ``round`` keeps."""
    digits = operation.arguments[1]
    return int(digits.value or 0) if isinstance(digits, Constant) else 0


def _typed(node: Node, schema: Schema) -> Typed:
    typed = _typed_or_null(node, schema)
    if typed is None:
        raise TypeMismatchError(
            "null has no type here", hint="write e.g. cast(null as double), or 'is null' to test"
        )
    return typed


def _typed_or_null(node: Node, schema: Schema) -> Typed | None:
    match node:
        case Literal(value, kind):
            return None if kind is None else Constant(value, kind)
        case Column(name):
            if name not in schema:
                raise UnknownColumnError(name, nearest(name, schema))
            return Field(name, schema[name])
        case Cast(argument, target):
            return _cast(node, _typed_or_null(argument, schema), target)
        case Call(operator, _):
            return _RULES[operator](node, schema)


def _cast(node: Node, argument: Typed | None, target: ColumnType) -> Typed:
    if argument is None:
        return Constant(None, target)
    if argument.type is not target and (argument.type, target) not in _CASTS:
        raise _mismatch(node, f"{argument.type} does not convert to {target}", hint=_CAST_HINT)
    return _convert(argument, target)


_CAST_HINT = (
    "casts: boolean to a number, between numbers, a whole number to string, "
    "timestamp to date and back; text is typed by its table's columns"
)


def _convert(argument: Typed, target: ColumnType) -> Typed:
    return argument if argument.type is target else Conversion(argument, target)


def _mismatch(node: Node, what: str, *, hint: str = "") -> TypeMismatchError:
    return TypeMismatchError(f"{render(node)}: {what}", hint=hint)


def _unified(node: Node, arguments: Sequence[Typed | None]) -> tuple[Typed, ...]:
    """All arguments in the one type that can hold them; bare nulls take it too."""
    kinds = list(dict.fromkeys(one.type for one in arguments if one is not None))
    if not kinds:
        raise _mismatch(node, "only null, so it has no type", hint="write cast(null as double)")
    if len(kinds) > 1 and not all(kind.is_number for kind in kinds):
        found = " and ".join(kinds)
        raise _mismatch(node, f"{found} have no common type", hint="convert one with cast(...)")
    target = max(kinds, key=_NUMBERS.index) if len(kinds) > 1 else kinds[0]
    return tuple(
        Constant(None, target) if one is None else _convert(one, target) for one in arguments
    )


def _maybe_null(arguments: Sequence[Node], schema: Schema) -> list[Typed | None]:
    return [_typed_or_null(argument, schema) for argument in arguments]


def _numbers(node: Call, schema: Schema) -> list[Typed]:
    arguments = [_typed(argument, schema) for argument in node.arguments]
    for argument in arguments:
        if not argument.type.is_number:
            raise _mismatch(
                node,
                f"{node.operator.value!r} takes numbers, not {argument.type}",
                hint="a boolean becomes 1 or 0 by cast(... as int)",
            )
    return arguments


def _arithmetic(node: Call, schema: Schema) -> Typed:
    arguments = _numbers(node, schema)
    double = any(argument.type is ColumnType.DOUBLE for argument in arguments)
    kind = ColumnType.DOUBLE if double else ColumnType.BIGINT
    return Operation(node.operator, tuple(_convert(one, kind) for one in arguments), kind)


def _double(node: Call, schema: Schema) -> Typed:
    arguments = tuple(_convert(one, ColumnType.DOUBLE) for one in _numbers(node, schema))
    return Operation(node.operator, arguments, ColumnType.DOUBLE)


def _equality(node: Call, schema: Schema) -> Typed:
    arguments = _unified(node, [_typed(argument, schema) for argument in node.arguments])
    return Operation(node.operator, arguments, ColumnType.BOOLEAN)


def _order(node: Call, schema: Schema) -> Typed:
    arguments = _unified(node, [_typed(argument, schema) for argument in node.arguments])
    _refuse_boolean_order(node, arguments)
    return Operation(node.operator, arguments, ColumnType.BOOLEAN)


def _refuse_boolean_order(node: Call, arguments: Sequence[Typed]) -> None:
    if arguments[0].type is ColumnType.BOOLEAN:
        raise _mismatch(node, "booleans have no order", hint="compare with = or <>")


def _logic(node: Call, schema: Schema) -> Typed:
    arguments = tuple(_condition(node, argument, schema) for argument in node.arguments)
    return Operation(node.operator, arguments, ColumnType.BOOLEAN)


def _condition(node: Call, argument: Node, schema: Schema) -> Typed:
    typed = _typed_or_null(argument, schema)
    if typed is None:
        return Constant(None, ColumnType.BOOLEAN)
    if typed.type is not ColumnType.BOOLEAN:
        raise _mismatch(node, f"a condition is a boolean, not {typed.type}")
    return typed


def _is_null(node: Call, schema: Schema) -> Typed:
    return Operation(node.operator, (_typed(node.arguments[0], schema),), ColumnType.BOOLEAN)


def _case(node: Call, schema: Schema) -> Typed:
    *pairs, otherwise = node.arguments
    conditions = [_condition(node, condition, schema) for condition in pairs[::2]]
    values = _unified(node, _maybe_null([*pairs[1::2], otherwise], schema))
    arguments: list[Typed] = []
    for condition, value in zip(conditions, values[:-1], strict=True):
        arguments += (condition, value)
    return Operation(node.operator, (*arguments, values[-1]), values[-1].type)


def _choice(node: Call, schema: Schema) -> Typed:
    arguments = _unified(node, _maybe_null(node.arguments, schema))
    return Operation(node.operator, arguments, arguments[0].type)


def _extreme(node: Call, schema: Schema) -> Typed:
    arguments = _unified(node, _maybe_null(node.arguments, schema))
    _refuse_boolean_order(node, arguments)
    return Operation(node.operator, arguments, arguments[0].type)


def _round(node: Call, schema: Schema) -> Typed:
    digits = node.arguments[1] if len(node.arguments) > 1 else Literal(0, ColumnType.INT)
    if not isinstance(digits, Literal) or digits.value not in range(MAX_DIGITS + 1):
        raise _mismatch(node, f"the digits are a whole number from 0 to {MAX_DIGITS}")
    number = _numbers(Call(node.operator, node.arguments[:1]), schema)[0]
    if number.type.is_integer:
        return _convert(number, ColumnType.BIGINT)
    places = Constant(digits.value, ColumnType.INT)
    return Operation(node.operator, (number, places), ColumnType.DOUBLE)


def _taking(result: ColumnType, *taken: ColumnType) -> Callable[[Call, Schema], Typed]:
    def rule(node: Call, schema: Schema) -> Typed:
        argument = _typed(node.arguments[0], schema)
        if argument.type not in taken:
            expected = " or ".join(taken)
            raise _mismatch(node, f"{node.operator} takes a {expected}, not {argument.type}")
        return Operation(node.operator, (argument,), result)

    return rule


_RULES: Mapping[Operator, Callable[[Call, Schema], Typed]] = {
    Operator.ADD: _arithmetic,
    Operator.SUBTRACT: _arithmetic,
    Operator.MULTIPLY: _arithmetic,
    Operator.REMAINDER: _arithmetic,
    Operator.NEGATE: _arithmetic,
    Operator.ABS: _arithmetic,
    Operator.DIVIDE: _double,
    Operator.SQRT: _double,
    Operator.EXP: _double,
    Operator.LN: _double,
    Operator.ROUND: _round,
    Operator.EQUAL: _equality,
    Operator.NOT_EQUAL: _equality,
    Operator.IN: _equality,
    Operator.LESS: _order,
    Operator.LESS_EQUAL: _order,
    Operator.GREATER: _order,
    Operator.GREATER_EQUAL: _order,
    Operator.AND: _logic,
    Operator.OR: _logic,
    Operator.NOT: _logic,
    Operator.IS_NULL: _is_null,
    Operator.CASE: _case,
    Operator.COALESCE: _choice,
    Operator.LEAST: _extreme,
    Operator.GREATEST: _extreme,
    Operator.LOWER: _taking(ColumnType.STRING, ColumnType.STRING),
    Operator.UPPER: _taking(ColumnType.STRING, ColumnType.STRING),
    Operator.HOUR: _taking(ColumnType.INT, ColumnType.TIMESTAMP),
    Operator.DAYOFWEEK: _taking(ColumnType.INT, ColumnType.TIMESTAMP, ColumnType.DATE),
}

"""What an expression is made of, and its canonical text.

Nodes are frozen and free of types and engines. To read text: ``spec.expression``; to give
nodes types: ``spec.typed``. Nothing here imports the SQL parser, so executors need none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from enum import StrEnum

from feldspar.errors import UsageError
from feldspar.spec.types import ColumnType
from feldspar.times import from_micros


class ExpressionError(UsageError):
    """A text is not an expression of the language."""


class UnknownColumnError(ExpressionError):
    """An expression names a column that its schema lacks."""

    def __init__(self, column: str, nearest: tuple[str, ...]) -> None:
        self.column = column
        self.nearest = nearest
        known = ", ".join(nearest)
        hint = f"nearest: {known}" if known else "if it is text, write it in single quotes"
        super().__init__(f'there is no column "{column}"', hint=hint)


class TypeMismatchError(ExpressionError):
    """An operator is given a type for which it has no meaning."""


class Operator(StrEnum):
    """Every operation of the language; the value is how it is written."""

    ADD = "+"
    SUBTRACT = "-"
    MULTIPLY = "*"
    DIVIDE = "/"
    REMAINDER = "%"
    NEGATE = "negate"
    EQUAL = "="
    NOT_EQUAL = "<>"
    LESS = "<"
    LESS_EQUAL = "<="
    GREATER = ">"
    GREATER_EQUAL = ">="
    AND = "and"
    OR = "or"
    NOT = "not"
    IS_NULL = "is null"
    IN = "in"
    CASE = "case"
    COALESCE = "coalesce"
    ABS = "abs"
    LEAST = "least"
    GREATEST = "greatest"
    SQRT = "sqrt"
    EXP = "exp"
    LN = "ln"
    ROUND = "round"
    LOWER = "lower"
    UPPER = "upper"
    HOUR = "hour"
    DAYOFWEEK = "dayofweek"


Scalar = bool | int | str
"""What a definition may list as a value of an expression."""


@dataclass(frozen=True)
class Literal:
    """A constant: timestamps as microseconds and dates as days since the epoch.

    ``type`` is None for the bare ``null``, which takes its type from its surroundings.
    """

    value: bool | int | float | str | None
    type: ColumnType | None


@dataclass(frozen=True)
class Column:
    """A column by name; a feature of a view is named ``view.feature``."""

    name: str


@dataclass(frozen=True)
class Call:
    """An operation on nodes.

    ``CASE`` holds condition, value, condition, value, ..., otherwise; ``IN`` holds the value
    and then its literals.
    """

    operator: Operator
    arguments: tuple[Node, ...]


@dataclass(frozen=True)
class Cast:
    """A conversion that the text asks for."""

    argument: Node
    type: ColumnType


Node = Literal | Column | Call | Cast


@dataclass(frozen=True)
class Expression:
    """A parsed expression; two are equal when they say the same, however spaced.

    ``str`` gives the canonical text: it parses to the same nodes and is what names and hashes
    are made of.
    """

    text: str = field(compare=False)
    node: Node

    @property
    def columns(self) -> frozenset[str]:
        """Every column the expression reads."""
        return frozenset(_columns(self.node))

    def __str__(self) -> str:
        return render(self.node)


def _columns(node: Node) -> Iterator[str]:
    match node:
        case Column(name):
            yield name
        case Cast(argument, _):
            yield from _columns(argument)
        case Call(_, arguments):
            for argument in arguments:
                yield from _columns(argument)
        case Literal():
            return


# Binding strength: an operand that binds weaker than its place is put in parentheses.
_COMPARISON, _NOT, _PRIMARY = 4, 3, 8
_STRENGTH = {
    Operator.OR: 1,
    Operator.AND: 2,
    Operator.NOT: _NOT,
    Operator.EQUAL: _COMPARISON,
    Operator.NOT_EQUAL: _COMPARISON,
    Operator.LESS: _COMPARISON,
    Operator.LESS_EQUAL: _COMPARISON,
    Operator.GREATER: _COMPARISON,
    Operator.GREATER_EQUAL: _COMPARISON,
    Operator.IS_NULL: _COMPARISON,
    Operator.IN: _COMPARISON,
    Operator.ADD: 5,
    Operator.SUBTRACT: 5,
    Operator.MULTIPLY: 6,
    Operator.DIVIDE: 6,
    Operator.REMAINDER: 6,
    Operator.NEGATE: 7,
}
_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_WORDS = (
    "alter analyze and any as begin between cache call case comment commit copy create cross "
    "current_catalog current_date current_time current_timestamp current_user delete desc "
    "describe distinct drop else end except execute explain false fetch for from glob grant "
    "having ilike in inner insert intersect interval into is join kill lateral like load "
    "localtime localtimestamp merge not notnull null on optimize or outer partitioned_by "
    "pivot pragma prepare qualify regexp rename returning revoke rlike rollback select "
    "session_user set show straight_join tablesample then true truncate uncache union unpivot "
    "update use using vacuum values when where with xor"
)
RESERVED = frozenset(_WORDS.split())
"""Words that name a column only in double quotes."""


def render(node: Node) -> str:
    """The canonical text of a node.

    >>> render(Call(Operator.ADD, (Column("a"), Literal(1, ColumnType.INT))))
    'a + 1'
    """
    match node:
        case Literal(value, kind):
            return _literal(value, kind)
        case Column(name):
            return ".".join(_name(part) for part in name.split("."))
        case Cast(argument, kind):
            return f"cast({render(argument)} as {kind})"
        case Call(operator, arguments):
            return _call(operator, arguments)


def _literal(value: object, kind: ColumnType | None) -> str:
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    if kind is ColumnType.TIMESTAMP and isinstance(value, int):
        return f"timestamp '{from_micros(value).isoformat().replace('+00:00', 'Z')}'"
    if kind is ColumnType.DATE and isinstance(value, int):
        return f"date '{(date(1970, 1, 1) + timedelta(days=value)).isoformat()}'"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return repr(value)


def _name(part: str) -> str:
    plain = _PLAIN_NAME.match(part) and part.lower() not in RESERVED
    return part if plain else f'"{part}"'


def _call(operator: Operator, arguments: tuple[Node, ...]) -> str:
    strength = _STRENGTH.get(operator, _PRIMARY)
    match operator:
        case Operator.CASE:
            return _case(arguments)
        case Operator.NOT:
            return _not(arguments[0])
        case Operator.NEGATE:
            return f"-{_operand(arguments[0], _PRIMARY)}"
        case Operator.IS_NULL | Operator.IN:
            return _test(operator, arguments, negation="")
        case _ if operator in _STRENGTH:
            return _between_operands(operator, arguments, strength)
        case _:
            return f"{operator}({_list(arguments)})"


def _between_operands(operator: Operator, arguments: tuple[Node, ...], strength: int) -> str:
    # a = b = c has no meaning that readers agree on, so both sides are held apart
    left = strength + (strength == _COMPARISON)
    right = _operand(arguments[1], strength + 1)
    return f"{_operand(arguments[0], left)} {operator} {right}"


def _not(argument: Node) -> str:
    if isinstance(argument, Call) and argument.operator in (Operator.IS_NULL, Operator.IN):
        return _test(argument.operator, argument.arguments, negation="not ")
    return f"not {_operand(argument, _NOT)}"


def _test(operator: Operator, arguments: tuple[Node, ...], *, negation: str) -> str:
    value = _operand(arguments[0], _COMPARISON + 1)
    if operator is Operator.IS_NULL:
        return f"{value} is {negation}null"
    return f"{value} {negation}in ({_list(arguments[1:])})"


def _case(arguments: tuple[Node, ...]) -> str:
    pairs = zip(arguments[:-1:2], arguments[1:-1:2], strict=True)
    whens = " ".join(f"when {render(when)} then {render(then)}" for when, then in pairs)
    return f"case {whens} else {render(arguments[-1])} end"


def _list(nodes: tuple[Node, ...]) -> str:
    return ", ".join(render(node) for node in nodes)


def _operand(node: Node, least: int) -> str:
    text = render(node)
    return text if _strength(node) >= least else f"({text})"


def _strength(node: Node) -> int:
    if isinstance(node, Literal) and render(node).startswith("-"):
        return _STRENGTH[Operator.NEGATE]
    if isinstance(node, Call):
        return _STRENGTH.get(node.operator, _PRIMARY)
    return _PRIMARY

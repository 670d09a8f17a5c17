"""Which SQL is in the expression language: sqlglot's tree to our own nodes.

The only module that knows sqlglot. What is not listed here is refused with its name and its
place; arguments that a listed construct may carry in SQL but not here are refused too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from typing import NoReturn

import sqlglot
from sqlglot import expressions as sql
from sqlglot.errors import ParseError, SqlglotError

from feldspar.errors import UsageError, nearest
from feldspar.spec.syntax import Call, Cast, Column, ExpressionError, Literal, Node, Operator
from feldspar.spec.types import BIGINT_MAX, BIGINT_MIN, INT_MAX, INT_MIN, ColumnType
from feldspar.times import parse_instant, to_micros

MAX_DEPTH = 100
AGGREGATES = (
    "count", "sum", "avg", "min", "max", "stddev", "variance",
    "first", "last", "approx_distinct", "approx_quantile",
)  # fmt: skip
MOST_PLACES = 100
_PARAMETERS = {"first": "expression", "last": "expression", "approx_quantile": "quantile"}
"""Aggregate to what the parser calls its second argument."""

# name -> operator, fewest and most arguments
_FUNCTIONS: dict[str, tuple[Operator, int, int]] = {
    "abs": (Operator.ABS, 1, 1),
    "coalesce": (Operator.COALESCE, 1, MAX_DEPTH),
    "dayofweek": (Operator.DAYOFWEEK, 1, 1),
    "exp": (Operator.EXP, 1, 1),
    "greatest": (Operator.GREATEST, 1, MAX_DEPTH),
    "hour": (Operator.HOUR, 1, 1),
    "least": (Operator.LEAST, 1, MAX_DEPTH),
    "ln": (Operator.LN, 1, 1),
    "lower": (Operator.LOWER, 1, 1),
    "round": (Operator.ROUND, 1, 2),
    "sqrt": (Operator.SQRT, 1, 1),
    "upper": (Operator.UPPER, 1, 1),
}
_BINARY: dict[type[sql.Expr], Operator] = {
    sql.Add: Operator.ADD,
    sql.Sub: Operator.SUBTRACT,
    sql.Mul: Operator.MULTIPLY,
    sql.Div: Operator.DIVIDE,
    sql.Mod: Operator.REMAINDER,
    sql.EQ: Operator.EQUAL,
    sql.NEQ: Operator.NOT_EQUAL,
    sql.LT: Operator.LESS,
    sql.LTE: Operator.LESS_EQUAL,
    sql.GT: Operator.GREATER,
    sql.GTE: Operator.GREATER_EQUAL,
    sql.And: Operator.AND,
    sql.Or: Operator.OR,
}
_TYPES = {
    "BOOLEAN": ColumnType.BOOLEAN,
    "INT": ColumnType.INT,
    "BIGINT": ColumnType.BIGINT,
    "DOUBLE": ColumnType.DOUBLE,
    "TEXT": ColumnType.STRING,
    "TIMESTAMP": ColumnType.TIMESTAMP,
    "DATE": ColumnType.DATE,
}
_FLAGS = frozenset({"typed", "safe", "big_int", "ignore_nulls", "coalesce"})
ALLOWED = (
    "allowed: columns, literals, + - * / %, = <> < <= > >=, and or not, is null, in, between, "
    f"case when, cast, {', '.join(_FUNCTIONS)}"
)


def read(text: str) -> Node:
    """The nodes of one expression.

    Raises:
        ExpressionError: the text is empty, not SQL, nested too deeply or outside the language.
    """
    return Reader(text).node(_tree(text))


def read_aggregate(text: str) -> tuple[str, Node | None, int | float | None]:
    """The function's name, the nodes of its argument (None: ``count()``) and its parameter.

    Raises:
        ExpressionError: the text is no aggregate, or its argument is outside the language.
    """
    tree, reader = _tree(text), Reader(text)
    function = reader.name_of(tree)
    if function not in AGGREGATES:
        near = nearest(function, AGGREGATES) if function else ()
        found = f"nearest: {', '.join(near)}; " if near else ""
        raise ExpressionError(
            f"{text}: not an aggregate", hint=f"{found}allowed: {', '.join(AGGREGATES)} (of ...)"
        )
    second = _PARAMETERS.get(function, "this")
    reader.only(tree, "this", second)
    if tree.this is not None and not isinstance(tree.this, sql.Star):
        parameter = None if second == "this" else _parameter(tree.args.get(second), function, text)
        return function, reader.node(tree.this), parameter
    if function != "count":
        raise ExpressionError(f"{text}: {function} needs a value", hint=f"e.g. {function}(amount)")
    return function, None, None


def _parameter(tree: sql.Expr | None, function: str, text: str) -> int | float | None:
    """How many of the first or last, or which quantile."""
    if tree is None:
        return None
    found = float(tree.this) if isinstance(tree, sql.Literal) and not tree.is_string else -1.0
    if function == "approx_quantile":
        if 0 <= found <= 1:
            return found
        raise ExpressionError(f"{text}: the quantile is a number from 0 to 1")
    if found in range(1, MOST_PLACES + 1):
        return int(found)
    raise ExpressionError(f"{text}: how many is a whole number from 1 to {MOST_PLACES}")


def _tree(text: str) -> sql.Expr:
    try:
        return sqlglot.parse_one(text)
    except RecursionError as error:
        raise ExpressionError(f"{text[:60]}...: nested too deeply") from error
    except SqlglotError as error:
        raise ExpressionError(f"{text!r} cannot be read: {_complaint(error)}") from error


def _complaint(error: SqlglotError) -> str:
    details = error.errors if isinstance(error, ParseError) else []
    if not details:
        return str(error).splitlines()[0]
    complaint = str(details[0]["description"])
    if "arguments" in complaint or complaint.startswith("Required keyword"):
        complaint = "wrong number of arguments"
    return f"{complaint} at character {details[0]['col']}"


@dataclass(frozen=True)
class Reader:
    """Turns the tree of one text into nodes.

    Args:
        text: what was parsed; function names and places in messages are taken from it.
    """

    text: str

    def node(self, tree: sql.Expr, depth: int = 0) -> Node:
        """One node and all below it.

        Raises:
            ExpressionError: something is outside the language.
        """
        if depth > MAX_DEPTH:
            raise ExpressionError(f"{self.text[:60]}...: nested more than {MAX_DEPTH} deep")
        if type(tree) in _BINARY:
            self.only(tree, "this", "expression")
            operands = (tree.this, tree.expression)
            return Call(_BINARY[type(tree)], self._nodes(operands, depth))
        if type(tree) in _READERS:
            return _READERS[type(tree)](self, tree, depth)
        return self._function(tree, depth)

    def only(self, tree: sql.Expr, *allowed: str) -> None:
        """Refuses arguments that SQL knows and this language does not."""
        for name, value in tree.args.items():
            if value and name not in allowed and name not in _FLAGS:
                self.refuse(tree, f"{name} in {tree.sql()}")

    def refuse(self, tree: sql.Expr, what: str = "") -> NoReturn:
        """Raises with the construct, its place and what is allowed."""
        found = what or f"{type(tree).__name__.lower()} ({tree.sql()})"
        raise ExpressionError(
            f"{self.text}: {found}{self._place(tree)} is not allowed", hint=ALLOWED
        )

    def name_of(self, tree: sql.Expr) -> str:
        """The name of a function as written, in lower case; empty for other constructs."""
        if not isinstance(tree, sql.Func) or "start" not in tree.meta:
            return ""
        return self.text[tree.meta["start"] : tree.meta["end"] + 1].lower()

    def _place(self, tree: sql.Expr) -> str:
        starts = [part.meta["start"] for part in tree.walk() if "start" in part.meta]
        return f" at character {min(starts) + 1}" if starts else ""

    def _nodes(self, trees: tuple[sql.Expr, ...], depth: int) -> tuple[Node, ...]:
        return tuple(self.node(tree, depth + 1) for tree in trees)

    def _function(self, tree: sql.Expr, depth: int) -> Node:
        name = self.name_of(tree)
        if not name:
            self.refuse(tree)
        if name in AGGREGATES:
            self.refuse(tree, f"the aggregate {name}(...) inside an expression")
        if name not in _FUNCTIONS:
            near = ", ".join(nearest(name, _FUNCTIONS))
            self.refuse(tree, f"the function {name}{f' (nearest: {near})' if near else ''}")
        operator, fewest, most = _FUNCTIONS[name]
        arguments = tuple(_arguments(tree))
        if not fewest <= len(arguments) <= most:
            self.refuse(tree, f"{name} of {len(arguments)} arguments")
        return Call(operator, self._nodes(arguments, depth))

    def literal(self, tree: sql.Expr, _: int) -> Node:
        """A number or a text; whole numbers take the narrowest type."""
        if tree.is_string:
            return Literal(str(tree.this), ColumnType.STRING)
        return self._number(tree, str(tree.this))

    def _number(self, tree: sql.Expr, text: str) -> Literal:
        if text.lstrip("-").isdigit():
            whole = int(text)
            if not BIGINT_MIN <= whole <= BIGINT_MAX:
                self.refuse(tree, f"{text}, which is no 64-bit number,")
            kind = ColumnType.INT if INT_MIN <= whole <= INT_MAX else ColumnType.BIGINT
            return Literal(whole, kind)
        value = float(text)
        if value in (float("inf"), float("-inf")):
            self.refuse(tree, f"{text}, which is no double,")
        return Literal(value, ColumnType.DOUBLE)

    def boolean(self, tree: sql.Expr, _: int) -> Node:
        """A truth value."""
        return Literal(bool(tree.this), ColumnType.BOOLEAN)

    def null(self, _: sql.Expr, __: int) -> Node:
        """The bare null."""
        return Literal(None, None)

    def column(self, tree: sql.Expr, _: int) -> Node:
        """``name`` or ``view.feature``; a name in double quotes is a name too."""
        self.only(tree, "this", "table")
        parts = [tree.args[part] for part in ("table", "this") if tree.args.get(part)]
        for part in parts:
            plain = isinstance(part, sql.Identifier) and not set('."') & set(part.name)
            if not plain or not part.name or part.name.startswith("$"):
                self.refuse(tree)
        return Column(".".join(part.name for part in parts))

    def paren(self, tree: sql.Expr, depth: int) -> Node:
        """Parentheses vanish: the tree keeps the order."""
        return self.node(tree.this, depth + 1)

    def negation(self, tree: sql.Expr, depth: int) -> Node:
        """A minus; before a number it belongs to the number."""
        number = tree.this.unnest()
        if isinstance(number, sql.Literal) and not number.is_string:
            return self._number(tree, f"-{number.this}")
        return Call(Operator.NEGATE, self._nodes((tree.this,), depth))

    def inversion(self, tree: sql.Expr, depth: int) -> Node:
        """The word not."""
        return Call(Operator.NOT, self._nodes((tree.this,), depth))

    def is_null(self, tree: sql.Expr, depth: int) -> Node:
        """Of the tests with ``is``, only null."""
        if not isinstance(tree.expression, sql.Null):
            self.refuse(tree)
        return Call(Operator.IS_NULL, self._nodes((tree.this,), depth))

    def membership(self, tree: sql.Expr, depth: int) -> Node:
        """A list of literals, no null among them, for which every miss would be null."""
        self.only(tree, "this", "expressions")
        value, *listed = self._nodes((tree.this, *tree.expressions), depth)
        known = [one for one in listed if isinstance(one, Literal) and one.value is not None]
        if not listed or len(known) < len(listed):
            self.refuse(tree, f"a list of other than literals, {tree.sql()},")
        return Call(Operator.IN, (value, *listed))

    def between(self, tree: sql.Expr, depth: int) -> Node:
        """Both ends belong to between."""
        self.only(tree, "this", "low", "high")
        value, low, high = self._nodes((tree.this, tree.args["low"], tree.args["high"]), depth)
        above = Call(Operator.GREATER_EQUAL, (value, low))
        return Call(Operator.AND, (above, Call(Operator.LESS_EQUAL, (value, high))))

    def choice(self, tree: sql.Expr, depth: int) -> Node:
        """Both spellings of case; ``case x when 1`` is ``case when x = 1``."""
        arguments: list[Node] = []
        for branch in tree.args["ifs"]:
            condition, value = self._nodes((branch.this, branch.args["true"]), depth)
            if tree.this is not None:
                subject = self.node(tree.this, depth + 1)
                condition = Call(Operator.EQUAL, (subject, condition))
            arguments += (condition, value)
        default = tree.args.get("default")
        otherwise = Literal(None, None) if default is None else self.node(default, depth + 1)
        return Call(Operator.CASE, (*arguments, otherwise))

    def cast(self, tree: sql.Expr, depth: int) -> Node:
        """A text is cast to an instant or a day at once."""
        self.only(tree, "this", "to")
        target = tree.args["to"]
        kind = _TYPES.get(target.this.name) if isinstance(target, sql.DataType) else None
        if kind is None or target.expressions:
            self.refuse(tree, f"a cast to {target.sql().lower()} (types: {', '.join(ColumnType)})")
        argument = self.node(tree.this, depth + 1)
        if isinstance(argument, Literal) and isinstance(argument.value, str):
            return self._time(argument.value, kind)
        return Cast(argument, kind)

    def _time(self, text: str, kind: ColumnType) -> Node:
        try:
            if kind is ColumnType.TIMESTAMP:
                return Literal(to_micros(parse_instant(text)), kind)
            if kind is ColumnType.DATE:
                return Literal((date.fromisoformat(text) - date(1970, 1, 1)).days, kind)
        except (UsageError, ValueError) as error:
            raise ExpressionError(f"{self.text}: {error}") from error
        return Cast(Literal(text, ColumnType.STRING), kind)


def _arguments(tree: sql.Expr) -> Iterator[sql.Expr]:
    for name, value in tree.args.items():
        if name in _FLAGS or isinstance(value, str) or value is None:
            continue
        yield from value if isinstance(value, list) else (value,)


_READERS: dict[type[sql.Expr], Callable[[Reader, sql.Expr, int], Node]] = {
    sql.Literal: Reader.literal,
    sql.Boolean: Reader.boolean,
    sql.Null: Reader.null,
    sql.Column: Reader.column,
    sql.Paren: Reader.paren,
    sql.Neg: Reader.negation,
    sql.Not: Reader.inversion,
    sql.Is: Reader.is_null,
    sql.In: Reader.membership,
    sql.Between: Reader.between,
    sql.Case: Reader.choice,
    sql.Cast: Reader.cast,
}

"""A row that is judged while its sender waits: types, checks and rules of its table, without Spark.

The same verdict as ``refine`` gives a row of a file, in the same words; see ``checks.rows``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, assert_never

from feldspar.compute.checks.texts import (
    FUTURE,
    UNKNOWN,
    Typing,
    missing,
    text_of,
    typing_of,
    untyped,
)
from feldspar.compute.expressions.online import RowFunction, compile_row
from feldspar.errors import UsageError
from feldspar.graph.graph import Table
from feldspar.spec.check import Between, CheckSpec, Matches, NotNull, OneOf
from feldspar.spec.types import ColumnType
from feldspar.times import duration_micros

Fails = Callable[[Any], bool]


@dataclass(frozen=True)
class Judged:
    """A row as its table sees it.

    Attributes:
        values: each declared column; timestamps in microseconds, dates in days.
        reasons: why it is refused, in refine's order; none: it is valid.
    """

    values: Mapping[str, Any]
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class _Column:
    """How a declared column is read, and what is said where it cannot be."""

    name: str
    typing: Typing
    untyped: str
    optional: bool
    is_text: bool


@dataclass(frozen=True)
class _Check:
    """A condition on one column (None: on the row) that fails, and its reason."""

    reason: str
    column: str | None
    fails: Fails
    of_deletes: bool


class RowJudge:
    """Judges rows of one table; made once, used for every row.

    Raises:
        UsageError: a check's pattern is none that Python can read.
    """

    def __init__(self, table: Table) -> None:
        self.table = table
        self._types = table.types()
        self._columns = tuple(_columns(table))
        self._checks = tuple(_checks(table))
        self._max_future = duration_micros(table.spec.max_future)
        self._of_deletes = tuple(one for one in self._checks if one.of_deletes)
        deletes = table.history.deletes if table.history is not None else None
        self._deletes = None if deletes is None else compile_row(deletes, self._types)

    def judge(self, texts: Mapping[str, str | None], *, known: int) -> Judged:
        """Types a row and says what is wrong with it.

        Args:
            texts: by column, as ``compute.json_texts.split`` makes them.
            known: since when the row is known, microseconds.
        """
        values: dict[str, Any] = {}
        untypable: dict[str, str] = {}
        for one in self._columns:
            values[one.name], reason = _typed(one, texts)
            if reason:
                untypable[one.name] = reason
        deletes = self._deletes is not None and self._deletes(values) is True
        unknown = () if deletes else (name for name in texts if name not in values)
        needed = self.table.needed if deletes else values
        reasons = [f"{name}:{UNKNOWN}" for name in unknown]
        reasons += [reason for name, reason in untypable.items() if name in needed]
        checks = self._of_deletes if deletes else self._checks
        reasons += [one.reason for one in checks if _fails_in(one, values, untypable)]
        event_time = values[self.table.source.event_time]
        if event_time is not None and event_time > known + self._max_future:
            reasons.append(FUTURE)
        return Judged(values, tuple(reasons))

    def texts(self, values: Mapping[str, Any]) -> dict[str, str]:
        """The texts of a row's values, those that are not null; refine makes the values of them."""
        found = {name: text_of(values[name], kind) for name, kind in self._types.items()}
        return {name: text for name, text in found.items() if text is not None}


def _columns(table: Table) -> Iterator[_Column]:
    zone = table.source.zone
    for name, one in table.spec.columns.items():
        typing, reason = typing_of(one.type, zone), untyped(name, one.type, zone)
        yield _Column(name, typing, reason, one.optional, one.type is ColumnType.STRING)


def _typed(column: _Column, texts: Mapping[str, str | None]) -> tuple[Any, str]:
    """The value and why there is none."""
    if column.name not in texts:
        return None, "" if column.optional else missing(column.name)
    text = texts[column.name]
    if text is None:
        return None, ""
    value = column.typing(text)
    # nothing but blanks is no value, but of a text
    empty = not column.is_text and not text.strip(" ")
    return value, column.untyped if value is None and not empty else ""


def _fails_in(check: _Check, values: Mapping[str, Any], untypable: Mapping[str, str]) -> bool:
    if check.column is None:
        return check.fails(values)
    # a value that could not be typed has that reason, and not that it is null as well
    return check.column not in untypable and check.fails(values[check.column])


def _checks(table: Table) -> Iterator[_Check]:
    """In the order of ``checks.rows``."""
    spec = table.spec.checks
    stated = {name for name, of in spec.items() if any(isinstance(one, NotNull) for one in of)}
    for name in table.needed:
        if name not in stated:
            yield _Check(f"{name}:not_null", name, _is_null, of_deletes=True)
    for name, checks in spec.items():
        for check in checks:
            fails = _fails(check, table, name)
            yield _Check(f"{name}:{check.kind}", name, fails, of_deletes=name in table.needed)
    for name, expression in table.rules:
        holds = compile_row(expression, table.types())
        yield _Check(f"rule:{name}", None, _not(holds), of_deletes=False)


def _is_null(value: Any) -> bool:
    return value is None


def _not(holds: RowFunction) -> Fails:
    return lambda row: holds(row) is False


def _fails(check: CheckSpec, table: Table, column: str) -> Fails:
    match check:
        case NotNull():
            return _is_null
        case Between(low=low, high=high):
            return lambda value: value is not None and not low <= float(value) <= high
        case OneOf(values=values):
            allowed = frozenset(values)
            return lambda value: value is not None and value not in allowed
        case Matches(pattern=pattern):
            whole = _compiled(pattern, table, column)
            return lambda value: value is not None and whole.search(value) is None
        case _:
            assert_never(check)


def _compiled(pattern: str, table: Table, column: str) -> re.Pattern[str]:
    try:
        # classes of characters mean what they mean in Spark: ASCII
        return re.compile(f"^(?:{pattern})$", re.ASCII)
    except re.error as error:
        raise UsageError(
            f"conf/tables/{table.name}.yaml: {column} matches {pattern!r} cannot be checked in "
            f"rows that are pushed: {error}",
            hint="write it so that both Java and Python read it, or take 'push' from the source",
        ) from error

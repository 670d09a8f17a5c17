"""Row checks as Spark conditions: each is true where a row fails, and has a reason as data.

Evaluated once, in the pass that writes; suites over finished tables are in
``compute.checks.suites``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import assert_never

from pyspark.sql import Column
from pyspark.sql import functions as F

from feldspar.compute.expressions.spark import column
from feldspar.compute.history import is_delete
from feldspar.graph.graph import Table
from feldspar.spec.check import Between, CheckSpec, Matches, NotNull, OneOf


@dataclass(frozen=True)
class FailedWhen:
    """A condition on a row, and the reason to give where it holds."""

    reason: str
    condition: Column


def row_checks(table: Table) -> list[FailedWhen]:
    """All checks and rules of a table; key, event time and sequence are never null.

    A row that takes its key away may carry nothing but these: what else is asked of rows is not
    asked of it.
    """
    return [*_always(table), *_by_column(table), *_by_row(table)]


def _always(table: Table) -> Iterator[FailedWhen]:
    stated = {
        name
        for name, checks in table.spec.checks.items()
        if any(isinstance(check, NotNull) for check in checks)
    }
    for name in table.needed:
        if name not in stated:
            yield FailedWhen(f"{name}:not_null", F.col(name).isNull())


def _by_column(table: Table) -> Iterator[FailedWhen]:
    for name, checks in table.spec.checks.items():
        for check in checks:
            fails = _fails(F.col(f"`{name}`"), check)
            asked = fails if name in table.needed else _of_rows_that_stay(fails, table)
            yield FailedWhen(f"{name}:{check.kind}", asked)


def _of_rows_that_stay(fails: Column, table: Table) -> Column:
    return ~is_delete(table) & fails if table.deletes_rows else fails


def _fails(value: Column, check: CheckSpec) -> Column:
    match check:
        case NotNull():
            return value.isNull()
        case Between(low=low, high=high):
            return (value < low) | (value > high)
        case OneOf(values=values):
            return ~value.isin(list(values))
        case Matches(pattern=pattern):
            return ~value.rlike(f"^(?:{pattern})$")
        case _:
            assert_never(check)


def _by_row(table: Table) -> Iterator[FailedWhen]:
    for name, expression in table.rules:
        fails = _of_rows_that_stay(~column(expression, table.types()), table)
        yield FailedWhen(f"rule:{name}", fails)

"""Tables in the terminal, and how sizes and times read in them."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from datetime import datetime

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

PIPE_WIDTH = 200


def print_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    title: str = "",
    numbers: Iterable[str] = (),
) -> None:
    """A table for people.

    Args:
        columns: headings.
        rows: cells in the order of the headings; None shows as a dash.
        title: a line above.
        numbers: headings of columns that are set flush right.
    """
    # a pipe has no width: rich would assume 80 and cut names
    console = Console(width=None if sys.stdout.isatty() else PIPE_WIDTH, highlight=False)
    table = Table(title=title or None, box=SIMPLE_HEAD, title_justify="left", pad_edge=False)
    flush_right = set(numbers)
    for column in columns:
        table.add_column(
            column, justify="right" if column in flush_right else "left", overflow="fold"
        )
    for row in rows:
        table.add_row(*(_cell(value) for value in row))
    console.print(table, markup=False)


def size_text(size: int | None) -> str | None:
    """Bytes in the unit that reads best.

    >>> size_text(1_234_567)
    '1.2 MB'
    """
    if size is None:
        return None
    amount = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1_000:
            return f"{amount:.0f} B" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1_000
    return f"{amount:.1f} TB"


def time_text(instant: datetime | None) -> str | None:
    """An instant to the second, in UTC."""
    return None if instant is None else f"{instant:%Y-%m-%d %H:%M:%S}Z"


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, datetime):
        return value.isoformat(sep=" ")
    return str(value)

"""Loads as a table would have had that takes so long for so many rows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from feldspar.monitor.auto.estimate import Load

START = datetime(2026, 11, 1, tzinfo=UTC)


def loads(
    *, fixed: float, a_row: float, rate: float, sizes: Sequence[int], count: int = 12
) -> tuple[Load, ...]:
    """Loads of these sizes in turn, each begun when its rows had come at this rate."""
    found, at = [], START
    for number in range(count):
        rows = sizes[number % len(sizes)]
        at += timedelta(seconds=rows / rate)
        found.append(Load(at, fixed + a_row * rows, rows))
    return tuple(found)

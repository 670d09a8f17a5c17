"""Seeded random tables of a few dozen rows, for the engines that are too slow for hypothesis."""

from __future__ import annotations

import random

import pyarrow as pa

from property import frames


def table_of_versions(size: int) -> pa.Table:
    """Versions whose corrections often give the event another entity."""
    return frames.rows_table(frames.random_versions(random.Random(7), size, 40))


def table_of_questions(size: int) -> pa.Table:
    """Spine rows, some twice, some without a key, a time or an event of their own."""
    return frames.spine_table(frames.random_questions(random.Random(8), size, 40))


def rows_of(table: pa.Table) -> list[str]:
    """Rows as text, sorted, floats to nine digits: a frame has no order, nor have its sums."""
    return sorted(
        str(sorted((name, _text(value)) for name, value in row.items()))
        for row in table.to_pylist()
    )


def _text(value: object) -> str:
    return f"{value:.9g}" if isinstance(value, float) else str(value)

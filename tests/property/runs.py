"""Rows as runs in memory: a bucket of a table, cut and ordered as a test likes."""

from __future__ import annotations

import random

import pyarrow as pa
import pyarrow.compute as pc

from feldspar.compute.layout import TableRun

ORDER = ("who", "where", "_visible_at", "_event_time", "_known_time", "_batch", "_position")


def cut(table: pa.Table, seed: int, serving_delay: int = 0) -> list[TableRun]:
    """The rows dealt into one to four runs; some are sorted as gold is, some by less or nothing."""
    generator = random.Random(seed)
    if generator.random() < 0.8:
        # as in gold: rows without a key are answers to nobody
        table = table.filter(pc.and_(pc.is_valid(table["who"]), pc.is_valid(table["where"])))
    count = generator.choice((1, 1, 1, 2, 4))
    hands: list[list[int]] = [[] for _ in range(count)]
    for row in range(table.num_rows):
        generator.choice(hands).append(row)
    return [
        TableRun(_ordered(table.take(pa.array(hand, pa.int64())), generator, serving_delay))
        for hand in hands
    ]


def _ordered(table: pa.Table, generator: random.Random, serving_delay: int) -> pa.Table:
    event = table["_event_time"].cast(pa.int64()).to_pylist()
    known = table["_known_time"].cast(pa.int64()).to_pylist()
    visible = [max(one, two + serving_delay) for one, two in zip(event, known, strict=True)]
    keyed = table.append_column("_visible_at", pa.array(visible, pa.int64()))
    told = generator.choice((len(ORDER), 3, 3, 2, 0))
    if not told:
        return table
    ordered = keyed.sort_by([(name, "ascending") for name in ORDER[:told]])
    return ordered.drop_columns(["_visible_at"])

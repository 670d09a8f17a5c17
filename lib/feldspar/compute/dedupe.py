"""Drops identical copies: of equal key and content the one known first stays.

Rows of one key that differ are versions, not copies, and all stay.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from feldspar.names import BATCH, KNOWN_TIME, POSITION, ROW_HASH

_RANK = "_rank"


def content_hash(columns: Sequence[str]) -> Column:
    """64 bits over the values that a row has, each with its column's name.

    Without the names, (1, null) and (null, 1) would be the same: Spark's hash passes over nulls,
    inside of structs too. By the names a column that comes later changes no row that lacks it.
    """
    return F.xxhash64(*[part for name in columns for part in _named_value(name)])


def _named_value(name: str) -> tuple[Column, Column]:
    value = F.col(f"`{name}`")
    # a number stands for the name: hashing it costs less
    return F.when(value.isNotNull(), F.lit(zlib.crc32(name.encode()))), value


def first_known(rows: DataFrame, key: Sequence[str]) -> DataFrame:
    """One row for each (key, content): the first by (known time, batch, position)."""
    same = Window.partitionBy(*key, ROW_HASH).orderBy(KNOWN_TIME, BATCH, POSITION)
    return rows.withColumn(_RANK, F.row_number().over(same)).where(f"{_RANK} = 1").drop(_RANK)


def same_row(key: Sequence[str]) -> str:
    """SQL over ``old`` and ``new``: a copy of a row that is already known as early."""
    keys = " and ".join(f"old.`{name}` = new.`{name}`" for name in key)
    return f"{keys} and old.{ROW_HASH} = new.{ROW_HASH} and old.{KNOWN_TIME} <= new.{KNOWN_TIME}"

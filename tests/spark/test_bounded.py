"""Frames that come to the notebook's own memory: small ones whole, large ones not at all."""

from __future__ import annotations

import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from feldspar.errors import InputError
from feldspar.run.bounded import Limit, bounded_arrow


def test_a_small_frame_comes_whole(spark: SparkSession) -> None:
    found = bounded_arrow(spark.range(3), Limit())

    assert found.sort_by("id").equals(pa.table({"id": [0, 1, 2]}, schema=found.schema))


def test_too_many_rows_are_refused_with_their_number(spark: SparkSession) -> None:
    with pytest.raises(InputError, match=r"has 1,001 rows; at most 1,000 .*\n.*max_rows"):
        bounded_arrow(spark.range(1_001), Limit(rows=1_000))


def test_too_many_bytes_are_refused_with_their_size(spark: SparkSession) -> None:
    wide = spark.range(100).selectExpr("id", "repeat('x', 20000) text")

    with pytest.raises(InputError, match=r"100 rows of 1\.9 MiB in all; at most 1\.0 MiB"):
        bounded_arrow(wide, Limit(bytes=2**20))


def test_what_the_user_keeps_stays_kept(spark: SparkSession) -> None:
    kept = spark.range(3).cache()

    bounded_arrow(kept, Limit())

    assert kept.storageLevel.useMemory
    kept.unpersist()

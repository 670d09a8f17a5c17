"""Starts Spark's Python workers while the driver still plans what they are to do."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
from pyspark.sql import SparkSession


def start_workers(spark: SparkSession) -> None:
    """Lets Spark start as many Python workers as it has cores; does not wait for them.

    The first ones of a session load Arrow and the kernels, which takes one core two seconds or
    more; a training set is planned meanwhile. Where they run already it is a job of milliseconds.
    """
    cores = spark.sparkContext.defaultParallelism
    rows = spark.range(0, cores, numPartitions=cores)
    # a job that nobody waits for is a thing of the JVM: what fails it would fail the next one
    # aloud, and when the session ends it ends quietly
    rows.mapInArrow(_as_they_are, rows.schema)._jdf.javaRDD().countAsync()  # noqa: SLF001


def _as_they_are(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    return batches

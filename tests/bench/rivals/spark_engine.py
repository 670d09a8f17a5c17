"""A Spark session as rivals get it: all cores, UTC, adaptive, the same settings for each.

Memory is given back between runs by a collection, outside the timed part; compiled code stays.
"""

from __future__ import annotations

from typing import TypeVar

from pyspark.sql import SparkSession

from bench.inputs import Inputs, Settings
from bench.rivals.engine import Engine

Data = TypeVar("Data", bound=Inputs)


def spark_conf(settings: Settings) -> dict[str, str]:
    """What every Spark in the benchmark is told, ours included."""
    return {
        "spark.sql.shuffle.partitions": str(4 * settings.cores),
        "spark.default.parallelism": str(4 * settings.cores),
        "spark.local.dir": settings.folder,
    }


def open_spark(settings: Settings) -> SparkSession:
    """A session on this machine."""
    builder = SparkSession.builder.master(f"local[{settings.cores}]").appName("bench")
    conf = {
        "spark.driver.memory": settings.memory,
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.extraJavaOptions": "-Duser.timezone=UTC",
        "spark.sql.adaptive.enabled": "true",
        "spark.sql.execution.arrow.pyspark.enabled": "true",
        "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.warehouse.dir": f"{settings.folder}/warehouse",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
    }
    for key, value in (conf | spark_conf(settings)).items():
        builder = builder.config(key, value)
    return builder.getOrCreate()


class SparkEngine(Engine[Data]):
    """An engine with a Spark session."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.spark = self.open()

    def open(self) -> SparkSession:
        return open_spark(self.settings)

    def shuffled_bytes(self) -> int:
        # Spark tells Python nothing of its tasks; the same store is what its web pages show
        context = self.spark.sparkContext._jsc.sc()  # noqa: SLF001
        context.listenerBus().waitUntilEmpty()
        executors = context.statusStore().executorList(False)
        return sum(executors.apply(at).totalShuffleWrite() for at in range(executors.size()))

    def rest(self) -> None:
        machine = self.spark.sparkContext._jvm  # noqa: SLF001
        if machine is not None:
            machine.System.gc()

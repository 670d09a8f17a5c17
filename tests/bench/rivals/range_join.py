"""Plain Spark as textbooks have it: a range join a view, and row_number picks the newest row."""

from __future__ import annotations

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from bench.inputs import ENTITY, ROW, TIME, PitData, View
from bench.rivals.engine import Job
from bench.rivals.spark_engine import SparkEngine


class RangeJoin(SparkEngine[PitData]):
    """No layout: reads the plain files each time."""

    def run(self, job: Job[PitData]) -> None:
        joined = self.spark.read.parquet(job.data.spine)
        for view in job.data.views:
            joined = self._joined(joined, view, ttl_days=job.data.ttl_days)
        joined.write.parquet(str(job.out))

    def _joined(self, spine: DataFrame, view: View, *, ttl_days: int) -> DataFrame:
        rows = self.spark.read.parquet(view.folder).select(
            F.col(ENTITY).alias("__entity"), F.col(TIME).alias("__time"), *view.features
        )
        oldest = F.col(TIME) - F.expr(f"INTERVAL '{ttl_days}' DAY")
        matches = (
            (F.col(ENTITY) == F.col("__entity"))
            & (F.col("__time") <= F.col(TIME))
            & (F.col("__time") >= oldest)
        )
        newest = Window.partitionBy(ROW).orderBy(F.col("__time").desc())
        return (
            spine.join(rows, matches, "left")
            .withColumn("__rank", F.row_number().over(newest))
            .where("__rank = 1")
            .drop("__rank", "__entity", "__time")
        )

"""dbl-tempo: TSDF.asofJoin a view, with the ttl as its tolerance."""

from __future__ import annotations

from pyspark.sql import functions as F
from tempo import TSDF

from bench.inputs import ENTITY, ROW, TIME, PitData
from bench.rivals.engine import Job
from bench.rivals.spark_engine import SparkEngine

DAY_SECONDS = 86_400


class TempoAsof(SparkEngine[PitData]):
    """Its default way, a union sorted by time; tempo prefixes the columns of the right side."""

    def run(self, job: Job[PitData]) -> None:
        data = job.data
        joined = self._series(self.spark.read.parquet(data.spine))
        for view in data.views:
            rows = self.spark.read.parquet(view.folder).select(ENTITY, TIME, *view.features)
            joined = joined.asofJoin(
                self._series(rows),
                right_prefix=view.name,
                tolerance=data.ttl_days * DAY_SECONDS,
                suppress_null_warning=True,
            )
        features = [
            F.col(f"{view.name}_{name}").alias(name)
            for view in data.views
            for name in view.features
        ]
        joined.df.select(ROW, ENTITY, TIME, *features).write.parquet(str(job.out))

    def _series(self, frame: object) -> TSDF:
        return TSDF(frame, ts_col=TIME, partition_cols=[ENTITY])

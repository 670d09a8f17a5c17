"""Feldspar's point-in-time join: a layout written once, and the spine joined to it."""

from __future__ import annotations

from pathlib import Path

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from bench.inputs import ENTITY, KNOWN, TIME, PitData
from bench.rivals.engine import Job
from bench.rivals.feldspar_session import FeldsparEngine
from feldspar.compute.pit.batch import add_columns
from feldspar.compute.pit.plan import PitPlan

BUCKETS = 16


class FeldsparPit(FeldsparEngine[PitData]):
    """The engine over frames; what a bucketed one needs to change is these three methods."""

    def prepare(self, data: PitData, layout: Path) -> None:
        for view in data.views:
            self._rows(view.folder, batch=0).write.parquet(str(layout / view.name))

    def extend(self, job: Job[PitData]) -> None:
        for view in job.data.views:
            rows = self._rows(view.folder, batch=1)
            rows.write.mode("append").parquet(str(job.layout / view.name))

    def run(self, job: Job[PitData]) -> None:
        data = job.data
        joined = self.spark.read.parquet(data.spine)
        for view in data.views:
            plan = PitPlan(
                spine_keys=(ENTITY,),
                row_keys=(ENTITY,),
                spine_time=TIME,
                columns={name: name for name in view.features},
                ttl=data.ttl_micros,
                as_of="event" if job.options.get("as_of") == "event" else "known",
            )
            rows = self.spark.read.parquet(str(job.layout / view.name))
            joined = add_columns(joined, rows, plan, buckets=BUCKETS)
        joined.write.parquet(str(job.out))

    def _rows(self, folder: str, *, batch: int) -> DataFrame:
        return (
            self.spark.read.parquet(folder)
            .withColumnRenamed(TIME, "_event_time")
            .withColumnRenamed(KNOWN, "_known_time")
            .withColumn("_batch", F.lit(batch).cast("long"))
            .withColumn("_position", F.monotonically_increasing_id())
        )

"""Feldspar's point-in-time join: a layout written once, and the spine joined to it."""

from __future__ import annotations

from pathlib import Path

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from bench.inputs import ENTITY, KNOWN, TIME, PitData
from bench.rivals.engine import Job
from bench.rivals.feldspar_layout import append, files_of, plain_view, tables_of
from bench.rivals.feldspar_session import FeldsparEngine, write_answers
from feldspar.compute.pit.plan import PitPlan
from feldspar.compute.services.bucketed import ViewRows, add_views
from feldspar.run.warm import start_workers
from feldspar.stores.frames import read_frame


class FeldsparPit(FeldsparEngine[PitData]):
    """Gold in buckets of sorted runs; tasks read their own files, only the spine moves."""

    def prepare(self, data: PitData, layout: Path) -> None:
        self._load(data, layout, load=0)

    def extend(self, job: Job[PitData]) -> None:
        self._load(job.data, job.layout, load=1)

    def run(self, job: Job[PitData]) -> None:
        start_workers(self.spark)
        data, tables = job.data, tables_of(self.spark, job.layout)
        work = []
        for view in data.views:
            plan = PitPlan(
                spine_keys=(ENTITY,),
                row_keys=(ENTITY,),
                spine_time=TIME,
                columns={name: name for name in view.features},
                ttl=data.ttl_micros,
                as_of="event" if job.options.get("as_of") == "event" else "known",
            )
            work.append(ViewRows(plan, files_of(plain_view(view.name, ENTITY), tables)))
        joined = add_views(read_frame(tables, data.spine), work)
        write_answers(joined, job.out)

    def _load(self, data: PitData, layout: Path, *, load: int) -> None:
        tables = tables_of(self.spark, layout)
        for view in data.views:
            rows = self._rows(view.folder, batch=load)
            gold = plain_view(view.name, ENTITY)
            append(rows, gold, tables, load=load)

    def _rows(self, folder: str, *, batch: int) -> DataFrame:
        return (
            self.spark.read.parquet(folder)
            .withColumnRenamed(TIME, "_event_time")
            .withColumnRenamed(KNOWN, "_known_time")
            .withColumn("_batch", F.lit(batch).cast("long"))
            .withColumn("_position", F.monotonically_increasing_id())
        )

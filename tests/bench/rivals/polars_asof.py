"""Polars: sort everything by time, then join_asof by entity with the ttl as tolerance."""

from __future__ import annotations

from datetime import timedelta

import polars as pl

from bench.inputs import ENTITY, TIME, PitData
from bench.rivals.engine import Engine, Job


class PolarsAsof(Engine[PitData]):
    """Lazy frames; threads are set by POLARS_MAX_THREADS before the import."""

    def run(self, job: Job[PitData]) -> None:
        data = job.data
        joined = pl.scan_parquet(f"{data.spine}/*.parquet").sort(TIME)
        for view in data.views:
            rows = pl.scan_parquet(f"{view.folder}/*.parquet")
            joined = joined.join_asof(
                rows.select(ENTITY, TIME, *view.features).sort(TIME),
                on=TIME,
                by=ENTITY,
                strategy="backward",
                tolerance=timedelta(days=data.ttl_days),
                check_sortedness=False,
            )
        joined.sink_parquet(job.made() / "part-0.parquet", compression="snappy")

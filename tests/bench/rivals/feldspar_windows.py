"""Feldspar's windows: values at each payment, of all payments or of those that are new."""

from __future__ import annotations

from pathlib import Path

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from bench.inputs import DAY_MICROS, WINDOW_DAYS, PaymentData
from bench.rivals.engine import Job
from bench.rivals.feldspar_session import FeldsparEngine
from feldspar.compute.windows.batch import add_windows
from feldspar.compute.windows.functions import AggregationPlan
from feldspar.compute.windows.plan import WindowPlan

BUCKETS = 16
EVENTS = "events"


class FeldsparWindows(FeldsparEngine[PaymentData]):
    """The engine over frames; a layout is the events with their system columns."""

    def prepare(self, data: PaymentData, layout: Path) -> None:
        _events(self.spark.read.parquet(data.events)).write.parquet(str(layout / EVENTS))

    def extend(self, job: Job[PaymentData]) -> None:
        path, new = str(job.layout / EVENTS), self.spark.read.parquet(job.data.events)
        _events(new).write.mode("append").parquet(path)
        self._write(new, self.spark.read.parquet(path), job.out)

    def run(self, job: Job[PaymentData]) -> None:
        payments = self.spark.read.parquet(job.data.events)
        self._write(payments, _events(payments), job.out)

    def _write(self, payments: DataFrame, events: DataFrame, out: Path) -> None:
        spine = payments.select("transaction_id", "customer_id", "tx_datetime", "amount")
        answers = add_windows(spine, events, _plan(), buckets=BUCKETS)
        answers.drop("amount").write.parquet(str(out))


def _events(payments: DataFrame) -> DataFrame:
    return payments.select(
        "customer_id",
        "amount",
        F.col("transaction_id").alias("_event_id"),
        F.col("tx_datetime").alias("_event_time"),
        F.col("tx_datetime").alias("_known_time"),
        F.lit(0).cast("long").alias("_batch"),
        F.monotonically_increasing_id().alias("_position"),
    )


def _plan() -> WindowPlan:
    aggregations = []
    for days in WINDOW_DAYS:
        micros = days * DAY_MICROS
        aggregations.append(AggregationPlan(f"count_{days}d", "count", None, micros))
        aggregations.append(AggregationPlan(f"avg_{days}d", "avg", "amount", micros))
    return WindowPlan(
        spine_keys=("customer_id",),
        event_keys=("customer_id",),
        spine_time="tx_datetime",
        aggregations=tuple(aggregations),
        own_event_id="transaction_id",
        own_arguments={"amount": "amount"},
    )

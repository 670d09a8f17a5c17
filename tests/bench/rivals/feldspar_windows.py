"""Feldspar's windows: values at each payment, of all payments or of those that are new."""

from __future__ import annotations

from pathlib import Path

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from bench.inputs import DAY_MICROS, WINDOW_DAYS, PaymentData
from bench.rivals.engine import Job
from bench.rivals.feldspar_layout import append, files_of, tables_of, windowed_view
from bench.rivals.feldspar_session import FeldsparEngine, write_answers
from feldspar.compute.services.bucketed import ViewRows, add_views
from feldspar.compute.windows.batch import add_windows_at_events
from feldspar.compute.windows.functions import AggregationPlan
from feldspar.compute.windows.plan import EventColumns, WindowPlan

BUCKETS = 64
VIEW = windowed_view("events", "customer_id")


class FeldsparWindows(FeldsparEngine[PaymentData]):
    """A full run folds plain files; the increment appends to gold and reads its buckets."""

    def prepare(self, data: PaymentData, layout: Path) -> None:
        self._load(data, layout, load=0)

    def extend(self, job: Job[PaymentData]) -> None:
        self._load(job.data, job.layout, load=1)
        self._write(job)

    def run(self, job: Job[PaymentData]) -> None:
        payments = self.spark.read.parquet(job.data.events)
        events = payments.select("transaction_id", "customer_id", "tx_datetime", "amount")
        ident, time = "transaction_id", "tx_datetime"
        plan = _plan(EventColumns(ident, time, time, batch=ident, position=ident))
        answers = add_windows_at_events(events, plan, buckets=BUCKETS)
        write_answers(answers.select([one for one in answers.names if one != "amount"]), job.out)

    def _write(self, job: Job[PaymentData]) -> None:
        payments = self.spark.read.parquet(job.data.events)
        spine = payments.select("transaction_id", "customer_id", "tx_datetime", "amount")
        files = files_of(VIEW, tables_of(self.spark, job.layout))
        answers = add_views(spine, [ViewRows(_plan(EventColumns(retracted="_retracted")), files)])
        write_answers(answers.select([one for one in answers.names if one != "amount"]), job.out)

    def _load(self, data: PaymentData, layout: Path, *, load: int) -> None:
        rows = _events(self.spark.read.parquet(data.events))
        append(rows, VIEW, tables_of(self.spark, layout), load=load)


def _events(payments: DataFrame) -> DataFrame:
    return payments.select(
        "customer_id",
        "amount",
        F.col("transaction_id").alias("_event_id"),
        F.col("tx_datetime").alias("_event_time"),
        F.col("tx_datetime").alias("_known_time"),
        F.lit(0).cast("long").alias("_batch"),
        F.monotonically_increasing_id().alias("_position"),
        F.lit(False).alias("_retracted"),
    )


def _plan(columns: EventColumns) -> WindowPlan:
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
        columns=columns,
    )

"""The windows of real payments against the values that their publisher computed."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from feldspar.compute.windows.batch import add_windows
from feldspar.compute.windows.functions import AggregationPlan
from feldspar.compute.windows.plan import WindowPlan

PAYMENTS = Path(__file__).parents[2] / ".." / "shared" / "data" / "payments"
DAY = 86_400_000_000
WINDOWS = (1, 7, 30)

pytestmark = pytest.mark.skipif(
    not PAYMENTS.exists() and os.environ.get("CI") != "true",
    reason="the published payments are not in ../shared/data/payments",
)

CUSTOMER = WindowPlan(
    spine_keys=("customer_id",),
    event_keys=("customer_id",),
    spine_time="tx_datetime",
    own_event_id="transaction_id",
    own_arguments={"amount": "amount"},
    aggregations=tuple(
        plan
        for days in WINDOWS
        for plan in (
            AggregationPlan(f"customer_count_{days}d", "count", None, days * DAY),
            AggregationPlan(f"customer_avg_{days}d", "avg", "amount", days * DAY),
        )
    ),
)
TERMINAL = WindowPlan(
    spine_keys=("terminal_id",),
    event_keys=("terminal_id",),
    spine_time="tx_datetime",
    own_event_id="transaction_id",
    delay=7 * DAY,
    aggregations=tuple(
        plan
        for days in WINDOWS
        for plan in (
            AggregationPlan(f"terminal_count_{days}d", "count", None, days * DAY),
            AggregationPlan(f"terminal_risk_{days}d", "avg", "is_fraud", days * DAY, default=0),
        )
    ),
)
PUBLISHED = {
    name: column
    for days in WINDOWS
    for name, column in (
        (f"customer_count_{days}d", f"customer_id_nb_tx_{days}day_window"),
        (f"customer_avg_{days}d", f"customer_id_avg_amount_{days}day_window"),
        (f"terminal_count_{days}d", f"terminal_id_nb_tx_{days}day_window"),
        (f"terminal_risk_{days}d", f"terminal_id_risk_{days}day_window"),
    )
}


def payments(spark: SparkSession) -> DataFrame:
    stored = spark.read.parquet(str(PAYMENTS / "transactions.parquet"))
    return stored.withColumns(
        {
            "tx_datetime": F.col("tx_datetime").cast("timestamp"),
            "is_fraud": F.col("is_fraud") == 1,
        }
    )


def events(stored: DataFrame, key: str, argument: str) -> DataFrame:
    return stored.select(
        key,
        F.col("transaction_id").alias("_event_id"),
        F.col("tx_datetime").alias("_event_time"),
        F.col("tx_datetime").alias("_known_time"),
        F.lit(0).cast("bigint").alias("_batch"),
        F.col("transaction_id").alias("_position"),
        argument,
    )


def in_one_second(stored: DataFrame) -> DataFrame:
    """Payments that share customer and second with another: only their order is not published."""
    same = stored.groupBy("customer_id", "tx_datetime").count().where("count > 1")
    return stored.join(same, ["customer_id", "tx_datetime"], "left_semi").select("transaction_id")


def tolerance(published: str) -> Column:
    # the publisher subtracts running totals: -7.1e-15 stands where all amounts are 0
    return F.lit(1e-9) * (1 + F.abs(F.col(published)))


def test_the_windows_are_the_published_ones_but_for_payments_of_one_second(
    spark: SparkSession,
) -> None:
    stored = payments(spark)
    published = spark.read.parquet(str(PAYMENTS / "windowed_features_sample.parquet"))
    spine = stored.join(published.select("transaction_id"), "transaction_id", "left_semi")
    answers = add_windows(spine, events(stored, "customer_id", "amount"), CUSTOMER, buckets=4)
    answers = add_windows(answers, events(stored, "terminal_id", "is_fraud"), TERMINAL, buckets=4)
    near = [
        F.coalesce(F.abs(F.col(ours) - F.col(theirs)) <= tolerance(theirs), F.expr("false"))
        for ours, theirs in PUBLISHED.items()
    ]
    rows = published.select("transaction_id", *PUBLISHED.values())
    unequal = (
        rows.join(answers, "transaction_id", "left")
        .where(~F.forall(F.array(*near), lambda same: same))
        .join(in_one_second(stored), "transaction_id", "left_anti")
    )
    assert unequal.count() == 0


def test_every_published_payment_is_among_the_payments() -> None:
    known = pq.read_table(PAYMENTS / "transactions.parquet", columns=["transaction_id"])
    sample = pq.read_table(PAYMENTS / "windowed_features_sample.parquet")
    missing = set(sample["transaction_id"].to_pylist()) - set(known["transaction_id"].to_pylist())
    assert missing == set()

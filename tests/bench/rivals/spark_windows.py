"""Plain Spark: window functions with RANGE frames over microseconds."""

from __future__ import annotations

from pyspark.sql import Window
from pyspark.sql import functions as F

from bench.inputs import DAY_MICROS, WINDOW_DAYS, PaymentData
from bench.rivals.engine import Job
from bench.rivals.spark_engine import SparkEngine


class SparkWindows(SparkEngine[PaymentData]):
    """One shuffle by customer; the frames share its sort."""

    def run(self, job: Job[PaymentData]) -> None:
        by_time = Window.partitionBy("customer_id").orderBy("__at")
        answers = []
        for days in WINDOW_DAYS:
            frame = by_time.rangeBetween(1 - days * DAY_MICROS, Window.currentRow)
            answers.append(F.count("*").over(frame).alias(f"count_{days}d"))
            answers.append(F.avg("amount").over(frame).alias(f"avg_{days}d"))
        events = self.spark.read.parquet(job.data.events)
        events = events.withColumn("__at", F.unix_micros("tx_datetime"))
        columns = events.select("transaction_id", "customer_id", "tx_datetime", *answers)
        columns.write.parquet(str(job.out))

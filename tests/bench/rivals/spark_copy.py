"""A stream of Spark alone: CSV files to one Delta table, nothing typed and nothing checked."""

from __future__ import annotations

import sys

from pyspark.sql import SparkSession

SCHEMA = (
    "transaction_id string, tx_datetime string, customer_id string, terminal_id string, "
    "amount string, is_fraud string"
)


def main(inbox: str, table: str) -> None:
    """Copies until it is ended."""
    spark = SparkSession.builder.getOrCreate()
    rows = spark.readStream.schema(SCHEMA).option("header", "true").csv(inbox)
    writing = rows.writeStream.format("delta").option("checkpointLocation", f"{table}-checkpoint")
    writing.trigger(processingTime="0 seconds").start(table).awaitTermination()


if __name__ == "__main__":
    main(*sys.argv[1:])

"""A lake of some weeks of payments that a model can learn from, without the stages before it.

Payments of more than 80 are mostly frauds; a few rows have a correction, a few arrive late.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from feldspar.features.gold import gold_rows
from feldspar.graph.compile import compile_graph
from feldspar.graph.graph import Graph
from feldspar.spec.environment import Environment
from feldspar.spec.loading import load_definitions
from feldspar.stores.tables.lake import Lake
from feldspar.stores.tables.spark import SparkTables
from feldspar.times import to_micros
from support.small_project import write_project

START = to_micros(datetime(2018, 4, 1, tzinfo=UTC))
HOUR, DAY = 3_600_000_000, 86_400_000_000
DAYS = 45
CUT = START + DAYS * DAY + 7 * HOUR
MODEL = """\
service: fraud
spine: transactions
label: is_fraud
learners: [logistic, boosting]
search: {budget: 1s, max_trials: 3}
periods: {train: 7d, validate: 7d, test: 7d}
optimise: average_precision
card_column: customer_id
max_rows: 1000
retrain: 7d
"""


@dataclass(frozen=True)
class SmallLake:
    """The compiled project and its tables, silver and gold."""

    graph: Graph
    tables: SparkTables


def small_lake(spark: SparkSession, environment: Environment, folder: Path) -> SmallLake:
    """Writes silver and gold of the small project into the environment's lake."""
    conf = write_project(folder, {"models/fraud.yaml": MODEL})
    graph = compile_graph(load_definitions(conf, {}))
    tables = SparkTables(spark, Lake.of(environment))
    silver = _silver(spark)
    tables.overwrite(silver, "silver", "transactions", note="small lake")
    stored = tables.read("silver", "transactions")
    for view in graph.views.values():
        rows = gold_rows(stored, view, graph.table(view.table))
        tables.overwrite(rows, "gold", view.name, note="small lake")
    return SmallLake(graph, tables)


def _silver(spark: SparkSession) -> DataFrame:
    random = np.random.default_rng(3)
    rows = DAYS * 60
    amount = np.round(random.uniform(1, 100, rows), 2)
    event = START + np.sort(random.integers(0, DAYS * DAY, rows))
    known = event + np.where(random.random(rows) < 0.02, 9 * DAY, 0)
    payments = pd.DataFrame(
        {
            "transaction_id": np.arange(rows),
            "customer_id": random.integers(0, 25, rows),
            "terminal_id": random.integers(0, 8, rows),
            "amount": amount,
            "is_fraud": (amount > 80) & (random.random(rows) < 0.6),
            "event": event,
            "known": known,
            "_batch": 1,
            "_position": np.arange(rows),
            "_row_hash": np.arange(rows),
        }
    )
    corrected = payments[payments["transaction_id"] % 97 == 0].assign(
        amount=lambda old: old["amount"] + 1_000, known=lambda old: old["known"] + DAY, _batch=2
    )
    frame = spark.createDataFrame(pd.concat([payments, corrected]))
    return frame.withColumns(
        {
            "tx_datetime": F.timestamp_micros("event"),
            "_event_time": F.timestamp_micros("event"),
            "_known_time": F.timestamp_micros("known"),
        }
    ).drop("event", "known")

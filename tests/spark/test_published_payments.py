"""Real payments from the file to a training set: nothing is lost, and its windows are those that
the publisher of the payments computed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from feldspar.graph.steps import FeaturesStep
from feldspar.spec.environment import Environment
from feldspar.stores.tables import arrow
from feldspar.training.sets import training_set
from support.pipeline import Pipeline, open_project_pipeline
from support.published import PAYMENTS, SAMPLE, without_published_payments

pytestmark = without_published_payments

SERVICE = "payment_fraud_service"
LAST_DAY = datetime(2018, 7, 16)  # noqa: DTZ001  the file's times name no zone; all are UTC
WINDOWS = {
    name: column
    for days in (1, 7, 30)
    for name, column in (
        (f"customer_spend__count_{days}d", f"customer_id_nb_tx_{days}day_window"),
        (f"customer_spend__avg_amount_{days}d", f"customer_id_avg_amount_{days}day_window"),
        (f"terminal_risk__count_{days}d", f"terminal_id_nb_tx_{days}day_window"),
        (f"terminal_risk__risk_{days}d", f"terminal_id_risk_{days}day_window"),
    )
}


@dataclass(frozen=True)
class Loaded:
    """What went in, what each step answered, and the lake it made."""

    payments: pa.Table
    results: dict[str, Any]
    pipeline: Pipeline


@pytest.fixture(scope="module")
def loaded(
    spark: SparkSession, disk: Environment, tmp_path_factory: pytest.TempPathFactory
) -> Loaded:
    """All payments up to the last published day, through the example's own definitions."""
    folder = tmp_path_factory.mktemp("published")
    payments = pq.read_table(PAYMENTS, filters=[("tx_datetime", "<", LAST_DAY)])
    file = folder / "payments.parquet"
    pq.write_table(payments, file)
    pipeline = open_project_pipeline(spark, disk, folder, {"INPUT": str(file)})
    results = pipeline.run("ingest", "refine")
    views = {view.name for view in pipeline.graph.service(SERVICE).views}
    for step in pipeline.plan().of("features").to_run:
        if isinstance(step, FeaturesStep) and step.view in views:
            results[step.name] = pipeline.carry_out(step)
    return Loaded(payments, results, pipeline)


def test_every_payment_is_in_silver_value_by_value(loaded: Loaded) -> None:
    expected = loaded.payments.sort_by("transaction_id")
    names = expected.column_names
    silver = arrow.read(loaded.pipeline.lake, "silver", "transactions", columns=names)
    found = silver.sort_by("transaction_id")
    result = loaded.results["silver.transactions"]

    assert (result.quarantined, result.duplicates) == (0, 0)
    assert found.num_rows == expected.num_rows
    for name in names:
        typed = expected[name].cast(found[name].type)
        assert found[name].null_count == 0, name
        assert found[name].combine_chunks().equals(typed.combine_chunks()), name


def test_a_training_set_has_the_published_windows(loaded: Loaded, tmp_path: Path) -> None:
    pipeline, out = loaded.pipeline, tmp_path / "set.parquet"
    graph = pipeline.graph
    event = graph.table("transactions")
    spine = str(SAMPLE)
    training_set(graph.service(SERVICE), event, pipeline.tables, spine=spine, out=str(out))

    rows: pd.DataFrame = pq.read_table(out).to_pandas()
    published = pq.read_table(SAMPLE).to_pandas()
    assert sorted(rows["transaction_id"]) == sorted(published["transaction_id"])
    # the publisher subtracts running totals: -7.1e-15 stands where all amounts are 0
    different = {
        name: int((~np.isclose(rows[name], rows[column], rtol=1e-9, atol=1e-9)).sum())
        for name, column in WINDOWS.items()
    }
    assert different == dict.fromkeys(WINDOWS, 0)


def test_no_published_row_shares_its_second_with_another(loaded: Loaded) -> None:
    """In such a second only the file's order says which payment came first; we would differ."""
    payments = loaded.payments.to_pandas()
    tied = payments[payments.duplicated(["customer_id", "tx_datetime"], keep=False)]
    published = pq.read_table(SAMPLE, columns=["transaction_id"]).to_pandas()
    assert len(tied) > 0
    assert set(tied["transaction_id"]).isdisjoint(published["transaction_id"])

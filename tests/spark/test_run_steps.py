"""What runs enter in ``ops.steps``: real stages over a lake of their own, well and failing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from pyspark.sql import SparkSession

from feldspar.errors import UnreachableError
from feldspar.run.execute import Run, execute
from feldspar.run.metrics import write_metrics
from feldspar.run.remember import remember
from feldspar.run.workplace import Workplace
from feldspar.spec.environment import Environment
from feldspar.stores.experiments import Experiments
from feldspar.stores.online import OnlineStore
from feldspar.stores.tables import arrow, log
from support.pipeline import Pipeline, open_pipeline

AT = "2018-04-01T00:00:00Z"
TO_GOLD = ("ingest", "refine", "features")


@pytest.fixture
def pipeline(spark: SparkSession, disk: Environment, tmp_path: Path) -> Pipeline:
    found = open_pipeline(spark, disk, tmp_path / "project")
    found.put("a.csv", f"1,{AT},7,3,9,false", f"2,{AT},8,3,5,false", f"3,{AT},8,3,-5,false")
    return found


@pytest.fixture
def work(pipeline: Pipeline) -> Workplace:
    """A run of its own; no Redis answers."""
    store, experiments = OnlineStore.of(pipeline.environment), Experiments.of(pipeline.environment)
    place = Workplace(
        pipeline.graph,
        pipeline.environment,
        pipeline.tables,
        store,
        experiments,
        list[str]().append,
    )
    return place.in_epoch(verb="tests")


def run(pipeline: Pipeline, work: Workplace, *verbs: str, number: int = 0) -> Run:
    done = execute(pipeline.plan().of(*verbs), work)
    remember(done, work, number=number)
    return done


def entered(pipeline: Pipeline) -> dict[str, dict[str, Any]]:
    rows = arrow.read(pipeline.lake, "ops", "steps").to_pylist()
    return {row["step"]: row for row in rows}


def test_each_step_has_a_row_with_what_it_did(pipeline: Pipeline, work: Workplace) -> None:
    run(pipeline, work, *TO_GOLD)

    names = ("verb", "rows_in", "rows_out", "refused", "version", "outcome")
    assert {
        name: tuple(row[one] for one in names) for name, row in entered(pipeline).items()
    } == {
        "bronze.payments": (
            "ingest", 3, 3, None, pipeline.version("bronze", "payments"), "done"),
        "silver.transactions": (
            "refine", 3, 2, 1, pipeline.version("silver", "transactions"), "done"),
        "gold.customer_spend": (
            "features", None, 2, None, pipeline.version("gold", "customer_spend"), "done"),
        "gold.last_payment": (
            "features", None, 2, None, pipeline.version("gold", "last_payment"), "done"),
    }  # fmt: skip


def test_a_run_is_one_commit_under_its_own_epoch(pipeline: Pipeline, work: Workplace) -> None:
    done = run(pipeline, work, *TO_GOLD)
    remember(done, work)

    rows = entered(pipeline).values()
    assert {(row["run"], row["round"]) for row in rows} == {(work.tables.epoch, 0)}
    assert log.open_table(pipeline.lake, "ops", "steps").version() == 0


def test_a_failed_step_is_entered_with_its_error(pipeline: Pipeline, work: Workplace) -> None:
    run(pipeline, work, *TO_GOLD)
    failed = run(pipeline, work, "online", number=1)

    row = entered(pipeline)["online customer_spend"]
    assert isinstance(failed.failure, UnreachableError)
    assert (row["outcome"], row["error"]) == ("failed", failed.failure.message)


def test_nothing_is_entered_where_nothing_was_to_do(pipeline: Pipeline, work: Workplace) -> None:
    run(pipeline, work, "history")

    assert not pipeline.tables.exists("ops", "steps")


def test_metrics_of_a_stream_are_those_of_status(
    pipeline: Pipeline, work: Workplace, tmp_path: Path
) -> None:
    run(pipeline, work, *TO_GOLD)
    path = tmp_path / "feldspar.prom"

    write_metrics(work, path)

    families = text_string_to_metric_families(path.read_text(encoding="utf-8"))
    samples = {one.name: one.samples for one in families}
    rows = {one.labels["table"]: one.value for one in samples["feldspar_table_rows"]}
    seconds = {one.labels["verb"]: one.value for one in samples["feldspar_step_seconds"]}
    assert rows == {
        "bronze.payments": 3,
        "silver.transactions": 2,
        "gold.customer_spend": 2,
        "gold.last_payment": 2,
    }
    assert (set(seconds), min(seconds.values()) > 0) == (set(TO_GOLD), True)


def test_metrics_that_cannot_be_written_fail_no_round(work: Workplace, tmp_path: Path) -> None:
    lines: list[str] = []

    write_metrics(replace(work, say=lines.append), tmp_path / "nowhere" / "feldspar.prom")

    assert [line.split(":")[0] for line in lines] == ["metrics"]


def test_a_run_that_cannot_be_entered_is_told_and_goes_on(
    pipeline: Pipeline, work: Workplace, tmp_path: Path
) -> None:
    lines: list[str] = []
    done = run(pipeline, work, *TO_GOLD)
    (tmp_path / "a file").touch()
    storage = work.environment.storage.model_copy(update={"root": str(tmp_path / "a file")})
    lake = replace(work.tables.lake, storage=storage)
    tables = replace(work.tables, lake=lake)

    remember(done, replace(work, tables=tables, say=lines.append))

    assert lines[0].startswith("ops.steps lacks this run: ")

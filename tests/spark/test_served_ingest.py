"""The served log's way from the inbox to bronze: once, whatever stops, whatever is defined."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from feldspar.graph.steps import IngestStep
from feldspar.ingest.columns import INGESTED_AT
from feldspar.ingest.frames import read_files, together
from feldspar.ingest.probe import probe_files
from feldspar.names import BATCH, POSITION, cursor
from feldspar.serving.served import ServedLog
from feldspar.spec.environment import Environment
from support.pipeline import NOW, Pipeline, open_pipeline
from support.scoring import FILES
from support.served import record

SOURCE = "served_lending"
FEWER = {**FILES, "services/lending.yaml": "entities: customer\nfeatures: [customer_spend]\n"}


@pytest.fixture
def pipeline(spark: SparkSession, disk: Environment, tmp_path: Path) -> Pipeline:
    return open_pipeline(spark, disk, tmp_path, FILES)


def answer(pipeline: Pipeline, *numbers: int) -> None:
    """A process answers, and stops."""
    log = ServedLog(pipeline.graph, pipeline.environment)
    log.add(record(number) for number in numbers)
    log.close()


def ids(pipeline: Pipeline) -> list[str]:
    return [name for (name,) in pipeline.rows("bronze", SOURCE, "_request_id")]


def left(pipeline: Pipeline) -> list[Path]:
    return [*Path(pipeline.lake.uri("inbox", "served")).rglob("*.parquet")]


def step_of(pipeline: Pipeline) -> IngestStep:
    [step] = [one for one in pipeline.plan().steps if one.name == f"bronze.{SOURCE}"]
    assert isinstance(step, IngestStep)
    return step


def append_alone(pipeline: Pipeline) -> None:
    """What a load does until it is stopped between its two commits."""
    step = step_of(pipeline)
    lake = pipeline.lake
    readable, _ = probe_files(step.files, lake.storage, inbox="none")
    rows = together(read_files(pipeline.tables.spark, readable))
    rows = rows.withColumns(
        {
            POSITION: F.monotonically_increasing_id(),
            BATCH: F.lit(step.batch).cast("bigint"),
            INGESTED_AT: F.lit(NOW).cast("timestamp"),
        }
    )
    txn = pipeline.tables.txn(cursor("ingest", SOURCE), step.batch)
    stored = pipeline.tables.read("bronze", SOURCE).columns
    pipeline.tables.append(rows.select(*stored), "bronze", SOURCE, txn=txn)


def test_before_the_first_answer_there_is_nothing_to_do(pipeline: Pipeline) -> None:
    assert step_of(pipeline).reason == "no new files (0 known)"


def test_columns_that_come_and_go_lose_no_row(pipeline: Pipeline) -> None:
    answer(pipeline, 1)
    pipeline.run("ingest")
    fewer = pipeline.with_files(FEWER)
    answer(fewer, 2)
    fewer.run("ingest")
    answer(pipeline, 3)
    pipeline.run("ingest")

    assert pipeline.rows("bronze", SOURCE, "_request_id", "last_payment__last_amount") == [
        ("1", 10.0),
        ("2", None),
        ("3", 10.0),
    ]


def test_a_load_that_was_stopped_is_completed_and_taken_out(pipeline: Pipeline) -> None:
    answer(pipeline, 1)
    pipeline.run("ingest")
    answer(pipeline, 2)
    append_alone(pipeline)
    waiting = len(left(pipeline))
    answer(pipeline, 3)

    pipeline.run("ingest")
    pipeline.run("ingest")

    assert (waiting, ids(pipeline), left(pipeline)) == (1, ["1", "2", "3"], [])


def test_what_is_not_committed_stays_in_the_inbox(pipeline: Pipeline) -> None:
    answer(pipeline, 1)
    pipeline.run("ingest")
    broken = left_folder(pipeline) / "2024-05-20" / "1-a-1.parquet"
    broken.parent.mkdir(parents=True, exist_ok=True)
    broken.write_bytes(b"PAR1 no more")
    answer(pipeline, 2)

    pipeline.run("ingest")

    assert (ids(pipeline), left(pipeline)) == (["1", "2"], [broken])


def left_folder(pipeline: Pipeline) -> Path:
    return Path(pipeline.lake.uri("inbox", "served")) / "lending"

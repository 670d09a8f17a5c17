"""HTTP -> bronze: pages that came are loaded once, also where the server fails after them."""

from __future__ import annotations

from collections import deque
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from feldspar.errors import InputError
from feldspar.graph.steps import IngestStep
from feldspar.spec.environment import Environment
from spark.test_kafka import BEYOND
from support.paged_api import paged_api
from support.pipeline import Pipeline, open_pipeline

SOURCE = """\
kind: http
url: {url}
items: data.orders
paging: {{by: cursor, parameter: after, path: meta.next}}
since: {{parameter: since, field: updated_at}}
every: 0s
event_time: updated_at
known_time: ingested
"""
TABLE = """\
from: payments
key: id
columns:
  id: bigint
  updated_at: timestamp
"""


def loaded(pipeline: Pipeline) -> list[int]:
    return sorted(int(row[0]) for row in pipeline.rows("bronze", "payments", "id"))


def test_pages_are_loaded_once_whatever_fails_after_them(
    spark: SparkSession, disk: Environment, tmp_path: Path
) -> None:
    items = [{"id": one, "updated_at": f"2018-04-01T10:{one:02d}:00Z"} for one in range(8)]
    with paged_api(items=items, faults=deque([None, 404])) as api:
        source = SOURCE.format(url=api.url)
        files = {"sources/payments.yaml": source, "tables/transactions.yaml": TABLE}
        pipeline = open_pipeline(spark, disk, tmp_path, files, without=BEYOND)
        with pytest.raises(InputError, match="answers 404"):
            pipeline.run("ingest")
        between = loaded(pipeline)
        (step,) = pipeline.plan().of("ingest").steps
        pipeline.run("ingest")
        pipeline.run("ingest")

    assert isinstance(step, IngestStep)
    assert step.reason == "the list goes on at page 2"
    assert (between, loaded(pipeline)) == ([0, 1, 2], list(range(8)))

"""Care of tables: few files after many batches, nothing lost to a reader that lags, and no batch
that fails for it. Over thousands of batches: ``test_care_long``.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from feldspar.spec.environment import Environment
from feldspar.stores.tables import log
from feldspar.stores.tables.compaction import compact
from feldspar.stores.tables.retention import listed, remove, waste
from feldspar.stores.tables.tiers import FRESH, RUNS
from feldspar.times import to_micros, utc_now
from support.pipeline import TO_GOLD, Pipeline, open_pipeline
from support.places import silent
from support.small_project import FILES

AT = "2018-04-01T00:00:00Z"
TO_SILVER = ("ingest", "refine")
MANY = FRESH + RUNS + 4
HISTORY = "history: {kind: scd1}\n"
PLACES = (
    ("bronze", "payments"),
    ("silver", "transactions"),
    ("quarantine", "transactions"),
    ("history", "transactions"),
)


@pytest.fixture
def pipeline(spark: SparkSession, disk: Environment, tmp_path: Path) -> Pipeline:
    table = {"tables/transactions.yaml": FILES["tables/transactions.yaml"] + HISTORY}
    return open_pipeline(spark, disk, tmp_path / "project", table)


def load(pipeline: Pipeline, *numbers: int, verbs: tuple[str, ...] = TO_GOLD) -> None:
    """Payments of these numbers, and as many that are refused, and what follows from them."""
    valid = [f"{number},{AT},{number % 3},3,9,false" for number in numbers]
    refused = [f"{1_000 + number},{AT},1,3,-1,false" for number in numbers]
    pipeline.put(f"{numbers[0]:03}.csv", *valid, *refused)
    pipeline.run(*verbs)


def scatter(pipeline: Pipeline, layer: str, name: str) -> None:
    """As if its rows had come in many batches: the same rows in many files."""
    version = pipeline.tables.version(layer, name)
    rows = pipeline.tables.read(layer, name, version=version)
    parts = pipeline.tables.spark.sparkContext.parallelize(rows.collect(), MANY)
    kept = pipeline.tables.spark.createDataFrame(parts, rows.schema)
    pipeline.tables.rewrite(kept, layer, name, where="true", version=version)


def files(pipeline: Pipeline, layer: str, name: str) -> int:
    return len(log.file_sizes(pipeline.lake, layer, name))


def ids(pipeline: Pipeline, layer: str, name: str, column: str = "transaction_id") -> list[int]:
    return sorted(row[0] for row in pipeline.rows(layer, name, column))


def vacuumed(pipeline: Pipeline, layer: str, name: str, *, version: int) -> int:
    """How many files went that no version from this one on needs, however young they are."""
    later = to_micros(utc_now() + timedelta(days=1))
    found = waste(listed(pipeline.lake, layer, name), version=version, before=later)
    remove(found)
    return len(found.data)


def test_each_stage_keeps_the_files_of_what_it_writes_few(pipeline: Pipeline) -> None:
    stages = (*TO_SILVER, "history")
    load(pipeline, *range(MANY), verbs=stages)
    for place in PLACES:
        scatter(pipeline, *place)
    before = [files(pipeline, *place) for place in PLACES]

    load(pipeline, 100, 101, verbs=stages)

    assert min(before) > FRESH + RUNS
    assert max(files(pipeline, *place) for place in PLACES) <= FRESH + RUNS
    everything = [*range(MANY), 100, 101]
    assert (ids(pipeline, "silver", "transactions"), ids(pipeline, "history", "transactions")) == (
        everything,
        everything,
    )


def test_statistics_and_counts_hold_after_a_merge(pipeline: Pipeline) -> None:
    load(pipeline, *range(MANY), verbs=TO_SILVER)
    scatter(pipeline, "silver", "transactions")

    compact(pipeline.tables, "silver", "transactions", progress=silent)

    version = pipeline.version("silver", "transactions")
    rows, _, count = log.amounts(pipeline.lake, "silver", "transactions", version=version)
    may_hold = [
        pipeline.tables.may_hold("silver", "transactions", "transaction_id", one, one)
        for one in (MANY - 1, MANY)
    ]
    assert (rows, count, may_hold) == (MANY, 1, [True, False])


def test_a_reader_that_lags_reads_the_same_after_a_merge_and_a_vacuum(pipeline: Pipeline) -> None:
    load(pipeline, 1)
    read_up_to = pipeline.version("silver", "transactions")
    load(pipeline, *range(10, 10 + MANY), verbs=TO_SILVER)
    scatter(pipeline, "silver", "transactions")
    load(pipeline, 100, verbs=TO_SILVER)

    gone = vacuumed(pipeline, "silver", "transactions", version=read_up_to)
    pipeline.run("features")

    # what scatter made and the merge replaced was never news
    assert (gone, ids(pipeline, "gold", "last_payment", "_position") != []) == (0, True)
    assert ids(pipeline, "gold", "customer_spend", "_event_id") == [
        1,
        *range(10, 10 + MANY),
        100,
    ]


def test_what_was_merged_goes_once_every_reader_has_it(pipeline: Pipeline) -> None:
    load(pipeline, *range(MANY))
    scatter(pipeline, "silver", "transactions")
    load(pipeline, 100)

    version = pipeline.version("silver", "transactions")
    gone = vacuumed(pipeline, "silver", "transactions", version=version)
    load(pipeline, 200)

    assert gone >= MANY
    assert ids(pipeline, "gold", "customer_spend", "_event_id") == [*range(MANY), 100, 200]


def test_of_two_merges_at_a_time_neither_fails(pipeline: Pipeline) -> None:
    load(pipeline, *range(MANY), verbs=TO_SILVER)
    scatter(pipeline, "silver", "transactions")

    with ThreadPoolExecutor(2) as pool:
        done = [
            pool.submit(compact, pipeline.tables, "silver", "transactions", progress=silent)
            for _ in range(2)
        ]
        for one in done:
            one.result()

    assert (files(pipeline, "silver", "transactions"), ids(pipeline, "silver", "transactions")) == (
        1,
        [*range(MANY)],
    )


def test_a_merge_that_cannot_be_done_is_said_and_put_off(pipeline: Pipeline) -> None:
    load(pipeline, *range(MANY), verbs=TO_SILVER)
    scatter(pipeline, "silver", "transactions")
    table = Path(pipeline.lake.uri("silver", "transactions"))
    lines: list[str] = []
    hidden = [file.rename(file.with_suffix(".away")) for file in table.glob("*.parquet")]

    merged = compact(pipeline.tables, "silver", "transactions", progress=lines.append)

    for file in hidden:
        file.rename(file.with_suffix(".parquet"))
    assert merged is None
    assert "merging is put off to the next batch" in lines[-1]

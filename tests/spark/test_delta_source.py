"""A Delta table of somebody else as a source: read by version or change feed, and left alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from delta.tables import DeltaTable
from pyspark.sql import SparkSession

from feldspar.errors import StoreError, TableNotFoundError
from feldspar.spec.environment import Environment
from feldspar.stores.tables import log
from support.pipeline import Pipeline, open_pipeline

SOURCE = "sources/payments.yaml"
DEFINITION = """\
kind: delta
path: theirs/pay ments
read: {read}
event_time: tx_datetime
known_time: ingested
"""
Open = Callable[[str], Pipeline]


@pytest.fixture
def opened(spark: SparkSession, disk: Environment, tmp_path: Path) -> Open:
    """A project whose payments are another team's table, with two rows."""

    def make(read: str) -> Pipeline:
        files = {SOURCE: DEFINITION.format(read=read)}
        pipeline = open_pipeline(spark, disk, tmp_path, files)
        add(pipeline, (1, 10), (2, 20))
        return pipeline

    return make


def place(pipeline: Pipeline) -> str:
    return str(pipeline.environment.folder / "theirs" / "pay ments")


def add(pipeline: Pipeline, *rows: tuple[int, float]) -> None:
    values = ", ".join(
        f"({number}L, timestamp'2018-04-01 10:00:00', 7L, 3L, {amount}D, false)"
        for number, amount in rows
    )
    columns = "transaction_id, tx_datetime, customer_id, terminal_id, amount, is_fraud"
    frame = pipeline.tables.spark.sql(f"select * from values {values} as t({columns})")
    writer = frame.coalesce(1).write.format("delta").mode("append")
    writer.option("delta.enableChangeDataFeed", "true").save(place(pipeline))


def update(pipeline: Pipeline, number: int, amount: float) -> None:
    table = DeltaTable.forPath(pipeline.tables.spark, place(pipeline))
    table.update(f"transaction_id = {number}", {"amount": f"{amount}D"})


def silver(pipeline: Pipeline) -> list[tuple[int, float, int]]:
    return pipeline.rows("silver", "transactions", "transaction_id", "amount", "_batch")


class TestByVersions:
    def test_rows_carry_the_version_that_brought_them(self, opened: Open) -> None:
        pipeline = opened("versions")
        pipeline.run("ingest", "refine")
        add(pipeline, (3, 30))
        add(pipeline, (4, 40))

        pipeline.run("ingest", "refine")

        assert silver(pipeline) == [(1, 10.0, 0), (2, 20.0, 0), (3, 30.0, 1), (4, 40.0, 2)]

    def test_rows_are_known_when_they_were_committed(self, opened: Open) -> None:
        pipeline = opened("versions")
        pipeline.run("refine")
        add(pipeline, (3, 30))
        add(pipeline, (4, 40))

        pipeline.run("refine")

        known = pipeline.rows("silver", "transactions", "_batch", "_known_time")
        storage, uri = pipeline.environment.storage, place(pipeline)
        assert [int(at.timestamp() * 1000) for _, at in known[2:]] == [
            log.read_commit_at(storage, uri, version=version).timestamp // 1000
            for version in (1, 2)
        ]

    def test_there_is_no_bronze_copy(self, opened: Open) -> None:
        pipeline = opened("versions")

        pipeline.run("ingest", "refine")

        assert not pipeline.tables.exists("bronze", "payments")

    def test_nothing_is_left_to_do(self, opened: Open) -> None:
        pipeline = opened("versions")

        pipeline.run("refine")

        assert pipeline.plan().of("refine").to_run == ()

    def test_rewritten_rows_are_refused_with_the_way_to_read_them(self, opened: Open) -> None:
        pipeline = opened("versions")
        pipeline.run("refine")
        update(pipeline, 1, 11)

        with pytest.raises(
            StoreError, match=r"version 1 of .* changed or removed rows\n.*change_feed"
        ):
            pipeline.run("refine")

    def test_a_table_that_is_not_there_is_said(self, opened: Open) -> None:
        pipeline = opened("versions")
        Path(place(pipeline)).rename(pipeline.environment.folder / "elsewhere")

        with pytest.raises(TableNotFoundError, match=r"there is no Delta table at .*/theirs/pay m"):
            pipeline.plan()


class TestByChangeFeed:
    def test_updates_are_versions_in_the_order_they_were_made(self, opened: Open) -> None:
        pipeline = opened("change_feed")
        pipeline.run("refine")
        update(pipeline, 1, 11)
        add(pipeline, (3, 30))
        update(pipeline, 1, 12)

        pipeline.run("refine")

        assert silver(pipeline) == [
            (1, 10.0, 0),
            (1, 11.0, 1),
            (1, 12.0, 3),
            (2, 20.0, 0),
            (3, 30.0, 2),
        ]

    def test_deletions_are_refused(self, opened: Open) -> None:
        pipeline = opened("change_feed")
        pipeline.run("refine")
        DeltaTable.forPath(pipeline.tables.spark, place(pipeline)).delete("transaction_id = 1")

        with pytest.raises(StoreError, match=r"deleted rows between versions 1 and 1"):
            pipeline.run("refine")

    def test_a_table_without_a_feed_is_said(self, opened: Open) -> None:
        pipeline = opened("change_feed")
        pipeline.run("refine")
        pipeline.tables.spark.sql(
            f"alter table delta.`{place(pipeline)}` "
            "set tblproperties ('delta.enableChangeDataFeed' = 'false')"
        )

        with pytest.raises(StoreError, match="writes no change feed"):
            pipeline.run("refine")

"""Refused rows that are judged again: those that pass today go to silver, once; the others stay."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from feldspar.errors import TableNotFoundError
from feldspar.names import KNOWN_TIME
from feldspar.refine.replay import Chosen, ReplayResult, judge_again, replay
from feldspar.spec.environment import Environment
from support.pipeline import NOW, Pipeline, open_pipeline
from support.places import silent
from support.small_project import FILES

TABLE = "tables/transactions.yaml"
WIDER = FILES[TABLE].replace("between: [0, 1000]", "between: [0, 9000]")
AT = "2018-04-01T10:00:00Z"
MORNING = datetime(2018, 4, 1, 10, tzinfo=UTC)
LATER = NOW + timedelta(days=1)
LINES = (
    f"1,{AT},7,3,12.5,false",
    f"2,{AT},7,3,abc,false",
    f"3,{AT},7,3,5000,false",
    f"3,{AT},7,3,5000,false",
    f"4,{AT},8,3,99999,false",
)
BETWEEN = "amount:between"


def refused(spark: SparkSession, disk: Environment, folder: Path) -> Pipeline:
    """One good row and four refused ones, and then a wider bound."""
    pipeline = open_pipeline(spark, disk, folder)
    pipeline.put("a.csv", *LINES)
    pipeline.run("ingest", "refine")
    wider = pipeline.with_files({TABLE: WIDER})
    wider.run("refine")
    return wider


@pytest.fixture
def wider(spark: SparkSession, disk: Environment, tmp_path: Path) -> Pipeline:
    return refused(spark, disk, tmp_path)


def again(pipeline: Pipeline, chosen: Chosen | None = None) -> ReplayResult:
    table = pipeline.graph.table("transactions")
    tables = pipeline.tables
    return replay(table, chosen or Chosen(), tables=tables, now=LATER, progress=silent)


def trial(pipeline: Pipeline, chosen: Chosen) -> tuple[int, int]:
    table = pipeline.graph.table("transactions")
    found = judge_again(table, chosen, tables=pipeline.tables, now=LATER)
    return found.rows, found.accepted


def in_quarantine(pipeline: Pipeline) -> list[str]:
    rows = pipeline.rows("quarantine", "transactions", "_reasons")
    return sorted(", ".join(reasons) for (reasons,) in rows)


@pytest.fixture(scope="module")
def done(
    spark: SparkSession, disk: Environment, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Pipeline, ReplayResult]:
    pipeline = refused(spark, disk, tmp_path_factory.mktemp("once"))
    return pipeline, again(pipeline)


@pytest.fixture(scope="module")
def untouched(
    spark: SparkSession, disk: Environment, tmp_path_factory: pytest.TempPathFactory
) -> Pipeline:
    return refused(spark, disk, tmp_path_factory.mktemp("untouched"))


class TestOnce:
    def test_it_says_what_came_of_each_row(self, done: tuple[Pipeline, ReplayResult]) -> None:
        assert done[1] == ReplayResult(
            "transactions",
            rows=4,
            accepted=1,
            duplicates=1,
            refused=2,
            reasons=((BETWEEN, 1), ("amount:not_a_finite_number", 1)),
        )

    def test_rows_that_pass_are_in_silver_known_from_now_on(
        self, done: tuple[Pipeline, ReplayResult]
    ) -> None:
        rows = done[0].rows("silver", "transactions", "transaction_id", KNOWN_TIME)
        assert rows == [(1, MORNING), (3, LATER)]

    def test_the_others_stay(self, done: tuple[Pipeline, ReplayResult]) -> None:
        assert in_quarantine(done[0]) == [BETWEEN, "amount:not_a_finite_number"]

    def test_the_ledger_adds_up(self, done: tuple[Pipeline, ReplayResult]) -> None:
        names = ("source", "rows_in", "valid", "quarantined", "duplicates")
        rows = done[0].rows("ops", "ledger", *names)
        assert ("quarantine.transactions", 4, 1, 2, 1) in rows
        assert sum(valid for _, _, valid, _, _ in rows) == 2

    def test_nothing_moves_the_second_time(self, done: tuple[Pipeline, ReplayResult]) -> None:
        pipeline = done[0]
        second = again(pipeline)
        ids = pipeline.rows("silver", "transactions", "transaction_id")
        assert (second.rows, second.accepted, second.refused, ids) == (2, 0, 2, [(1,), (3,)])

    def test_features_get_them(self, done: tuple[Pipeline, ReplayResult]) -> None:
        done[0].run("features")
        assert done[0].rows("gold", "customer_spend", "_event_id") == [(1,), (3,)]


def test_a_mended_rule_and_a_replay_equal_a_run_that_never_failed(
    wider: Pipeline, spark: SparkSession, disk: Environment, tmp_path: Path
) -> None:
    never = open_pipeline(spark, disk, tmp_path / "never").with_files({TABLE: WIDER})
    never.put("a.csv", *LINES)
    never.run("ingest", "refine")
    again(wider)
    columns = ("transaction_id", "tx_datetime", "customer_id", "amount", "_row_hash")

    assert wider.rows("silver", "transactions", *columns) == never.rows(
        "silver", "transactions", *columns
    )
    assert in_quarantine(wider) == in_quarantine(never)


@pytest.mark.parametrize(
    ("chosen", "rows"),
    [
        (Chosen(), (4, 2)),
        (Chosen(reason=BETWEEN), (3, 2)),
        (Chosen(reason="amount:not_null"), (0, 0)),
        (Chosen(since=NOW), (4, 2)),
        (Chosen(since=LATER), (0, 0)),
    ],
)
def test_a_trial_says_how_many_and_writes_nothing(
    untouched: Pipeline, chosen: Chosen, rows: tuple[int, int]
) -> None:
    before = [untouched.version(layer, "transactions") for layer in ("silver", "quarantine")]

    assert trial(untouched, chosen) == rows
    assert [untouched.version(one, "transactions") for one in ("silver", "quarantine")] == before


def test_a_row_that_is_refused_for_another_reason_remembers_the_first(wider: Pipeline) -> None:
    stricter = FILES[TABLE].replace("checks:", "rules: {small: amount < 10}\nchecks:")
    strict = wider.with_files({TABLE: stricter.replace("[0, 1000]", "[0, 9000]")})

    again(strict, Chosen(reason=BETWEEN))

    rows = strict.rows("quarantine", "transactions", "_reasons", "_earlier")
    earlier = [{"until": LATER, "reasons": [BETWEEN]}]
    assert rows.count((["rule:small"], earlier)) == 2
    assert ([BETWEEN, "rule:small"], earlier) in rows


def test_a_replay_that_stopped_after_silver_is_finished_by_the_next(wider: Pipeline) -> None:
    before = wider.version("quarantine", "transactions")
    again(wider)
    uri = wider.lake.uri("quarantine", "transactions")
    # as if quarantine and ledger had not been written
    wider.tables.spark.sql(f"RESTORE TABLE delta.`{uri}` TO VERSION AS OF {before}")

    second = again(wider)

    assert (second.accepted, second.duplicates) == (0, 2)
    assert wider.rows("silver", "transactions", "transaction_id") == [(1,), (3,)]
    assert in_quarantine(wider) == [BETWEEN, "amount:not_a_finite_number"]


def test_where_nothing_was_refused_there_is_nothing_to_judge(
    spark: SparkSession, disk: Environment, tmp_path: Path
) -> None:
    with pytest.raises(TableNotFoundError, match="nothing was refused yet"):
        again(open_pipeline(spark, disk, tmp_path))

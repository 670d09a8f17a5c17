"""silver -> gold on a real lake: new rows are added, a new feature fills itself alone."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from feldspar.features.gold import build_view
from feldspar.features.layout import lay_anew
from feldspar.graph.steps import FeaturesStep, Mode
from feldspar.spec.environment import Environment
from feldspar.stores.tables import log
from feldspar.stores.tables.bucketed import FileRun
from feldspar.stores.tables.spark import Declared
from support.pipeline import TO_GOLD, Pipeline, open_pipeline
from support.small_project import FILES

SPEND = "views/customer_spend.yaml"
MORE = {SPEND: FILES[SPEND] + "  max_double: max(amount * 2)\n"}
SYSTEM = ("_event_time", "_known_time", "_batch", "_position")
EVENT = ("_event_id", "_batch", "_retracted")


def line(number: int, *, customer: str = "7", day: int = 1, amount: float = 10) -> str:
    return f"{number},2018-04-{day:02}T10:00:00Z,{customer},3,{amount},false"


def built(spark: SparkSession, disk: Environment, folder: Path) -> Pipeline:
    """A lake with two payments, and one of nobody."""
    pipeline = open_pipeline(spark, disk, folder)
    pipeline.put("a.csv", line(1), line(2, customer="8", amount=20), line(3, customer=""))
    pipeline.run(*TO_GOLD)
    return pipeline


@pytest.fixture(scope="module")
def untouched(
    spark: SparkSession, disk: Environment, tmp_path_factory: pytest.TempPathFactory
) -> Pipeline:
    return built(spark, disk, tmp_path_factory.mktemp("features"))


@pytest.fixture
def pipeline(spark: SparkSession, disk: Environment, tmp_path: Path) -> Pipeline:
    return built(spark, disk, tmp_path)


class TestFirstRun:
    def test_a_windowed_view_holds_its_events(self, untouched: Pipeline) -> None:
        assert set(untouched.tables.read("gold", "customer_spend").columns) == {
            "customer_id",
            "_event_id",
            *SYSTEM,
            "_bucket",
            "_retracted",
            *(one.name for one in untouched.graph.view("customer_spend").columns),
        }

    def test_a_plain_view_holds_its_features(self, untouched: Pipeline) -> None:
        assert set(untouched.tables.read("gold", "last_payment").columns) == {
            "customer_id",
            *SYSTEM,
            "_bucket",
            "last_amount",
        }

    def test_values_are_those_of_silver(self, untouched: Pipeline) -> None:
        assert untouched.rows("gold", "last_payment", "customer_id", "last_amount") == [
            (7, 10.0),
            (8, 20.0),
        ]

    def test_rows_of_nobody_are_events_but_no_rows_of_a_plain_view(
        self, untouched: Pipeline
    ) -> None:
        events, rows = (untouched.rows("gold", one, "_position") for one in untouched.graph.views)

        assert (len(events), len(rows)) == (3, 2)

    def test_the_number_of_buckets_is_said_by_the_table(self, untouched: Pipeline) -> None:
        properties = untouched.tables.properties("gold", "customer_spend")

        assert properties["feldspar.buckets"] == "8"

    def test_nothing_is_left_to_do(self, untouched: Pipeline) -> None:
        assert untouched.plan().of("features").to_run == ()


def test_a_late_payment_is_one_more_row(pipeline: Pipeline) -> None:
    pipeline.put("late.csv", line(4, day=1, amount=5))
    files = data_files(pipeline)

    results = pipeline.run(*TO_GOLD)

    assert (
        results["gold.customer_spend"].rows,
        files <= data_files(pipeline),
        pipeline.rows("gold", "customer_spend", "_event_id", "_batch"),
    ) == (1, True, [(1, 0), (2, 0), (3, 0), (4, 1)])


def test_a_payment_that_moves_to_another_customer_is_told_to_both(pipeline: Pipeline) -> None:
    pipeline.put("moved.csv", line(1, customer="8", day=2))

    pipeline.run(*TO_GOLD)

    assert events(pipeline) == [
        (7, 1, 0, False),
        (7, 1, 1, True),
        (8, 1, 0, True),
        (8, 1, 1, False),
        (8, 2, 0, False),
    ]


def test_a_payment_that_loses_its_customer_is_told_to_the_one_who_had_it(
    pipeline: Pipeline,
) -> None:
    pipeline.put("lost.csv", line(1, customer=""))

    pipeline.run(*TO_GOLD)

    assert events(pipeline) == [(7, 1, 0, False), (7, 1, 1, True), (8, 2, 0, False)]


def events(pipeline: Pipeline) -> list[tuple[object, ...]]:
    """The events of somebody, with departures."""
    rows = pipeline.tables.read("gold", "customer_spend").dropna(subset=["customer_id"])
    return sorted(map(tuple, rows.select("customer_id", *EVENT).collect()))


def test_a_load_adds_a_sorted_run_and_all_are_made_one(pipeline: Pipeline) -> None:
    before = pipeline.version("gold", "customer_spend")
    pipeline.put("4.csv", line(4, day=4), line(5, day=3))
    pipeline.run(*TO_GOLD)
    runs = [times_of(run) for run in runs_of(pipeline)]

    view = pipeline.graph.view("customer_spend")
    lay_anew(view, pipeline.tables)

    upto = pipeline.version("gold", "customer_spend")
    added = pipeline.tables.added("gold", "customer_spend", after=before, upto=upto)
    (one,) = runs_of(pipeline)
    assert (
        sorted(map(len, runs)),
        [times for times in (*runs, times_of(one)) if times != sorted(times)],
        one.rows,
        sorted(row["_event_id"] for row in added.collect()),
    ) == ([1, 2], [], 3, [4, 5])


def times_of(run: FileRun) -> list[datetime]:
    found: list[datetime] = run.read(["_event_time"])["_event_time"].to_pylist()
    return found


def runs_of(pipeline: Pipeline) -> list[FileRun]:
    """The runs of customer 7's bucket."""
    version = pipeline.version("gold", "customer_spend")
    files = pipeline.tables.files("gold", "customer_spend", version=version)
    assert files is not None
    (bucket,) = {
        row[0]
        for row in pipeline.rows("gold", "customer_spend", "_bucket", "customer_id")
        if row[1] == 7
    }
    return list(files.runs(bucket))


def data_files(pipeline: Pipeline) -> set[str]:
    return set(log.open_table(pipeline.lake, "gold", "customer_spend").file_uris())


class TestAddedFeature:
    def test_it_fills_itself_and_touches_nothing_else(self, pipeline: Pipeline) -> None:
        columns = ("_event_id", "customer_id", *SYSTEM, "_bucket")
        before = pipeline.rows("gold", "customer_spend", *columns)
        other = pipeline.version("gold", "last_payment")
        more = pipeline.with_files(MORE)

        more.run("features")

        assert (
            filled(more),
            more.rows("gold", "customer_spend", *columns),
            more.version("gold", "last_payment"),
        ) == ([20.0, 40.0], before, other)

    def test_rows_that_wait_come_with_it(self, pipeline: Pipeline) -> None:
        pipeline.put("b.csv", line(4, amount=30))
        more = pipeline.with_files(MORE)

        more.run(*TO_GOLD)

        assert filled(more) == [20.0, 40.0, 60.0]

    def test_a_stop_before_its_definition_is_recorded_is_made_good(
        self, pipeline: Pipeline
    ) -> None:
        more = pipeline.with_files(MORE)
        step = next(one for one in more.plan().to_run if isinstance(one, FeaturesStep))
        add_empty_column(more)

        again = next(one for one in more.plan().to_run if isinstance(one, FeaturesStep))
        more.carry_out(again)

        assert (again, step.mode, filled(more)) == (step, Mode.BACKFILL, [20.0, 40.0])

    def test_a_repeated_fill_changes_no_value(self, pipeline: Pipeline) -> None:
        more = pipeline.with_files(MORE)
        step = next(one for one in more.plan().to_run if isinstance(one, FeaturesStep))
        more.carry_out(step)

        more.carry_out(step)

        assert (filled(more), more.plan().of("features").to_run) == ([20.0, 40.0], ())


def filled(pipeline: Pipeline) -> list[Any]:
    view = pipeline.graph.view("customer_spend")
    (argument,) = (one.argument for one in view.aggregates if one.name == "max_double_7d")
    rows = pipeline.rows("gold", "customer_spend", argument, "customer_id")
    return [value for value, customer in rows if customer is not None]


def add_empty_column(pipeline: Pipeline) -> None:
    """What a stop leaves between the new column and its values."""
    view = pipeline.graph.view("customer_spend")
    known = pipeline.tables.read("gold", view.name)
    (new,) = (one for one in view.columns if one.name not in known.columns)
    schema = known.schema.add(new.name, new.type.spark)
    pipeline.tables.ensure("gold", view.name, Declared(schema))


def test_a_step_with_nothing_new_writes_nothing(pipeline: Pipeline) -> None:
    view = pipeline.graph.view("last_payment")
    version = pipeline.version("gold", view.name)
    done = pipeline.version("silver", "transactions")
    step = next(
        one
        for one in pipeline.plan().steps
        if isinstance(one, FeaturesStep) and one.view == view.name
    )

    result = build_view(
        step, view, pipeline.graph.table(view.table), tables=pipeline.tables, progress=str
    )

    assert (step.after, result.rows, result.version, pipeline.version("gold", view.name)) == (
        done,
        0,
        version,
        version,
    )

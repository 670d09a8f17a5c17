"""Times of a zone with clock changes, where its clocks are changed: Python's zoneinfo is right."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from feldspar.compute.pit.union import add_columns
from feldspar.compute.windows.batch import add_windows
from feldspar.compute.windows.functions import AggregationPlan
from feldspar.compute.windows.rule import WindowRule
from feldspar.graph.compile import compile_graph
from feldspar.refine.typing import typed_columns
from feldspar.spec.loading import load_definitions
from feldspar.training.sets import with_zone
from property import frames, oracle, packing
from property.closeness import wrong_answers
from property.test_pit import pit_plan
from support.small_project import FILES, write_project

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)
SWITCHES = {
    "Europe/Berlin": ("2018-03-25 02:30", "2018-10-28 02:30"),
    "America/New_York": ("2018-03-11 02:30", "2018-11-04 01:30"),
    # by half an hour
    "Australia/Lord_Howe": ("2018-10-07 02:15", "2018-04-01 01:45"),
}


@pytest.fixture(params=["UTC", "America/New_York"])
def session(spark: SparkSession, request: pytest.FixtureRequest) -> Iterator[SparkSession]:
    """A session of this zone, for that of a session must mean nothing."""
    other = spark.newSession()
    other.conf.set("spark.sql.session.timeZone", request.param)
    return other


def wall_times(zone: str) -> list[datetime]:
    """Within two hours of the switches, some of them at the very edges, and far from any."""
    chance = random.Random(zone)
    found = [datetime(1850, 1, 1), datetime(2018, 7, 1, 12), datetime(9000, 1, 1)]  # noqa: DTZ001
    for text in SWITCHES[zone]:
        middle = datetime.fromisoformat(text)
        edges = [timedelta(minutes=15 * step) for step in range(-8, 9)]
        found += [middle + edge + beside for edge in edges for beside in (-SECOND, 0 * SECOND)]
        found += [middle + timedelta(microseconds=chance.randint(-(10**10), 10**10)) for _ in edges]
    return found


def micros(wall_time: datetime, zone: str) -> int:
    """What Python makes of it: the first of two instants, or as if no clock had been changed."""
    return (wall_time.replace(tzinfo=ZoneInfo(zone), fold=0) - EPOCH) // timedelta(microseconds=1)


def typed(rows: DataFrame, zone: str, folder: Path) -> DataFrame:
    """The rows with ``tx_datetime`` as refined from a source in this zone."""
    source = FILES["sources/payments.yaml"].replace("zone: UTC", f"zone: {zone}")
    conf = write_project(folder, {"sources/payments.yaml": source})
    table = compile_graph(load_definitions(conf, {})).table("transactions")
    (column,) = [one for one in typed_columns(table, rows.schema) if one.name == "tx_datetime"]
    return rows.withColumn("tx_datetime", column.value)


@pytest.mark.parametrize("kind", ["string", "timestamp_ntz"])
@pytest.mark.parametrize("zone", SWITCHES)
def test_wall_times_around_a_switch_are_the_instants_of_zoneinfo(
    session: SparkSession, tmp_path: Path, zone: str, kind: str
) -> None:
    wall = wall_times(zone)
    given = wall if kind == "timestamp_ntz" else [one.isoformat(" ") for one in wall]
    rows = session.createDataFrame([*enumerate(given)], f"place int, tx_datetime {kind}")

    found = typed(rows, zone, tmp_path).select("place", F.unix_micros("tx_datetime")).collect()

    assert dict(map(tuple, found)) == dict(enumerate(micros(one, zone) for one in wall))


@pytest.mark.parametrize("zone", SWITCHES)
def test_wall_times_of_a_spine_are_the_same_instants(session: SparkSession, zone: str) -> None:
    wall = wall_times(zone)
    spine = session.createDataFrame([*enumerate(wall)], "place int, at timestamp_ntz")

    found = with_zone(spine, zone=zone).select("place", F.unix_micros("at")).collect()

    assert dict(map(tuple, found)) == dict(enumerate(micros(one, zone) for one in wall))


@pytest.mark.parametrize("zone", SWITCHES)
def test_hours_over_a_switch_are_hours(spark: SparkSession, zone: str) -> None:
    """Windows, delays and ttls are counted in instants, not on the clock of any place."""
    times = [micros(one, zone) for one in wall_times(zone)]
    key = (1, "2")
    rows = [
        oracle.Version(key, at, at, 0, place, place, {"amount": 1.0})
        for place, at in enumerate(times)
    ]
    asked = [oracle.Question(key, at + packing.HOUR) for at in times]
    items = [AggregationPlan(f"n_{one}", "count", None, one * packing.HOUR) for one in (1, 2, 24)]
    windows = frames.window_plan(items, WindowRule(0, packing.HOUR // 2))
    newest = pit_plan(packing.HOUR, packing.HOUR // 2, "known")
    spine = frames.spine_table(asked).append_column("asked", [[*range(len(asked))]])

    added = add_columns(
        add_windows(spark.createDataFrame(spine), whole(spark, rows), windows, buckets=2),
        whole(spark, rows),
        newest,
    )
    answers = added.toArrow().sort_by("asked")

    assert wrong_answers(windows, asked, rows, answers) == []
    assert answers["view__place"].to_pylist() == [oracle.newest(one, rows, newest) for one in asked]


def whole(spark: SparkSession, rows: list[oracle.Version]) -> DataFrame:
    """The rows as a frame."""
    return spark.createDataFrame(frames.rows_table(rows))

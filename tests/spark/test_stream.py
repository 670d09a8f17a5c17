"""Rounds of a stream: what waits is carried out, and a store that is away is waited for."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from queue import Queue
from threading import Event

import pytest
from pyspark.sql import SparkSession

from feldspar.errors import OvertakenError
from feldspar.names import cursor
from feldspar.run.stream import Round, stream
from feldspar.run.workplace import Workplace
from feldspar.spec.environment import Environment, RedisSpec
from feldspar.stores.experiments import Experiments
from feldspar.stores.online import OnlineStore
from feldspar.stores.tables import arrow, steps
from feldspar.stores.tables.epochs import claim
from feldspar.stores.tables.runs import take_epoch
from feldspar.stores.tables.steps import StepRow
from feldspar.times import utc_now
from support.pipeline import Pipeline, open_pipeline
from support.small_project import FILES
from support.valkey import Valkey, valkey

EVERY = timedelta(milliseconds=50)
PATIENCE = 300
AT = "2018-04-01T00:00:00Z"
VIEW = "views/customer_spend.yaml"


@dataclass
class Streamed:
    """A stream that runs beside the test; ``rounds`` and ``lines`` fill as it goes."""

    pipeline: Pipeline
    running: Future[int]
    rounds: Queue[Round] = field(default_factory=Queue)
    lines: Queue[str] = field(default_factory=Queue)
    looks: list[int] = field(default_factory=list)
    stop: Event = field(default_factory=Event)

    def next(self) -> tuple[int, int, int]:
        found = self.rounds.get(timeout=PATIENCE)
        return found.loaded, found.valid, found.pushed

    def line_with(self, text: str) -> str:
        while text not in (line := self.lines.get(timeout=PATIENCE)):
            pass
        return line


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Valkey]:
    with valkey(tmp_path / "valkey") as running:
        yield running


@pytest.fixture
def online(disk: Environment, server: Valkey) -> Environment:
    return disk.model_copy(update={"redis": RedisSpec(url=server.url)})


@pytest.fixture
def pipeline(spark: SparkSession, online: Environment, tmp_path: Path) -> Pipeline:
    found = open_pipeline(spark, online, tmp_path / "project")
    found.put("a.csv", f"1,{AT},7,3,9,false", f"2,{AT},8,3,5,false")
    return found


@contextmanager
def streaming(pipeline: Pipeline) -> Iterator[Streamed]:
    epoch = take_epoch(pipeline.lake, verb="stream", now=utc_now())
    tables = replace(pipeline.tables, epoch=epoch)
    environment = pipeline.environment
    with OnlineStore.of(environment) as store, ThreadPoolExecutor(1) as pool:
        found = Streamed(pipeline, Future())
        work = Workplace(
            pipeline.graph,
            environment,
            tables,
            store,
            Experiments.of(environment),
            found.lines.put,
        )
        found.running = pool.submit(
            stream,
            work,
            every=EVERY,
            stop=found.stop,
            told=found.rounds.put,
            after_each=lambda: found.looks.append(found.rounds.qsize()),
        )
        try:
            yield found
        finally:
            found.stop.set()


def test_each_round_carries_out_what_waits_and_is_entered_under_the_runs_epoch(
    pipeline: Pipeline,
) -> None:
    with streaming(pipeline) as running:
        first = running.next()
        pipeline.put("b.csv", f"3,{AT},7,3,6,false")
        second = running.next()
        running.stop.set()
        rounds = running.running.result(PATIENCE)

    assert (first, second, rounds) == ((2, 2, 4), (1, 1, 2), 2)
    assert pipeline.rows("gold", "customer_spend", "_event_id") == [(1,), (2,), (3,)]
    rows = arrow.read(pipeline.lake, "ops", "steps").to_pylist()
    loads = {row["round"]: row["rows_out"] for row in rows if row["verb"] == "ingest"}
    assert (len({row["run"] for row in rows}), sorted(loads.values())) == (1, [1, 2])


def test_a_store_that_is_away_is_waited_for(pipeline: Pipeline, server: Valkey) -> None:
    server.stop()
    with streaming(pipeline) as running:
        running.line_with("does not answer")
        server.start()
        first = running.next()

    assert first == (2, 2, 4)


def test_there_is_a_look_after_each_round_that_did_something_or_not(pipeline: Pipeline) -> None:
    with streaming(pipeline) as running:
        running.next()
        seen = len(running.looks)
        while len(running.looks) < seen + 3:
            running.stop.wait(0.01)
        running.stop.set()

    assert running.rounds.empty()


def test_a_stream_ends_when_another_run_takes_over(pipeline: Pipeline) -> None:
    with streaming(pipeline) as running:
        running.next()
        later = take_epoch(pipeline.lake, verb="apply", now=utc_now())
        claim(pipeline.lake, "bronze", "payments", app=cursor("ingest", "payments"), epoch=later)
        pipeline.put("b.csv", f"3,{AT},7,3,6,false")

        with pytest.raises(OvertakenError, match=r"bronze\.payments: a later run has taken over"):
            running.running.result(PATIENCE)


def test_a_view_by_auto_rests_and_many_rows_wake_it(
    spark: SparkSession, online: Environment, tmp_path: Path
) -> None:
    spec = FILES[VIEW] + "freshness: 1h\ntrigger: auto\n"
    pipeline = open_pipeline(spark, online, tmp_path / "project", {VIEW: spec})
    steps.append(pipeline.lake, list(past_loads()))
    with streaming(pipeline) as running:
        pushed = []
        for first, upto in ((1, 2), (2, 3), (3, 15)):
            numbers = range(first, upto)
            pipeline.put(f"{first}.csv", *(f"{one},{AT},7,3,9,false" for one in numbers))
            pushed.append(running.next())
        pushed.append(running.next())
        running.stop.set()
        running.running.result(PATIENCE)

    # both views, the other one alone, and what had waited
    assert pushed == [(1, 1, 2), (1, 1, 1), (12, 12, 1), (0, 0, 1)]
    assert len(pipeline.rows("gold", "customer_spend", "_event_id")) == 14
    kept = pipeline.rows("ops", "decisions", "name", "mode", "every_seconds", "wake_at")
    assert kept == [("gold.customer_spend", "mix", 1_800.0, 11)]


def past_loads() -> Iterator[StepRow]:
    """An hour apart; each takes 10 s, and 100 s a row."""
    for number in range(30):
        rows = 1 + 2 * (number % 2)
        began = utc_now() - timedelta(hours=30 - number)
        yield StepRow(
            1_000 + number,
            0,
            "features",
            "gold.customer_spend",
            began,
            10.0 + 100.0 * rows,
            rows_out=rows,
        )

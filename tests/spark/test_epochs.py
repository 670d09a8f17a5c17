"""Runs that go on after a later one has begun: nothing of theirs is published, nothing is lost."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import LongType, StructField, StructType

from feldspar.errors import FeldsparError, OvertakenError
from feldspar.graph.steps import Step
from feldspar.spec.environment import Environment
from feldspar.stores.tables import arrow, log, records
from feldspar.stores.tables.epochs import claim
from feldspar.stores.tables.lake import Lake
from feldspar.stores.tables.runs import take_epoch
from feldspar.stores.tables.spark import Declared, SparkTables
from feldspar.times import utc_now
from support.pipeline import TO_GOLD, Pipeline, open_pipeline

APP = "load:numbers#0"
SCHEMA = "number bigint"
DECLARED = Declared(StructType([StructField("number", LongType())]))
NUMBERS = pa.schema({"number": pa.int64()})
AT = "2018-04-01T00:00:00Z"


@pytest.fixture
def lake(environment: Environment) -> Lake:
    return Lake.of(environment)


@pytest.fixture
def first(spark: SparkSession, lake: Lake) -> SparkTables:
    """A run that wrote 1 and goes on."""
    tables = SparkTables(spark, lake, take_epoch(lake, verb="first", now=utc_now()))
    put(tables, 1)
    return tables


@pytest.fixture
def second(first: SparkTables) -> SparkTables:
    """A later run that claims what the first one writes."""
    epoch = take_epoch(first.lake, verb="second", now=utc_now())
    later = replace(first, epoch=epoch)
    later.claim("silver", "numbers", APP)
    claim(later.lake, "ops", "numbers", app=APP, epoch=epoch)
    return later


def put(tables: SparkTables, number: int) -> None:
    rows = tables.spark.createDataFrame([(number,)], SCHEMA)
    txn = tables.txn(APP, number)
    tables.append(rows, "silver", "numbers", txn=txn, declared=DECLARED)
    note(tables, number)


def note(tables: SparkTables, number: int) -> None:
    row = {"number": number}
    records.append(tables.lake, "numbers", [row], schema=NUMBERS, txn=tables.txn(APP, number))


def append(tables: SparkTables) -> None:
    rows = tables.spark.createDataFrame([(7,)], SCHEMA)
    tables.append(rows, "silver", "numbers", txn=tables.txn(APP, 7))


def append_small(tables: SparkTables) -> None:
    append(tables.sized(0))


def merge(tables: SparkTables) -> None:
    rows = tables.spark.createDataFrame([(7,)], SCHEMA)
    same = "old.number = new.number"
    tables.merge_new(rows, "silver", "numbers", same=same, txn=tables.txn(APP, 7))


def empty(tables: SparkTables) -> None:
    tables.replace("silver", "numbers", Declared(DECLARED.schema, {log.GENERATION: "1"}))


def lay_out(tables: SparkTables) -> None:
    rewrite(tables, tables.version("silver", "numbers"))


def rewrite(tables: SparkTables, version: int) -> None:
    rows = tables.read("silver", "numbers", version=version)
    tables.rewrite(rows, "silver", "numbers", where="true", version=version)


def numbers(lake: Lake, layer: str = "silver") -> list[int]:
    return sorted(row["number"] for row in arrow.read(lake, layer, "numbers").to_pylist())


def test_each_run_has_an_epoch_of_its_own(lake: Lake) -> None:
    with ThreadPoolExecutor(4) as pool:
        taken = pool.map(lambda verb: take_epoch(lake, verb=str(verb), now=utc_now()), range(8))
    assert sorted(taken) == list(range(1, 9))


def test_a_run_goes_on_from_where_the_one_before_it_came(second: SparkTables, lake: Lake) -> None:
    found = second.claim("silver", "numbers", APP)
    put(second, 2)
    assert (found.position, numbers(lake), numbers(lake, "ops")) == (1, [1, 2], [1, 2])


@pytest.mark.parametrize(
    "write", [append, append_small, merge, empty, lay_out, lambda tables: note(tables, 7)]
)
def test_an_earlier_run_writes_nothing_any_more(
    first: SparkTables, second: SparkTables, lake: Lake, write: Callable[[SparkTables], None]
) -> None:
    with pytest.raises(OvertakenError, match="a later run has taken over"):
        write(first)
    assert (numbers(lake), numbers(lake, "ops")) == ([1], [1])


def test_rows_that_came_while_an_earlier_run_laid_files_out_are_kept(
    first: SparkTables, second: SparkTables, lake: Lake
) -> None:
    version = first.version("silver", "numbers") - 1
    put(second, 2)
    with pytest.raises(OvertakenError, match="a later run has taken over care"):
        rewrite(first, version)
    assert numbers(lake) == [1, 2]


def test_files_are_laid_out_again_and_again(first: SparkTables, lake: Lake) -> None:
    for number in (2, 3):
        put(first, number)
        lay_out(first)
    assert numbers(lake) == [1, 2, 3]


def test_an_earlier_run_claims_nothing_any_more(first: SparkTables, second: SparkTables) -> None:
    with pytest.raises(OvertakenError, match=r"silver\.numbers: a later run has taken over"):
        first.claim("silver", "numbers", APP)


def test_steps_side_by_side_claim_a_table_of_ops_each_for_itself(
    first: SparkTables, lake: Lake
) -> None:
    def claimed(step: int) -> int | None:
        return claim(lake, "ops", "numbers", app=f"step:{step}#0", epoch=first.epoch).position

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(claimed, range(8))) == [None] * 8


def test_a_batch_that_was_written_is_known_by_the_later_run(
    second: SparkTables, lake: Lake
) -> None:
    put(second, 1)
    assert (numbers(lake), numbers(lake, "ops")) == ([1], [1])


@pytest.fixture
def gates(tmp_path: Path) -> tuple[Path, Path]:
    """Two pipes: a task says by the first that it has begun, and by the second it is let go."""
    begun, go = tmp_path / "begun", tmp_path / "go"
    os.mkfifo(begun)
    os.mkfifo(go)
    return begun, go


def held_back(rows: DataFrame, gates: tuple[Path, Path]) -> DataFrame:
    """The rows, once the test lets them go."""
    begun, go = map(str, gates)

    def wait(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            Path(begun).write_text("begun", encoding="utf-8")
            Path(go).read_text(encoding="utf-8")
            yield batch

    return rows.mapInArrow(wait, rows.schema)


@pytest.mark.parametrize("kind", ["append", "append small", "merge"])
def test_what_an_earlier_run_has_in_flight_is_not_published(
    first: SparkTables, lake: Lake, gates: tuple[Path, Path], kind: str
) -> None:
    begun, go = gates
    rows = held_back(first.spark.createDataFrame([(7,)], SCHEMA).coalesce(1), gates)
    txn = first.txn(APP, 7)

    def write() -> None:
        if kind == "append":
            first.append(rows, "silver", "numbers", txn=txn)
        elif kind == "append small":
            first.sized(0).append(rows, "silver", "numbers", txn=txn)
        else:
            same = "old.number = new.number"
            first.merge_new(rows, "silver", "numbers", same=same, txn=txn)

    epoch = take_epoch(lake, verb="second", now=utc_now())
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write)
        begun.read_text(encoding="utf-8")
        found = claim(lake, "silver", "numbers", app=APP, epoch=epoch)
        go.write_text("go", encoding="utf-8")
        with pytest.raises(OvertakenError, match="a later run has taken over"):
            writing.result()
    assert (found.position, numbers(lake)) == (1, [1])


class TestWholeRuns:
    @pytest.fixture
    def early(self, spark: SparkSession, disk: Environment, tmp_path: Path) -> Pipeline:
        pipeline = open_pipeline(spark, disk, tmp_path)
        pipeline.put("a.csv", f"1,{AT},7,3,9,false", f"2,{AT},8,3,5,false")
        run(in_epoch(pipeline), *TO_GOLD)
        pipeline.put("b.csv", f"3,{AT},7,3,9,false")
        return in_epoch(pipeline)

    @pytest.mark.parametrize("overtaken_in", ["refine", "features"])
    def test_a_run_that_another_one_overtook_stops_and_the_tables_are_whole(
        self, early: Pipeline, overtaken_in: str
    ) -> None:
        steps = early.plan().of(*TO_GOLD).to_run
        before = [step for step in steps if TO_GOLD.index(step.verb) < TO_GOLD.index(overtaken_in)]
        for step in before:
            early.carry_out(step)
        late = in_epoch(early)
        run(late, *TO_GOLD)

        with pytest.raises(FeldsparError) as told:
            carry_out(early, [step for step in steps if step not in before])

        assert isinstance(told.value, OvertakenError)
        assert gold(late) == [1, 2, 3]
        assert late.plan().of("features").to_run == ()

    def test_a_plan_that_is_older_than_what_is_there_is_not_carried_out(
        self, early: Pipeline
    ) -> None:
        steps = early.plan().of(*TO_GOLD).to_run
        run(in_epoch(early), *TO_GOLD)
        anew = in_epoch(early)

        with pytest.raises(OvertakenError, match="nothing was written"):
            carry_out(anew, steps)

        assert gold(anew) == [1, 2, 3]


def in_epoch(pipeline: Pipeline) -> Pipeline:
    epoch = take_epoch(pipeline.lake, verb="apply", now=utc_now())
    return replace(pipeline, tables=replace(pipeline.tables, epoch=epoch))


def run(pipeline: Pipeline, *verbs: str) -> None:
    for verb in verbs:
        pipeline.run(verb)


def carry_out(pipeline: Pipeline, steps: Sequence[Step]) -> None:
    for step in steps:
        pipeline.carry_out(step)


def gold(pipeline: Pipeline) -> list[int]:
    return [number for (number,) in pipeline.rows("gold", "customer_spend", "_event_id")]

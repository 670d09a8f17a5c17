"""The record of a run, from results of steps and a real silver table."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from pyspark.sql import SparkSession

from feldspar.errors import StoreError
from feldspar.graph.steps import Mode, OnlineStep, Plan, RefineStep, Status, TrainStep
from feldspar.refine.table import RefineResult
from feldspar.report.record import Outcome, Reason
from feldspar.run.execute import Done, Failed, Run
from feldspar.run.record import make_record
from feldspar.run.workplace import Workplace
from feldspar.spec.environment import Environment, RedisSpec
from feldspar.stores.experiments import Experiments
from feldspar.stores.online import OnlineStore
from support.small_lake import DAYS, small_lake

REFINE = RefineStep(
    "silver.transactions",
    Status.RUN,
    "new rows",
    table="transactions",
    after=None,
    upto=3,
    mode=Mode.APPEND,
    generation=0,
)
TRAIN = TrainStep("model fraud", Status.NOTHING, "not due: last cut", model="fraud", due_from=None)
PUSH = OnlineStep(
    "online customer_spend", Status.RUN, "new rows", view="customer_spend", after=1, generation=0
)
REFINED = RefineResult(
    table="transactions",
    rows_in=20,
    valid=15,
    quarantined=2,
    duplicates=3,
    reasons=(("amount:between", 2),),
    version=1,
)
STARTED = datetime(2018, 10, 1, 12, tzinfo=UTC)
RUN = Run(
    plan=Plan((REFINE, TRAIN, PUSH)),
    started=STARTED,
    seconds=4.0,
    done=(Done(REFINE, REFINED, STARTED, 1.5),),
    failures=(Failed(PUSH, StoreError("Redis does not answer"), STARTED, 0.5),),
)


@pytest.fixture(scope="module")
def place(disk: Environment) -> Environment:
    redis = RedisSpec(url="redis://someone:secret@127.0.0.1:1/0")
    return disk.model_copy(update={"namespace": "t_record", "clock": "data", "redis": redis})


@pytest.fixture(scope="module")
def work(
    spark: SparkSession, place: Environment, tmp_path_factory: pytest.TempPathFactory
) -> Workplace:
    lake = small_lake(spark, place, tmp_path_factory.mktemp("small"))
    store, experiments = OnlineStore.of(place), Experiments.of(place)
    return Workplace(lake.graph, place, lake.tables, store, experiments, list[str]().append)


def test_every_step_of_the_plan_has_its_outcome(work: Workplace) -> None:
    outcomes = [step.outcome for step in make_record(RUN, work).steps]
    assert outcomes == [Outcome.DONE, Outcome.NOT_DUE, Outcome.FAILED]


def test_a_step_after_the_failed_one_was_not_reached(work: Workplace) -> None:
    later = replace(PUSH, name="online last_payment", view="last_payment")
    run = replace(RUN, plan=Plan((*RUN.plan.steps, later)))
    assert make_record(run, work).steps[-1].outcome is Outcome.NOT_REACHED


def test_rows_of_a_refine_step_add_up(work: Workplace) -> None:
    step = make_record(RUN, work).steps[0]
    assert (step.rows_in, step.rows_out) == (20, 15)
    assert step.note == "2 quarantined, 3 duplicates"


def test_reasons_name_their_table(work: Workplace) -> None:
    reasons = make_record(RUN, work).reasons
    assert reasons == (Reason("silver.transactions", "amount:between", 2),)


def test_the_error_of_a_failed_run_is_kept_and_no_data_are_read(work: Workplace) -> None:
    record = make_record(RUN, work)
    assert (record.failure, record.volumes) == ("Redis does not answer", ())


def test_volumes_count_every_row_of_silver_by_its_day(work: Workplace) -> None:
    [daily] = make_record(replace(RUN, failures=()), work).volumes
    stored = work.tables.read("silver", "transactions").count()
    assert (sum(day.rows for day in daily.days), len(daily.days)) == (stored, DAYS)
    assert all(0 < (day.share or 0) < 1 for day in daily.days)


def test_a_run_without_steps_reads_no_data_and_is_idle(work: Workplace) -> None:
    record = make_record(Run(Plan((TRAIN,)), RUN.started, 0.1, ()), work)
    assert record.idle
    assert record.volumes == ()


def test_places_show_no_password(work: Workplace) -> None:
    shown = " ".join(place.where for place in make_record(RUN, work).places)
    assert "redis://127.0.0.1:1/0" in shown
    assert "secret" not in shown

"""What a finished run did, as the plain values that the report is made from.

The one new look at data is rows a day of the tables that models learn from: a bounded result.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import assert_never
from urllib.parse import urlsplit

from pyspark.sql import functions as F

from feldspar.compute.expressions.spark import column
from feldspar.features.gold import FeaturesResult
from feldspar.graph.graph import Model
from feldspar.graph.steps import Status, Step, TrainStep
from feldspar.ingest.generate import GenerateResult
from feldspar.ingest.result import IngestResult
from feldspar.monitor.quality import QualityResult
from feldspar.names import EVENT_TIME
from feldspar.online.push import PushResult
from feldspar.refine.history import HistoryResult
from feldspar.refine.table import RefineResult
from feldspar.report.page import PAGE
from feldspar.report.record import (
    AsideRecord,
    BrokenExpectation,
    DailyVolume,
    Day,
    LearnerScore,
    Outcome,
    Place,
    Reason,
    RunRecord,
    StepRecord,
    TrainingSummary,
)
from feldspar.run.counts import counts_of
from feldspar.run.execute import Done, Run
from feldspar.run.workplace import Workplace
from feldspar.times import from_micros
from feldspar.training.result import TrainingResult

DAYS_SHOWN = 400
"""The report's days end at the clock; older ones are not read."""

_NOT_RUN = {
    Status.NOTHING: Outcome.NOTHING,
    Status.OFF: Outcome.OFF,
    Status.BLOCKED: Outcome.BLOCKED,
    Status.RUN: Outcome.NOT_REACHED,
}


def make_record(run: Run, work: Workplace) -> RunRecord:
    """The record of a run, failed or not."""
    clock = work.clock()
    results = [done.result for done in run.done]
    record = RunRecord(
        started=run.started,
        seconds=run.seconds,
        environment=work.environment.name,
        namespace=work.environment.namespace,
        clock=from_micros(clock) if clock else None,
        clock_rule=work.environment.clock,
        steps=tuple(_steps(run)),
        failure="" if run.failure is None else str(run.failure),
        reasons=tuple(
            Reason(f"silver.{one.table}", reason, rows)
            for one in results
            if isinstance(one, RefineResult)
            for reason, rows in one.reasons
        ),
        set_aside=tuple(
            AsideRecord(one.source, aside.file.uri, aside.error)
            for one in results
            if isinstance(one, IngestResult)
            for aside in one.set_aside
        ),
        broken_expectations=tuple(
            BrokenExpectation(one.table, broken.expectation, broken.column, broken.detail)
            for one in results
            if isinstance(one, QualityResult)
            for broken in one.failed
        ),
        trainings=tuple(_training(one) for one in results if isinstance(one, TrainingResult)),
        volumes=tuple(_volumes(work, clock)) if run.done and run.failure is None else (),
    )
    return _with_places(record, run, work)


def _steps(run: Run) -> Iterator[StepRecord]:
    done = {one.step: one for one in run.done}
    failed = {one.step for one in run.failures}
    for step in run.plan.steps:
        if step in done:
            yield _done(done[step])
        elif step in failed:
            yield StepRecord(step.verb, step.name, Outcome.FAILED, note=step.reason)
        elif (outcome := _outcome(step)) is Outcome.NOT_REACHED:
            yield StepRecord(step.verb, step.name, outcome)
        else:
            yield StepRecord(step.verb, step.name, outcome, note=step.reason)


def _outcome(step: Step) -> Outcome:
    if isinstance(step, TrainStep) and step.status is Status.NOTHING:
        return Outcome.NOT_DUE
    return _NOT_RUN[step.status]


def _done(done: Done) -> StepRecord:
    step = done.step
    if done.result is None:
        outcome = Outcome.NOT_DUE if isinstance(step, TrainStep) else Outcome.NOTHING
        return StepRecord(step.verb, step.name, outcome, seconds=done.seconds, note=done.note)
    counts = counts_of(done.result)
    return StepRecord(
        step.verb,
        step.name,
        Outcome.DONE,
        rows_in=counts.rows_in,
        rows_out=counts.rows_out,
        seconds=done.seconds,
        note=_note(done),
    )


def _note(done: Done) -> str:
    """What else than rows read and written is worth a word."""
    match done.result:
        case None | GenerateResult():
            return done.note
        case IngestResult() as one:
            aside = {"set aside": len(one.set_aside)}
            return _phrases({"files": one.files, **aside, "rows left": one.left})
        case RefineResult() as one:
            return _phrases({"quarantined": one.quarantined, "duplicates": one.duplicates})
        case HistoryResult() | FeaturesResult() as one:
            return _changed(one)
        case QualityResult() as one:
            return f"{len(one.findings) - len(one.failed)} of {len(one.findings)} met"
        case TrainingResult() as one:
            return f"version {one.version}"
        case PushResult() as one:
            return _phrases({"entities as new already": one.skipped})
        case _ as never:
            assert_never(never)


def _changed(one: HistoryResult | FeaturesResult) -> str:
    if isinstance(one, HistoryResult):
        return _phrases({"removed": one.removed})
    return f"added {', '.join(one.backfilled)}" if one.backfilled else ""


def _phrases(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{number:,} {what}" for what, number in counts.items() if number)


def _training(one: TrainingResult) -> TrainingSummary:
    return TrainingSummary(
        model=one.model,
        chosen=one.chosen,
        optimised=one.decision.metric,
        learners=tuple(
            LearnerScore(other.learner, other.score, other.trials) for other in one.learners
        ),
        metrics=one.metrics.as_floats(),
        promoted=one.decision.promoted,
        decision=one.decision.reason,
        version=one.version,
        run_id=one.run_id,
        window=one.periods.get("test", ""),
        precision_recall=one.curves.precision_recall,
        calibration=one.curves.calibration,
        importance=one.curves.importance,
    )


def _volumes(work: Workplace, clock: int) -> Iterator[DailyVolume]:
    seen = set()
    for model in work.graph.models.values():
        name = model.spec.spine
        if name not in seen and work.tables.exists("silver", name):
            seen.add(name)
            yield _volume(model, work, clock)


def _volume(model: Model, work: Workplace, clock: int) -> DailyVolume:
    name = model.spec.spine
    label = column(model.label, work.graph.table(name).types()).cast("double")
    first = from_micros(clock) - timedelta(days=DAYS_SHOWN)
    rows = (
        work.tables.read("silver", name)
        .where(F.col(EVENT_TIME) >= F.lit(first))
        .groupBy(F.to_date(EVENT_TIME).alias("day"))
        .agg(F.count(F.lit(1)).alias("rows"), F.avg(label).alias("share"))
        .orderBy("day")
        .collect()
    )
    days = tuple(Day(row["day"], row["rows"], row["share"]) for row in rows)
    return DailyVolume(f"silver.{name}", model.spec.label, days)


def _with_places(record: RunRecord, run: Run, work: Workplace) -> RunRecord:
    environment = work.environment
    state = environment.state_folder.relative_to(environment.folder)
    places = [
        Place("this run", str(state / "runs" / record.key / PAGE)),
        Place("models, in MLflow", _shown(environment.mlflow.tracking_uri)),
    ]
    docs = [one.result.docs for one in run.done if isinstance(one.result, QualityResult)]
    places += [Place("Data Docs", docs[-1])] if docs else []
    places += [
        Place("features, in Redis", _shown(environment.redis.url)),
        Place("tables", 'feldspar show tables; feldspar query "select * from ops.ledger"'),
        Place("scores", "feldspar serve"),
    ]
    return replace(record, places=tuple(places))


def _shown(url: str) -> str:
    """An address without user, password and query."""
    parts = urlsplit(url)
    if not parts.netloc:
        return f"{parts.scheme}:{parts.path}"
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"

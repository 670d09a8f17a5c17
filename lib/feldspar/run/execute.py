"""Carries out a plan: the same frozen steps that ``feldspar plan`` shows, in the same order.

One ``match`` over the kinds of steps; each hands a stage its parts. A step that fails stops the
run: what was committed stays, and the next plan goes on from there.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby
from typing import Any

from feldspar.errors import FeldsparError
from feldspar.features.gold import FeaturesResult, build_view
from feldspar.graph.graph import Source
from feldspar.graph.steps import (
    FeaturesStep,
    GenerateStep,
    IngestStep,
    OnlineStep,
    Plan,
    QualityStep,
    RefineStep,
    Step,
    TrainStep,
)
from feldspar.ingest.files import ingest_files
from feldspar.ingest.generate import GenerateResult, generate
from feldspar.ingest.result import IngestResult
from feldspar.monitor.quality import QualityResult, check_table
from feldspar.online.push import PushResult, push
from feldspar.refine.table import RefineResult, refine_table
from feldspar.run.failures import told_clearly
from feldspar.run.workplace import Workplace
from feldspar.spec.source import FilesSource, GeneratorSource
from feldspar.stores import deployed
from feldspar.times import from_micros, utc_now
from feldspar.training.result import TrainingResult
from feldspar.training.run import train

Result = (
    GenerateResult
    | IngestResult
    | RefineResult
    | FeaturesResult
    | QualityResult
    | TrainingResult
    | PushResult
)


SIDE_BY_SIDE = 3
"""How many lanes of steps run at once: most of a small step is waiting for commits."""
FINISHING = ("quality", "online", "train")
"""Kinds that only read gold: none waits for another."""
LONGEST_FIRST = {"train": -2, "quality": -1}


@dataclass(frozen=True)
class Done:
    """One executed step: what came of it, in how many seconds; ``note`` where it did nothing."""

    step: Step
    result: Result | None
    seconds: float
    note: str = ""


@dataclass(frozen=True)
class _Failed:
    step: Step
    error: FeldsparError


@dataclass(frozen=True)
class Run:
    """A plan and how far it was carried out; ``failure`` ended it early."""

    plan: Plan
    started: datetime
    seconds: float
    done: tuple[Done, ...]
    failed: Step | None = None
    failure: FeldsparError | None = None


def execute(plan: Plan, work: Workplace) -> Run:
    """Carries out the steps that run, kind by kind, until one fails.

    A failure is part of the returned run, so that what was done is reported; the caller raises
    it afterwards. Steps of one kind that do not build on each other share the machine.
    """
    started, begun = utc_now(), time.monotonic()
    done: list[Done] = []
    failure: _Failed | None = None
    for _, alike in groupby(plan.to_run, key=_phase):
        for lanes in _waves(list(alike)):
            finished, failure = _side_by_side(lanes, work)
            done.extend(finished)
            if failure is not None:
                break
        if failure is not None:
            break
    failed, error = (failure.step, failure.error) if failure else (None, None)
    seconds = time.monotonic() - begun
    return Run(plan, started, seconds, tuple(done), failed=failed, failure=error)


def _phase(step: Step) -> str:
    return "finish" if step.verb in FINISHING else step.verb


def _waves(steps: list[Step]) -> Iterator[list[list[Step]]]:
    """Lanes of steps to run together; within a lane one step follows the other.

    Suites share one folder of files and models one machine: each kind is one lane. While tables
    are made the first lane goes ahead alone: it creates the tables that all share.
    """
    lanes: dict[str, list[Step]] = {}
    for step in sorted(steps, key=lambda step: LONGEST_FIRST.get(step.verb, 0)):
        key = step.verb if step.verb in LONGEST_FIRST else step.name
        lanes.setdefault(key, []).append(step)
    first, *others = lanes.values()
    if _phase(steps[0]) == "finish":
        yield [first, *others]
        return
    yield [first]
    if others:
        yield others


def _side_by_side(lanes: list[list[Step]], work: Workplace) -> tuple[list[Done], _Failed | None]:
    """Runs lanes in threads; the steps done, and the first failure in order of the lanes."""
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        outcomes = list(pool.map(lambda lane: _in_order(lane, work), lanes))
    done = [one for finished, _ in outcomes for one in finished]
    return done, next((failure for _, failure in outcomes if failure is not None), None)


def _in_order(lane: list[Step], work: Workplace) -> tuple[list[Done], _Failed | None]:
    done: list[Done] = []
    for step in lane:
        before = time.monotonic()
        work.say(f"{step.verb} {step.name}: {step.reason}")
        try:
            with told_clearly(f"{step.verb} {step.name}", log=work.log):
                result, note = _carried_out(step, work)
        except FeldsparError as error:
            return done, _Failed(step, error)
        seconds = time.monotonic() - before
        work.say(f"{step.verb} {step.name}: {note or 'done'} in {seconds:.1f} s")
        done.append(Done(step, result, seconds, note))
    return done, None


def _carried_out(step: Step, work: Workplace) -> tuple[Result | None, str]:
    match step:
        case GenerateStep():
            source = _source(work, step.source, GeneratorSource)
            root = work.environment.folder
            return generate(step, source, root=root, progress=work.say), ""
        case IngestStep():
            return _ingest(step, work)
        case RefineStep():
            table = work.graph.table(step.table)
            now = utc_now()
            return refine_table(step, table, tables=work.tables, now=now, progress=work.say), ""
        case FeaturesStep():
            view = work.graph.view(step.view)
            table = work.graph.table(view.table)
            return build_view(step, view, table, tables=work.tables, progress=work.say), ""
        case QualityStep():
            folder = work.environment.state_folder / "quality" / work.environment.namespace
            result = check_table(
                step,
                work.graph,
                tables=work.tables,
                folder=folder,
                now=utc_now(),
                progress=work.say,
            )
            return result, ""
        case TrainStep():
            return _train(step, work)
        case OnlineStep():
            return _push(step, work), ""
        case _:
            raise FeldsparError(f"{type(step).__name__} is no step this version can carry out")


def _source(work: Workplace, name: str, kind: type[Any]) -> Any:
    source: Source = work.graph.sources[name]
    if not isinstance(source, kind):
        raise FeldsparError(f"source {name} is {type(source).__name__}, not {kind.__name__}")
    return source


def _ingest(step: IngestStep, work: Workplace) -> tuple[Result | None, str]:
    source: FilesSource = _source(work, step.source, FilesSource)
    if not step.files and not step.resume:
        # made by an earlier step of this run: list them now
        files, _ = deployed.waiting_files(step.source, source, environment=work.environment)
        if not files:
            return None, "no files were made"
        step = replace(step, files=files)
    return ingest_files(step, work.tables, now=utc_now(), progress=work.say), ""


def _train(step: TrainStep, work: Workplace) -> tuple[Result | None, str]:
    clock = work.clock()
    if step.due_from is not None and clock < step.due_from:
        return None, f"not due before {from_micros(step.due_from):%Y-%m-%d}"
    model = work.graph.model(step.model)
    table = work.graph.table(model.spec.spine)
    result = train(
        model, table, work.tables, experiments=work.experiments, clock=clock, progress=work.say
    )
    return result, ""


def _push(step: OnlineStep, work: Workplace) -> PushResult:
    return push(
        work.graph.view(step.view),
        tables=work.tables,
        store=work.store,
        after=step.after,
        generation=step.generation,
        clock=work.clock(),
        progress=work.say,
    )

"""Carries out a plan: the same frozen steps that ``feldspar plan`` shows.

A step starts when what it reads is there; steps that do not read each other run side by side. One
``match`` over the kinds of steps hands each stage its parts. A step that fails stops the run: what
was committed stays, and the next plan goes on from there.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from feldspar.errors import FeldsparError
from feldspar.features.gold import FeaturesResult, build_view
from feldspar.graph.order import needs
from feldspar.graph.steps import (
    FeaturesStep,
    GenerateStep,
    HistoryStep,
    IngestStep,
    OnlineStep,
    Plan,
    QualityStep,
    RefineStep,
    Step,
    TrainStep,
)
from feldspar.ingest.generate import GenerateResult, generate
from feldspar.ingest.result import IngestResult
from feldspar.monitor.quality import QualityResult, check_table
from feldspar.online.push import PushResult, push
from feldspar.refine.history import HistoryResult, keep_history
from feldspar.refine.table import RefineResult, refine_table
from feldspar.run.care import care_for
from feldspar.run.failures import told_clearly
from feldspar.run.loads import Loader
from feldspar.run.workplace import Workplace
from feldspar.spec.source import GeneratorSource
from feldspar.times import from_micros, utc_now
from feldspar.training.result import TrainingResult
from feldspar.training.run import train

Result = (
    GenerateResult
    | IngestResult
    | RefineResult
    | HistoryResult
    | FeaturesResult
    | QualityResult
    | TrainingResult
    | PushResult
)


SIDE_BY_SIDE = 3
"""How many steps run at once: most of a small step is waiting for commits."""
ALONE_OF_ITS_KIND = ("quality", "train")
"""Suites share one folder of files, and trainings one memory."""
_FIRST = ("generate", "ingest", "refine", "train", "features", "history", "online", "quality")
"""Of the steps that may start: what all others wait for, then what takes longest."""


@dataclass(frozen=True)
class Done:
    """One executed step: what came of it, in how many seconds; ``note`` where it did nothing."""

    step: Step
    result: Result | None
    started: datetime
    seconds: float
    note: str = ""


@dataclass(frozen=True)
class Failed:
    """One step that failed, after how many seconds."""

    step: Step
    error: FeldsparError
    started: datetime
    seconds: float


@dataclass(frozen=True)
class Run:
    """A plan and how far it was carried out; the first of ``failures`` ended it early."""

    plan: Plan
    started: datetime
    seconds: float
    done: tuple[Done, ...]
    failures: tuple[Failed, ...] = ()

    @property
    def failure(self) -> FeldsparError | None:
        """The error that ended it; None where all was carried out."""
        return self.failures[0].error if self.failures else None


def execute(plan: Plan, work: Workplace) -> Run:
    """Carries out the steps that run, each as soon as what it reads is there, until one fails.

    A failure is part of the returned run, so that what was done is reported; the caller raises
    it afterwards. Steps that run beside a failing one are finished; no other is begun.
    """
    started, begun = utc_now(), time.monotonic()
    schedule = _Schedule(needs(plan.to_run, work.graph))
    done: list[Done] = []
    failures: list[Failed] = []
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        running: dict[Future[Done | Failed], Step] = {}
        while True:
            for step in () if failures else schedule.start():
                running[pool.submit(_outcome, step, work)] = step
            if not running:
                break
            finished, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                schedule.finish(running.pop(future))
                outcome = future.result()
                failures += [outcome] if isinstance(outcome, Failed) else []
                done += [outcome] if isinstance(outcome, Done) else []
    return Run(plan, started, time.monotonic() - begun, tuple(done), tuple(failures))


class _Schedule:
    """Which steps may start: those whose needs are done, as many as run side by side."""

    def __init__(self, waits_for: Mapping[Step, frozenset[Step]]) -> None:
        self._waits_for = waits_for
        self._waiting = sorted(waits_for, key=lambda step: _FIRST.index(step.verb))
        self._running: set[Step] = set()

    def start(self) -> Iterator[Step]:
        """The steps to start now, which then run."""
        for step in tuple(self._waiting):
            if len(self._running) < SIDE_BY_SIDE and self._may_start(step):
                self._waiting.remove(step)
                self._running.add(step)
                yield step

    def finish(self, step: Step) -> None:
        """A running step has ended."""
        self._running.remove(step)

    def _may_start(self, step: Step) -> bool:
        if step.verb in ALONE_OF_ITS_KIND and any(one.verb == step.verb for one in self._running):
            return False
        return self._waits_for[step].isdisjoint((*self._waiting, *self._running))


def _outcome(step: Step, work: Workplace) -> Done | Failed:
    started, before = utc_now(), time.monotonic()
    what = f"{step.verb} {step.name}"
    work.say(f"{what}: {step.reason}")
    try:
        with work.running.step(step, started=started), told_clearly(what, log=work.log):
            work.care.before(step)
            result, note = _carried_out(step, work)
            if result is not None:
                work.care.after(step, lambda: _care(step, work))
    except FeldsparError as error:
        return Failed(step, error, started, time.monotonic() - before)
    seconds = time.monotonic() - before
    work.say(f"{what}: {note or 'done'} in {seconds:.1f} s")
    return Done(step, result, started, seconds, note)


def _care(step: Step, work: Workplace) -> None:
    care_for(step, work.graph, work.tables, progress=work.say)


def _carried_out(step: Step, work: Workplace) -> tuple[Result | None, str]:
    match step:
        case GenerateStep():
            source = _source(work, step.source, GeneratorSource)
            root = work.environment.folder
            return generate(step, source, root=root, progress=work.say), ""
        case IngestStep():
            loader = Loader(work.environment, work.tables, utc_now(), work.say)
            return loader.load(step, work.graph.sources[step.source])
        case RefineStep() | HistoryStep():
            return _refined(step, work), ""
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


def _refined(step: RefineStep | HistoryStep, work: Workplace) -> RefineResult | HistoryResult:
    table = work.graph.table(step.table)
    if isinstance(step, HistoryStep):
        return keep_history(step, table, tables=work.tables, progress=work.say)
    return refine_table(step, table, tables=work.tables, now=utc_now(), progress=work.say)


def _source(work: Workplace, name: str, kind: type[Any]) -> Any:
    source = work.graph.sources[name]
    if not isinstance(source, kind):
        raise FeldsparError(f"source {name} is {type(source).__name__}, not {kind.__name__}")
    return source


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

"""Trains one model: training set, search, evaluation, registration, decision.

Nothing is registered before the figures are known, and the training counts only when its
decision is written (``stores.experiments``): a run that is killed trains anew.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from feldspar.compute.scoring import probabilities
from feldspar.errors import InputError
from feldspar.graph.compile import label_delay
from feldspar.graph.graph import Model, Table
from feldspar.stores.experiments import Champion, Experiments
from feldspar.stores.tables.spark import SparkTables
from feldspar.training.evaluate import Metrics, constant_baseline, curves, measure, metric_of
from feldspar.training.fit import learners as flavours
from feldspar.training.gathering import Gathered, gather
from feldspar.training.periods import Periods, split
from feldspar.training.promote import Decision, Incumbent, decide
from feldspar.training.registration import NAMES, Judged, as_result, register
from feldspar.training.result import TrainingResult
from feldspar.training.rows import TEST
from feldspar.training.samples import Progress, Sample, Samples, by_period
from feldspar.training.tune import SearchResult, search


@dataclass
class _Stopwatch:
    """Seconds of the parts of a training."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        started = time.monotonic()
        yield
        self.seconds[name] = round(time.monotonic() - started, 2)


def train(
    model: Model,
    table: Table,
    tables: SparkTables,
    *,
    experiments: Experiments,
    clock: int,
    progress: Progress,
) -> TrainingResult:
    """Trains, judges and registers a model, and decides whether it becomes champion.

    Args:
        model: the definition.
        table: the silver table it learns from.
        tables: the lake.
        experiments: where runs and models go.
        clock: the cut, UTC microseconds: nothing known later is used.
        progress: told one line at a time.

    Raises:
        InputError: a period holds no rows, or one class only.
        UnreachableError: MLflow does not answer.
    """
    watch = _Stopwatch()
    experiments.probe()
    periods = split(clock, model.spec.periods, delay=label_delay(model, table))
    with watch.part("training set"):
        gathered = gather(
            model,
            table,
            tables,
            periods=periods,
            name=model.name,
            max_rows=model.spec.max_rows,
            progress=progress,
        )
    samples = by_period(gathered.sample, periods)
    _check(samples, periods)
    if told := gathered.shares.told():
        progress(told)
    with watch.part("search"):
        found = _search(model, samples, progress)
    with watch.part("fit and evaluate"):
        judged = _judged(
            model, samples, periods, found=found, gathered=gathered, experiments=experiments
        )
    with watch.part("register"):
        logged = register(judged, experiments)
    progress(f"{model.name} version {logged.version}: {judged.decision.reason}")
    return as_result(judged, logged, watch.seconds)


def _check(samples: Samples, periods: Periods) -> None:
    """Every period needs rows of both classes."""
    for name in NAMES:
        sample: Sample = getattr(samples, name)
        if not 0 < sample.positives < len(sample):
            span = getattr(periods, name)
            text = (
                f"period {name!r} ({span}) has {len(sample)} rows with known labels, "
                f"{sample.positives} of them true"
            )
            hint = "both classes are needed: load more history, or change the model's periods"
            raise InputError(text, hint=hint)


def _search(model: Model, samples: Samples, progress: Progress) -> SearchResult:
    spec = model.spec
    progress(
        f"search: {len(samples.search):,} rows to fit, {len(samples.validate):,} to validate, "
        f"{spec.search.budget.total_seconds():.0f} s or {spec.search.max_trials} trials"
    )
    return search(
        spec.learners,
        samples.search,
        samples.validate,
        spec=spec.search,
        metric=spec.optimise,
        progress=progress,
    )


def _judged(
    model: Model,
    samples: Samples,
    periods: Periods,
    *,
    found: SearchResult,
    gathered: Gathered,
    experiments: Experiments,
) -> Judged:
    best, test = found.best, samples.test
    estimator = flavours.fit(
        best.learner, best.parameters, samples.fit, seed=model.spec.search.seed
    )
    scores = probabilities(estimator, test.features)
    complete = gathered.shares.complete(TEST)
    metrics = measure(test, scores, span=periods.test, complete=complete)
    return Judged(
        model=model,
        periods=periods,
        samples=samples,
        gathered=gathered,
        found=found,
        estimator=estimator,
        metrics=metrics,
        curves=curves(estimator, test, scores, metric=model.spec.optimise),
        decision=_decision(model, test, metrics, experiments=experiments),
    )


def _decision(
    model: Model, test: Sample, metrics: Metrics, *, experiments: Experiments
) -> Decision:
    metric = model.spec.optimise
    champion = experiments.champion(model.name)
    return decide(
        metric,
        metrics.of(metric),
        incumbent=None if champion is None else _incumbent(champion, model, test),
        baseline=constant_baseline(metric, test.prevalence),
        margin=model.spec.promote_margin,
    )


def _incumbent(champion: Champion, model: Model, test: Sample) -> Incumbent:
    lacks = tuple(name for name in champion.inputs if name not in test.features.columns)
    if lacks:
        return Incumbent(champion.version, None, lacks)
    scores = probabilities(champion.estimator, test.features[list(champion.inputs)].to_numpy())
    return Incumbent(champion.version, metric_of(model.spec.optimise, test, scores))

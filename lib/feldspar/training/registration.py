"""Writes a finished training down: run, artefacts, model version, alias, and last the decision."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from feldspar.graph.graph import Model
from feldspar.stores.experiments import Experiments, Logged, TrainingRecord
from feldspar.training.evaluate import Curves, Metrics, as_json
from feldspar.training.gathering import Gathered
from feldspar.training.periods import Periods
from feldspar.training.plots import draw
from feldspar.training.promote import Decision
from feldspar.training.result import LearnerScore, TrainingResult
from feldspar.training.samples import Samples
from feldspar.training.tune import SearchResult

NAMES = ("search", "validate", "fit", "test")
_EXAMPLE_ROWS = 5


@dataclass(frozen=True, eq=False)
class Judged:
    """A model that was chosen, fitted and measured, and what was decided about it."""

    model: Model
    periods: Periods
    samples: Samples
    gathered: Gathered
    found: SearchResult
    estimator: Any
    metrics: Metrics
    curves: Curves
    decision: Decision


def register(judged: Judged, experiments: Experiments) -> Logged:
    """Logs the run and the version; the decision is written last, and completes the training."""
    model, decision = judged.model, judged.decision
    logged = experiments.log_training(
        TrainingRecord(
            model=model.name,
            cut=judged.periods.cut,
            definition=model.definition,
            estimator=judged.estimator,
            example=judged.samples.test.features.head(_EXAMPLE_ROWS),
            params=_params(judged),
            metrics=_figures(judged),
            files=_files(judged),
        )
    )
    if decision.promoted:
        experiments.crown(model.name, logged.version)
    verdict = "promoted" if decision.promoted else "not promoted"
    experiments.conclude(model.name, logged.version, decision=f"{verdict}: {decision.reason}")
    return logged


def as_result(judged: Judged, logged: Logged, seconds: Mapping[str, float]) -> TrainingResult:
    """What the summary and the report are told."""
    named = {name: getattr(judged.samples, name) for name in NAMES}
    best = judged.found.best
    return TrainingResult(
        model=judged.model.name,
        service=judged.model.service.name,
        cut=judged.periods.cut,
        periods=_spans(judged),
        rows={name: len(sample) for name, sample in named.items()},
        positives={name: sample.positives for name, sample in named.items()},
        sampled=judged.gathered.shares.told(),
        learners=_learners(judged.found),
        chosen=best.learner,
        parameters=best.parameters,
        metrics=judged.metrics,
        curves=judged.curves,
        decision=judged.decision,
        manifest=judged.gathered.manifest,
        table=judged.gathered.version,
        run_id=logged.run_id,
        version=logged.version,
        seconds=dict(seconds),
    )


def _params(judged: Judged) -> dict[str, str]:
    best = judged.found.best
    parameters = {f"{best.learner}.{key}": str(value) for key, value in best.parameters.items()}
    return {"learner": best.learner, **parameters, **_spans(judged)}


def _figures(judged: Judged) -> dict[str, float]:
    decision = judged.decision
    figures = {f"test_{name}": one for name, one in judged.metrics.as_floats().items()}
    for one in _learners(judged.found):
        figures[f"validate_{one.learner}_{decision.metric}"] = one.score
    figures["baseline"] = decision.baseline
    if decision.champion is not None:
        figures["champion_on_same_window"] = decision.champion
    return figures


def _files(judged: Judged) -> dict[str, bytes]:
    documents: dict[str, object] = {
        "manifest.json": json.loads(judged.gathered.manifest.as_json()),
        "curves.json": as_json(judged.metrics, judged.curves),
        "trials.json": [asdict(trial) for trial in judged.found.trials],
        "decision.json": asdict(judged.decision),
    }
    files = {name: json.dumps(one, indent=1).encode() for name, one in documents.items()}
    return {**files, **draw(judged.metrics, judged.curves)}


def _spans(judged: Judged) -> dict[str, str]:
    return {name: str(getattr(judged.periods, name)) for name in NAMES}


def _learners(found: SearchResult) -> tuple[LearnerScore, ...]:
    """Each learner's best, best first."""
    scores = []
    for name in dict.fromkeys(trial.learner for trial in found.trials):
        mine = [trial for trial in found.trials if trial.learner == name]
        best = found.best_of(name)
        spent = sum(trial.seconds for trial in mine)
        scores.append(LearnerScore(name, len(mine), best.score, spent, best.parameters))
    return tuple(sorted(scores, key=lambda one: -one.score))

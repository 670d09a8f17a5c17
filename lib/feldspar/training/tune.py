"""Searches learners and hyperparameters within a budget; the only module that knows hyperopt.

Every learner is tried at least once, its first guess first; the budget then decides how many
more trials follow. Equal seeds and numbers of trials give equal results.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, assert_never

import numpy as np
from hyperopt import JOB_STATE_DONE, STATUS_OK, Trials, fmin, hp, tpe
from hyperopt.fmin import generate_trial

from feldspar.compute.scoring import probabilities
from feldspar.spec.model import Learner, SearchSpec
from feldspar.training.evaluate import Metric, metric_of
from feldspar.training.fit import learners as flavours
from feldspar.training.fit.space import LogUniform, OneOf, Parameters, Range, Value, Whole
from feldspar.training.samples import Progress, Sample

_LEARNER = "learner"
_RANDOM_TRIALS = 8
"""Drawn before TPE models anything; its own default of 20 would be our whole budget."""


@dataclass(frozen=True)
class Trial:
    """One model that was fitted and judged on the validation period."""

    number: int
    learner: Learner
    parameters: Parameters
    score: float
    seconds: float


@dataclass(frozen=True)
class SearchResult:
    """All trials, in order."""

    trials: tuple[Trial, ...]

    @property
    def best(self) -> Trial:
        """The highest score; of equals the earliest."""
        return max(self.trials, key=lambda trial: trial.score)

    def best_of(self, learner: Learner) -> Trial:
        """The highest score of one learner."""
        mine = (trial for trial in self.trials if trial.learner == learner)
        return max(mine, key=lambda trial: trial.score)


def search(
    names: Sequence[Learner],
    train: Sample,
    validate: Sample,
    *,
    spec: SearchSpec,
    metric: Metric,
    progress: Progress,
) -> SearchResult:
    """Fits on ``train``, judges on ``validate``, until the budget or the trials are used up.

    Raises:
        InputError: a period holds one class only.
    """
    done: list[Trial] = []

    def objective(point: dict[str, Any]) -> dict[str, Any]:
        trial = _try(point, train, validate, number=len(done) + 1, seed=spec.seed, metric=metric)
        done.append(trial)
        leading = "  best so far" if trial is SearchResult(tuple(done)).best else ""
        text = f"trial {trial.number}  {trial.learner}  {metric} {trial.score:.4f}"
        progress(f"{text}  {trial.seconds:.1f} s{leading}")
        return {"loss": -trial.score, "status": STATUS_OK}

    started = time.monotonic()
    first = [objective({"name": name, "parameters": dict(flavours.first(name))}) for name in names]
    left = spec.budget.total_seconds() - (time.monotonic() - started)
    if left > 0 and spec.max_trials > len(names):
        fmin(
            objective,
            hp.choice(_LEARNER, [_branch(name) for name in names]),
            algo=partial(tpe.suggest, n_startup_jobs=_RANDOM_TRIALS),
            trials=_as_trials(names, first),
            max_evals=spec.max_trials,
            timeout=left,
            rstate=np.random.default_rng(spec.seed),
            return_argmin=False,
            show_progressbar=False,
            verbose=False,
        )
    return SearchResult(tuple(done))


def _try(
    point: dict[str, Any],
    train: Sample,
    validate: Sample,
    *,
    number: int,
    seed: int,
    metric: Metric,
) -> Trial:
    name: Learner = point["name"]
    ranges = flavours.space(name)
    parameters = {key: _plain(ranges[key], one) for key, one in point["parameters"].items()}
    started = time.monotonic()
    model = flavours.fit(name, parameters, train, seed=seed)
    score = metric_of(metric, validate, probabilities(model, validate.features))
    return Trial(number, name, parameters, score, seconds=time.monotonic() - started)


def _plain(one: Range, value: Any) -> Value:
    """Whole numbers are drawn as floats."""
    return int(value) if isinstance(one, Whole) else value


def _branch(name: Learner) -> dict[str, Any]:
    ranges = flavours.space(name).items()
    return {"name": name, "parameters": {key: _draw(f"{name}.{key}", one) for key, one in ranges}}


def _draw(label: str, one: Range) -> Any:
    match one:
        case LogUniform(low, high):
            return hp.loguniform(label, np.log(low), np.log(high))
        case Whole(low, high, step):
            return hp.quniform(label, low, high, step)
        case OneOf(values):
            return hp.choice(label, list(values))
        case _:
            assert_never(one)


def _as_trials(names: Sequence[Learner], results: Sequence[dict[str, Any]]) -> Trials:
    """Each learner's first guess as a finished trial that the search goes on from.

    Every document names every dimension, those of other branches empty: the TPE model needs that.
    """
    labels = [f"{name}.{key}" for name in names for key in flavours.space(name)]
    trials = Trials()
    numbers = trials.new_trial_ids(len(names))
    for number, name, result in zip(numbers, names, results, strict=True):
        document = generate_trial(number, {_LEARNER: names.index(name), **_first_point(name)})
        for part in ("idxs", "vals"):
            named = document["misc"][part]
            document["misc"][part] = {label: [] for label in (_LEARNER, *labels)} | named
        trials.insert_trial_doc({**document, "state": JOB_STATE_DONE, "result": result})
    trials.refresh()
    return trials


def _first_point(name: Learner) -> dict[str, Any]:
    """Values as hyperopt stores them: a choice by its index."""
    ranges, point = flavours.space(name), {}
    for key, value in flavours.first(name).items():
        one = ranges[key]
        point[f"{name}.{key}"] = one.values.index(value) if isinstance(one, OneOf) else value
    return point

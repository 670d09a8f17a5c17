"""The learners by name: their search space, first guess, and how one is fitted.

A new one is a module beside this, a name in ``spec.model`` and a case here.
"""

from __future__ import annotations

from typing import assert_never

from sklearn.pipeline import Pipeline

from feldspar.compute.scoring import one_thread
from feldspar.errors import InputError
from feldspar.spec.model import Learner
from feldspar.training.fit import boosting, forest, logistic
from feldspar.training.fit.space import Parameters, Space
from feldspar.training.samples import Sample


def space(learner: Learner) -> Space:
    """What can be searched of a learner."""
    match learner:
        case "logistic":
            return logistic.SPACE
        case "forest":
            return forest.SPACE
        case "boosting":
            return boosting.SPACE
        case _:
            assert_never(learner)


def first(learner: Learner) -> Parameters:
    """What is tried first of a learner."""
    match learner:
        case "logistic":
            return logistic.FIRST
        case "forest":
            return forest.FIRST
        case "boosting":
            return boosting.FIRST
        case _:
            assert_never(learner)


def _build(learner: Learner, parameters: Parameters, *, seed: int) -> Pipeline:
    match learner:
        case "logistic":
            return logistic.build(parameters, seed=seed)
        case "forest":
            return forest.build(parameters, seed=seed)
        case "boosting":
            return boosting.build(parameters, seed=seed)
        case _:
            assert_never(learner)


def fit(learner: Learner, parameters: Parameters, sample: Sample, *, seed: int) -> Pipeline:
    """A fitted pipeline that reads ``sample.features`` by name.

    Raises:
        InputError: the rows hold one class only.
    """
    if not 0 < sample.positives < len(sample):
        text = f"{len(sample)} rows to learn from, {sample.positives} with the label true"
        raise InputError(text, hint="both classes are needed: longer periods, or more data")
    pipeline = _build(learner, parameters, seed=seed)
    with one_thread():
        pipeline.fit(sample.features, sample.label, model__sample_weight=sample.weight)
    if "n_jobs" in pipeline.named_steps["model"].get_params():
        # threads add up a forest's votes in any order: one gives the same sum every time
        pipeline.set_params(model__n_jobs=1)
    return pipeline

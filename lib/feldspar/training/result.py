"""What a training was and what came of it: for the summary, the report and the run's artefacts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from feldspar.spec.model import Learner
from feldspar.training.evaluate import Curves, Metrics
from feldspar.training.fit.space import Parameters
from feldspar.training.manifest import Manifest
from feldspar.training.promote import Decision


@dataclass(frozen=True)
class LearnerScore:
    """The best trial of one learner on the validation period."""

    learner: Learner
    trials: int
    score: float
    seconds: float
    parameters: Parameters


@dataclass(frozen=True)
class TrainingResult:
    """One training.

    Attributes:
        model: name in conf/models.
        service: whose features it reads.
        cut: the clock of the training, UTC microseconds.
        periods: name of a period to its days in words.
        rows: name of a period to its rows.
        positives: name of a period to its rows with a true label.
        sampled: what was left out of the rows, in words; empty where nothing was.
        learners: each learner's best, best first.
        chosen: the learner that was fitted again and registered.
        parameters: its hyperparameters.
        metrics: on the test period.
        curves: data of plots, on the test period.
        decision: about the alias champion.
        manifest: of the training set.
        table: version of ``training.<model>`` that holds it.
        run_id: of MLflow.
        version: in the model registry.
        seconds: of each part.
    """

    model: str
    service: str
    cut: int
    periods: Mapping[str, str]
    rows: Mapping[str, int]
    positives: Mapping[str, int]
    sampled: str
    learners: tuple[LearnerScore, ...]
    chosen: Learner
    parameters: Parameters
    metrics: Metrics
    curves: Curves
    decision: Decision
    manifest: Manifest
    table: int
    run_id: str
    version: str
    seconds: Mapping[str, float]

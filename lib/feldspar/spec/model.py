"""A model: which service, which label, how it is searched, judged, promoted and renewed."""

from typing import Literal

from pydantic import Field

from feldspar.spec.definition import Definition, Duration

Learner = Literal["logistic", "forest", "boosting"]


class SearchSpec(Definition):
    """How hyperparameters are chosen, on time-ordered validation."""

    engine: Literal["hyperopt"] = "hyperopt"
    budget: Duration
    max_trials: int = Field(default=30, ge=1)
    seed: int = 7


class PeriodsSpec(Definition):
    """Lengths, newest last: train | label delay | validate | label delay | test | label delay."""

    train: Duration
    validate_: Duration = Field(alias="validate")
    test: Duration


class ModelSpec(Definition):
    """A classifier of one service."""

    service: str
    spine: str = Field(description="silver table whose rows (keys, time, label) are learnt from")
    label: str = Field(description="boolean expression over the spine table")
    label_delay: Duration | None = Field(
        default=None,
        description="time until a label is surely known; default: known_after of its columns",
    )
    learners: tuple[Learner, ...]
    search: SearchSpec
    periods: PeriodsSpec
    optimise: Literal["average_precision", "auc"]
    max_rows: int = Field(default=400_000, ge=1_000, description="training rows held in memory")
    promote_margin: float = Field(
        default=0.0, description="how much better than the champion on the same test window"
    )
    card_column: str | None = Field(
        default=None, description="column that card precision@100 ranks, e.g. customer_id"
    )
    answer: Literal["probability", "credit_score"] = Field(
        default="probability",
        description="what a score answers: P(label), or a credit score of 300 to 850 made of it",
    )
    write_back: str | None = Field(
        default=None,
        # where answers go changes nothing of the model
        exclude=True,
        description="source with 'push: true' that every score is entered in, as it is answered",
    )
    retrain: Duration = Field(description="due when the clock is this far past the last cut")
    description: str = ""

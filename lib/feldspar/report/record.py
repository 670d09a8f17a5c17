"""What one run did, as plain values that the summary and the page are made from.

A record holds figures only, no connections and no secrets; ``run.record`` fills it. It is kept as
JSON beside the page, for programs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from enum import Enum
from typing import Any


class Outcome(Enum):
    """What became of a step."""

    DONE = "done"
    FAILED = "failed"
    NOTHING = "nothing to do"
    NOT_DUE = "not due"
    OFF = "off"
    BLOCKED = "blocked"
    NOT_REACHED = "not reached"


@dataclass(frozen=True)
class StepRecord:
    """One step of the plan; rows and seconds are None where the step did not run.

    ``rows_in`` are rows read, ``rows_out`` rows (for Redis: entities) written.
    """

    verb: str
    name: str
    outcome: Outcome
    rows_in: int | None = None
    rows_out: int | None = None
    seconds: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Reason:
    """Why rows of a table were quarantined; a row with two reasons counts under both."""

    table: str
    reason: str
    rows: int


@dataclass(frozen=True)
class AsideRecord:
    """A file that could not be read, and why."""

    source: str
    file: str
    error: str


@dataclass(frozen=True)
class BrokenExpectation:
    """An expectation that a finished table does not meet."""

    table: str
    expectation: str
    column: str
    detail: str


@dataclass(frozen=True)
class LearnerScore:
    """The best validation score of a learner within the search budget."""

    learner: str
    score: float
    trials: int


@dataclass(frozen=True)
class TrainingSummary:
    """One model that was trained.

    Attributes:
        model: name in conf/models.
        chosen: the learner that won on validation.
        optimised: the figure that learners are compared by.
        learners: every learner that was tried, best first.
        metrics: figures on the test window.
        promoted: whether it is the champion now.
        decision: why, in words.
        version: in the registry.
        run_id: of MLflow.
        window: the test window, in words.
        precision_recall: (recall, precision), recall rising.
        calibration: (mean probability, share of true labels, weight) per bin.
        importance: (feature, loss when its column is shuffled), greatest first.
    """

    model: str
    chosen: str
    optimised: str
    learners: tuple[LearnerScore, ...]
    metrics: Mapping[str, float]
    promoted: bool
    decision: str
    version: str
    run_id: str
    window: str = ""
    precision_recall: tuple[tuple[float, float], ...] = ()
    calibration: tuple[tuple[float, float, float], ...] = ()
    importance: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class Day:
    """What happened on a day; ``share`` of its rows has the label true, None: no label known."""

    day: date
    rows: int
    share: float | None


@dataclass(frozen=True)
class DailyVolume:
    """A table's rows day by day, oldest first, and the label of the model that learns from it."""

    table: str
    label: str
    days: tuple[Day, ...]


@dataclass(frozen=True)
class Place:
    """Where something can be looked at."""

    what: str
    where: str


@dataclass(frozen=True)
class RunRecord:
    """One run; times are UTC."""

    started: datetime
    seconds: float
    environment: str
    namespace: str
    clock: datetime | None
    clock_rule: str
    """``wall`` or ``data``."""
    steps: tuple[StepRecord, ...]
    failure: str = ""
    """The error that ended the run early; empty where there was none."""
    reasons: tuple[Reason, ...] = ()
    set_aside: tuple[AsideRecord, ...] = ()
    broken_expectations: tuple[BrokenExpectation, ...] = ()
    trainings: tuple[TrainingSummary, ...] = ()
    volumes: tuple[DailyVolume, ...] = ()
    places: tuple[Place, ...] = field(default=())

    @property
    def key(self) -> str:
        """Names the run: its start in UTC, e.g. ``20181001T120000Z``."""
        return f"{self.started:%Y%m%dT%H%M%SZ}"

    @property
    def done(self) -> tuple[StepRecord, ...]:
        """Steps that were carried out."""
        return tuple(step for step in self.steps if step.outcome is Outcome.DONE)

    @property
    def idle(self) -> bool:
        """Whether there was nothing to do."""
        return not self.done and not self.failure


def as_json(record: RunRecord) -> str:
    """The record as one JSON document; times in ISO 8601."""
    return json.dumps({"run": record.key, **asdict(record)}, indent=2, default=_plain) + "\n"


def _plain(value: Any) -> Any:
    match value:
        case datetime() | date():
            return value.isoformat()
        case Enum():
            return value.value
    raise TypeError(f"{type(value).__name__} has no form in JSON")

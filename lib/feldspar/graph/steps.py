"""The steps a run is made of: frozen values that plan, explain and apply all read.

Each says what it does, whether it runs, and why. A step that does not run is listed too,
so that "nothing to do" is visible rather than assumed.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from feldspar.errors import PlanBlockedError
from feldspar.graph.observed import Asking, ColumnRange, Messages, WaitingFile


class Status(Enum):
    """What happens to a step."""

    RUN = "run"
    NOTHING = "nothing to do"
    OFF = "off"
    BLOCKED = "blocked"


class Mode(Enum):
    """How a table is brought up to date."""

    APPEND = "append"
    BACKFILL = "backfill"
    REBUILD = "rebuild"


@dataclass(frozen=True)
class Step:
    """One step. ``name`` is what it makes, e.g. ``silver.transactions``."""

    name: str
    status: Status
    reason: str

    @property
    def verb(self) -> str:
        """The kind of step in one word, as in jobs/ and the console."""
        return type(self).__name__.removesuffix("Step").lower()

    @property
    def runs(self) -> bool:
        """Whether it is to be executed."""
        return self.status is Status.RUN


@dataclass(frozen=True)
class GenerateStep(Step):
    """Writes the example's files."""

    source: str


@dataclass(frozen=True)
class IngestStep(Step):
    """source -> bronze: takes exactly these files, messages or rows; ``batch`` numbers the load."""

    source: str
    files: tuple[WaitingFile, ...]
    batch: int
    resume: bool
    """Bronze has committed this load but the list of what was loaded has not: only complete it."""
    messages: Messages | None = None
    range: ColumnRange | None = None
    asking: Asking | None = None
    """Pages are asked for first, and then loaded with ``files``."""


@dataclass(frozen=True)
class RefineStep(Step):
    """bronze -> silver, from after version ``after`` (None: from the start) up to ``upto``.

    ``upto`` is None when an earlier step of this plan is still to write the source; the newest
    version is then taken when the step starts. A number means an interrupted batch is finished
    with the same bounds first.
    """

    table: str
    after: int | None
    upto: int | None
    mode: Mode
    generation: int


@dataclass(frozen=True)
class HistoryStep(Step):
    """silver -> history of one table, from after version ``after`` of silver (None: all of it)."""

    table: str
    after: int | None
    mode: Mode
    generation: int
    source_generation: int


@dataclass(frozen=True)
class FeaturesStep(Step):
    """silver -> gold of one view; ``columns`` are those a backfill adds."""

    view: str
    after: int | None
    mode: Mode
    columns: tuple[str, ...]
    generation: int
    source_generation: int


@dataclass(frozen=True)
class QualityStep(Step):
    """Holds a finished silver or gold table against its expectations."""

    layer: str
    table: str


@dataclass(frozen=True)
class TrainStep(Step):
    """Training set, search, evaluation, registration, promotion of one model."""

    model: str
    due_from: int | None
    """Clock (microseconds) from which training is due; None: at once."""


@dataclass(frozen=True)
class OnlineStep(Step):
    """gold -> Redis; ``after`` None pushes every entity."""

    view: str
    after: int | None
    generation: int


@dataclass(frozen=True)
class Plan:
    """The whole list, in order of execution."""

    steps: tuple[Step, ...]

    @property
    def to_run(self) -> tuple[Step, ...]:
        """Steps that will be executed."""
        return tuple(step for step in self.steps if step.runs)

    @property
    def blocked(self) -> tuple[Step, ...]:
        """Steps that wait for --accept."""
        return tuple(step for step in self.steps if step.status is Status.BLOCKED)

    def refuse_blocked(self) -> None:
        """Stops before anything runs when a change waits for --accept.

        Raises:
            PlanBlockedError: names every blocked step and its reason.
        """
        if self.blocked:
            lines = "\n".join(f"{step.name}: {step.reason}" for step in self.blocked)
            hint = "see: feldspar plan --accept; then: feldspar apply --accept"
            raise PlanBlockedError(lines, hint=hint)

    def of(self, *verbs: str) -> Plan:
        """Only the steps of some kinds, e.g. for a job that runs a single stage."""
        return Plan(tuple(step for step in self.steps if step.verb in verbs))


VERBS = tuple(kind.__name__.removesuffix("Step").lower() for kind in Step.__subclasses__())
"""Every kind of step in one word, in the order of a run."""

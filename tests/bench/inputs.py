"""What a rival is given: where the Parquet files lie and how their columns are named.

Plain data that travels as JSON between the harness and the process of a rival; nothing here needs
more than the standard library, because a rival may live in an environment of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

ROW, ENTITY, TIME, KNOWN = "row_id", "entity_id", "event_timestamp", "known_time"
DAY_MICROS = 86_400_000_000
WINDOW_DAYS = (1, 7, 30)


@dataclass(frozen=True)
class View:
    """One feature view: a folder of Parquet files with ENTITY, TIME, KNOWN and its features."""

    name: str
    folder: str
    features: tuple[str, ...]


@dataclass(frozen=True)
class PitData:
    """A spine (ROW, ENTITY, TIME) and the views that are joined to it."""

    name: str
    spine: str
    views: tuple[View, ...]
    ttl_days: int

    @property
    def ttl_micros(self) -> int:
        return self.ttl_days * DAY_MICROS

    @property
    def features(self) -> tuple[str, ...]:
        """All features in the order of the output."""
        return tuple(name for view in self.views for name in view.features)

    @property
    def key(self) -> str:
        """The column by which answers are compared."""
        return ROW

    @property
    def answers(self) -> tuple[str, ...]:
        """The columns that are compared."""
        return self.features


@dataclass(frozen=True)
class PaymentData:
    """Payments: transaction_id, tx_datetime, customer_id, amount, one or more files."""

    name: str
    events: str

    @property
    def key(self) -> str:
        """The column by which answers are compared."""
        return "transaction_id"

    @property
    def answers(self) -> tuple[str, ...]:
        """Number and mean amount of the customer's payments in each window."""
        return tuple(f"{what}_{days}d" for days in WINDOW_DAYS for what in ("count", "avg"))


@dataclass(frozen=True)
class CheckData:
    """Rows that rules are checked on: a folder of Parquet files; see checks_rules.py."""

    name: str
    events: str

    @property
    def key(self) -> str:
        """The column by which answers are compared: the place of a rule in the list of rules."""
        return "rule"

    @property
    def answers(self) -> tuple[str, ...]:
        """How many rows fail the rule."""
        return ("rows",)


Inputs = PitData | PaymentData | CheckData


@dataclass(frozen=True)
class Settings:
    """What every rival is started with.

    Attributes:
        cores: threads that it may use.
        memory: heap of a Spark driver, such as ``6g``.
        folder: scratch space of its own.
        options: of this rival alone.
    """

    cores: int
    memory: str
    folder: str
    options: Mapping[str, str] = field(default_factory=dict)


def as_document(data: Inputs) -> dict[str, Any]:
    """The JSON value that ``from_document`` reads."""
    return {"kind": type(data).__name__, **asdict(data)}


def from_document(document: Mapping[str, Any]) -> Inputs:
    """What ``as_document`` was given.

    >>> from_document(as_document(PaymentData("small", "payments.parquet")))
    PaymentData(name='small', events='payments.parquet')
    """
    values = {name: value for name, value in document.items() if name != "kind"}
    for kind in (PaymentData, CheckData):
        if document["kind"] == kind.__name__:
            return kind(**values)
    views = tuple(View(v["name"], v["folder"], tuple(v["features"])) for v in values.pop("views"))
    return PitData(**values, views=views)

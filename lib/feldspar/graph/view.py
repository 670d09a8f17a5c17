"""Views as engines need them: every feature resolved, typed and named.

Specs say what a user wrote; these values say what it means. Made by ``graph.compile``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from typing import Literal

from feldspar.names import REQUEST, feature_column, online_name
from feldspar.spec.definition import Timing
from feldspar.spec.service import ServedLogSpec
from feldspar.spec.syntax import Expression
from feldspar.spec.types import ColumnType

Number = int | float


@dataclass(frozen=True)
class GoldColumn:
    """A column of the gold table: the value of an expression over a silver row."""

    name: str
    expression: Expression
    type: ColumnType


@dataclass(frozen=True)
class Aggregate:
    """A windowed feature: a function of one gold column (None: of the events themselves).

    Attributes:
        hop: edges are rounded down to multiples of it; zero: exact.
        parameter: which of the first or last, from 1, or which quantile.
        by: gold column of the groups of which one is meant.
        place: which of the greatest groups, from 1.
        gives: of that group its value, or the group itself.
    """

    name: str
    function: str
    argument: str | None
    window: timedelta
    default: Number | None
    type: ColumnType
    hop: timedelta = timedelta(0)
    parameter: Number | None = None
    by: str | None = None
    place: int = 1
    gives: Literal["value", "group"] = "value"


@dataclass(frozen=True)
class PlainFeature:
    """A feature that is a gold column, with what stands for null."""

    name: str
    default: Number | None
    type: ColumnType


@dataclass(frozen=True)
class Derived:
    """A feature that is an expression over other features, named ``view.feature``."""

    view: str
    name: str
    expression: Expression
    type: ColumnType

    @property
    def reference(self) -> str:
        """How expressions name it."""
        return f"{self.view}.{self.name}"

    @property
    def inputs(self) -> frozenset[str]:
        """References it reads."""
        return self.expression.columns


@dataclass(frozen=True)
class OnDemand:
    """A view computed by a function at request time."""

    view: str
    hook: str
    inputs: tuple[str, ...]
    outputs: tuple[tuple[str, ColumnType], ...]


@dataclass(frozen=True)
class TableView:
    """What plain and windowed views share."""

    name: str
    entity: str
    keys: tuple[str, ...]
    table: str
    event_key: tuple[str, ...]
    columns: tuple[GoldColumn, ...]
    derived: tuple[Derived, ...]
    serving_delay: timedelta
    definition: str
    """Canonical JSON of all that decides a value."""
    freshness: timedelta | None = field(default=None, kw_only=True)
    """How old the newest event may be at most."""
    trigger: Timing | None = field(default=None, kw_only=True)
    """How often a stream brings it up to date at most; None: each round."""
    cost: float | None = field(default=None, kw_only=True)
    """Share of the time that its steps may take at most."""

    @cached_property
    def online_name(self) -> str:
        """What it is called in Redis: another definition has another name."""
        return online_name(self.name, self.definition)


@dataclass(frozen=True)
class PlainView(TableView):
    """The newest row of an entity within its ttl."""

    features: tuple[PlainFeature, ...]
    ttl: timedelta | None

    def feature_types(self) -> dict[str, ColumnType]:
        """Name to type of the stored features."""
        return {feature.name: feature.type for feature in self.features}


@dataclass(frozen=True)
class WindowedView(TableView):
    """Aggregates over events; gold holds the events."""

    aggregates: tuple[Aggregate, ...]
    delay: timedelta
    request_event: Literal["include", "exclude"]

    def feature_types(self) -> dict[str, ColumnType]:
        """Name to type of the folded features."""
        return {aggregate.name: aggregate.type for aggregate in self.aggregates}

    @property
    def retention(self) -> timedelta:
        """How far back of T an event can matter: N + d + h."""
        return max(one.window + one.hop for one in self.aggregates) + self.delay


View = PlainView | WindowedView
Computation = Derived | OnDemand


@dataclass(frozen=True)
class OutputColumn:
    """A feature of a service, as models see it."""

    name: str
    reference: str
    type: ColumnType


@dataclass(frozen=True)
class Service:
    """A service with everything it needs, in the order it is computed.

    ``request`` are the columns a request brings (the event's, or just the keys); ``views``
    are read, then ``computations`` run in order, then ``outputs`` are picked.
    """

    name: str
    entities: tuple[str, ...]
    keys: tuple[str, ...]
    event: str | None
    request: tuple[tuple[str, ColumnType], ...]
    views: tuple[View, ...]
    computations: tuple[Computation, ...]
    outputs: tuple[OutputColumn, ...]
    definition: str
    fallback: Literal["missing"] | None = None
    """What is answered while Redis is away; None: nothing."""
    served_log: ServedLogSpec = field(default=ServedLogSpec(), kw_only=True)
    """What is kept of its answers; no part of what decides them."""


def derived_column(derived: Derived) -> str:
    """The frame column of a derived feature."""
    return feature_column(derived.view, derived.name)


def reference_types(service: Service) -> dict[str, ColumnType]:
    """``view.feature`` and ``request.column`` to type, of everything a service can compute with."""
    types = {f"{REQUEST}.{name}": kind for name, kind in service.request}
    for view in service.views:
        types.update({f"{view.name}.{name}": kind for name, kind in view.feature_types().items()})
    for computation in service.computations:
        match computation:
            case Derived():
                types[computation.reference] = computation.type
            case OnDemand(view=view_name, outputs=outputs):
                types.update({f"{view_name}.{name}": kind for name, kind in outputs})
    return types

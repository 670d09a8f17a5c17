"""Feature views: plain columns, windowed aggregates, or a function at request time.

Windowed features are named ``<feature>_<window>``; with a single ``window:`` the name stays
as written. What a value means is fixed by docs/time-and-windows.md.
"""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator

from feldspar.spec.definition import Cost, Definition, Duration, Freshness, Names, OrShort, Trigger
from feldspar.spec.syntax import Scalar
from feldspar.spec.types import ColumnType

ZERO = "0s"


class FeatureSpec(Definition):
    """One feature: an expression over a row, or an aggregate such as ``avg(amount)``."""

    value: str
    windows: tuple[Duration, ...] | None = None
    window: Duration | None = Field(default=None, description="one window; the name has no suffix")
    default: float | int | None = Field(default=None, description="in place of null")
    where: str | None = Field(default=None, description="only rows for which this holds")
    by: str | None = Field(
        default=None, description="one feature for each of 'values', or of the 'top' groups"
    )
    values: tuple[Scalar, ...] | None = Field(
        default=None, description="values of 'by'; each is part of a feature's name"
    )
    top: int | None = Field(
        default=None, ge=1, le=20, description="how many of the greatest groups of 'by'"
    )
    description: str = ""

    @model_validator(mode="after")
    def _one_spelling(self) -> "FeatureSpec":
        if self.window is not None and self.windows is not None:
            raise ValueError("give 'window' or 'windows', not both")
        if (self.values is None) == (self.top is None) and self.by is not None:
            raise ValueError("'by' goes with either 'values' or 'top'")
        if self.by is None and (self.values is not None or self.top is not None):
            raise ValueError("'values' and 'top' need 'by', what the groups are by")
        return self


def _feature(value: Any) -> Any:
    return {"value": value} if isinstance(value, str) else value


Feature = Annotated[FeatureSpec, BeforeValidator(_feature), OrShort("string")]


def _columns_as_features(value: Any) -> Any:
    return {name: name for name in value} if isinstance(value, list | tuple) else value


Features = Annotated[
    dict[str, Feature],
    BeforeValidator(_columns_as_features),
    OrShort("array", items="string"),
]


class TableViewSpec(Definition):
    """What plain and windowed views share: one entity, one table."""

    entity: str
    from_: str = Field(alias="from", description="silver table")
    features: Features
    derive: dict[str, str] = Field(
        default_factory=dict,
        description="expressions over features of this view, or view.feature of the same entity",
    )
    serving_delay: Duration = Field(
        default=ZERO,
        validate_default=True,
        description="time a row needs from arrival to Redis",
    )
    description: str = ""
    freshness: Freshness = None
    trigger: Trigger = None
    cost: Cost = None


class PlainViewSpec(TableViewSpec):
    """The newest row of the entity, if it is not older than ttl."""

    ttl: Duration | None = Field(
        default=None, description="inclusive; without it rows never expire"
    )


def _one_or_each(value: Any) -> str:
    return "each" if isinstance(value, dict) else "one"


Hop = Annotated[
    Annotated[Duration, Tag("one")] | Annotated[dict[str, Duration], Tag("each")],
    Discriminator(_one_or_each),
]


class WindowedViewSpec(TableViewSpec):
    """Aggregates over the last N of time, exact at both edges unless there is a hop."""

    windows: tuple[Duration, ...]
    delay: Duration = Field(
        default=ZERO,
        validate_default=True,
        description="shifts every window back, e.g. by the time labels need",
    )
    hop: Hop | None = Field(
        default=None,
        description="edges are rounded down to multiples of it; or window to hop",
    )
    request_event: Literal["include", "exclude"] = Field(
        description="whether the event being scored is folded into its own windows"
    )


class OnDemandViewSpec(Definition):
    """One pure function over the request and other features, the same offline and online."""

    on_demand: str = Field(
        pattern=r"^[\w.]+:\w+$", description="module:function over a pandas frame"
    )
    inputs: Names = Field(description="request.<column> or <view>.<feature>")
    features: dict[str, ColumnType]
    description: str = ""


def _kind(value: Any) -> str:
    match value:
        case OnDemandViewSpec():
            return "on_demand"
        case WindowedViewSpec():
            return "windowed"
        case dict() if "on_demand" in value:
            return "on_demand"
        case dict() if {"windows", "request_event", "delay"} & value.keys():
            return "windowed"
        case _:
            return "plain"


ViewSpec = Annotated[
    Annotated[PlainViewSpec, Tag("plain")]
    | Annotated[WindowedViewSpec, Tag("windowed")]
    | Annotated[OnDemandViewSpec, Tag("on_demand")],
    Discriminator(_kind),
]

"""What all definitions share: frozen values, no unknown keys, durations as text.

A kind of its own has a module of its own (source, table, entity, view, service, model).
"""

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    PlainSerializer,
    ValidationInfo,
    WithJsonSchema,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from feldspar.errors import UsageError
from feldspar.times import format_duration, parse_duration


class Definition(BaseModel):
    """A frozen value read from YAML; a key that is not declared is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


@dataclass(frozen=True)
class OrShort:
    """Tells the JSON Schema of a type that a shorter spelling of it may be written too."""

    type: str
    items: str = ""

    def __get_pydantic_json_schema__(
        self, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """The short spelling beside the full one."""
        short: JsonSchemaValue = {"type": self.type}
        if self.items:
            short["items"] = {"type": self.items}
        return {"anyOf": [short, handler(core)]}


def _duration(value: Any) -> Any:
    if isinstance(value, int | float):
        raise ValueError(f"{value!r} names no unit\nwrite e.g. 90s, 5m, 1h, 7d or 2w")
    if not isinstance(value, str):
        return value
    try:
        return parse_duration(value)
    except UsageError as error:
        raise ValueError(f"{error.message}\n{error.hint}") from error


Duration = Annotated[
    timedelta,
    BeforeValidator(_duration),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema({"type": "string", "pattern": r"^\d+(s|m|h|d|w)$", "examples": ["7d", "5m"]}),
]


def _some_time(value: timedelta | None) -> timedelta | None:
    if value is not None and not value:
        raise ValueError("more than 0s is needed: a newest event is always a little old")
    return value


Freshness = Annotated[
    Duration | None,
    AfterValidator(_some_time),
    Field(description="how old the newest event may be at most, by the environment's clock"),
]


def _trigger(value: Any) -> Any:
    if not isinstance(value, str) or value in (BY_APPLY, AUTO):
        return value
    first, _, rest = value.partition(" ")
    if first != "every" or not rest:
        raise ValueError(f"{value!r} is no trigger\nwrite 'every 10m', 'auto' or 'apply'")
    return _duration(rest.strip())


BY_APPLY: Literal["apply"] = "apply"
AUTO: Literal["auto"] = "auto"
Timing = timedelta | Literal["apply", "auto"]
Trigger = Annotated[
    Timing | None,
    BeforeValidator(_trigger),
    Field(
        description="when a stream brings it up to date: 'every 10m' at most, 'auto': as often as "
        "freshness, cost and what past loads took call for, or 'apply': only feldspar apply does; "
        "without it, each round"
    ),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": r"^(apply|auto|every \d+(s|m|h|d|w))$",
            "examples": ["every 10m", "auto"],
        }
    ),
]
_SHARE = re.compile(r"^(\d+(?:\.\d+)?) ?%$")
_WHOLE = 100.0


def _share(value: Any) -> float | None:
    if value is None:
        return None
    found = _SHARE.match(value.strip()) if isinstance(value, str) else None
    if found is None or not 0 < float(found[1]) <= _WHOLE:
        raise ValueError(f"{value!r} is no share of the time\nwrite e.g. 5%, at most 100%")
    return float(found[1]) / _WHOLE


def _by_auto(value: float | None, info: ValidationInfo) -> float | None:
    if value is not None and info.data.get("trigger", AUTO) != AUTO:
        raise ValueError("only 'trigger: auto' keeps a cost limit\nadd it, or leave the limit out")
    return value


Cost = Annotated[
    float | None,
    BeforeValidator(_share),
    AfterValidator(_by_auto),
    PlainSerializer(lambda share: f"{share * _WHOLE:g}%", return_type=str, when_used="unless-none"),
    Field(description="share of the time that its steps may take at most, for 'trigger: auto'"),
    WithJsonSchema({"type": "string", "pattern": r"^\d+(\.\d+)? ?%$", "examples": ["5%"]}),
]


def one_or_many(value: Any) -> Any:
    """Reads ``a`` and ``[a, b]`` alike, as a tuple."""
    return (value,) if isinstance(value, str) else value


Names = Annotated[
    tuple[str, ...],
    BeforeValidator(one_or_many),
    OrShort("string"),
]

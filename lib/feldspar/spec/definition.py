"""What all definitions share: frozen values, no unknown keys, durations as text.

A kind of its own has a module of its own (source, table, entity, view, service, model).
"""

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
    if not isinstance(value, str) or value == BY_APPLY:
        return value
    first, _, rest = value.partition(" ")
    if first != "every" or not rest:
        raise ValueError(f"{value!r} is no trigger\nwrite 'every 10m', or 'apply'")
    return _duration(rest.strip())


BY_APPLY: Literal["apply"] = "apply"
Trigger = Annotated[
    timedelta | Literal["apply"] | None,
    BeforeValidator(_trigger),
    Field(
        description="when a stream brings it up to date: 'every 10m' at most, or 'apply': only "
        "feldspar apply does; without it, each round"
    ),
    WithJsonSchema(
        {"type": "string", "pattern": r"^(apply|every \d+(s|m|h|d|w))$", "examples": ["every 10m"]}
    ),
]


def one_or_many(value: Any) -> Any:
    """Reads ``a`` and ``[a, b]`` alike, as a tuple."""
    return (value,) if isinstance(value, str) else value


Names = Annotated[
    tuple[str, ...],
    BeforeValidator(one_or_many),
    OrShort("string"),
]

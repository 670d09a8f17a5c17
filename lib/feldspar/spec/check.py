"""What a row must fulfil to reach silver; the reason of a failure is data, not prose."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, WithJsonSchema

from feldspar.spec.definition import Definition


class NotNull(Definition):
    """The value is there."""

    kind: Literal["not_null"] = "not_null"


class Between(Definition):
    """low <= value <= high."""

    kind: Literal["between"] = "between"
    low: float
    high: float


class OneOf(Definition):
    """The value is one of a list."""

    kind: Literal["in"] = "in"
    values: tuple[str | int | float, ...]


class Matches(Definition):
    """The text matches a regular expression from start to end."""

    kind: Literal["matches"] = "matches"
    pattern: str


CheckSpec = NotNull | Between | OneOf | Matches
FORMS = "write not_null, {between: [low, high]}, {in: [a, b]} or {matches: 'pattern'}"


def _check(value: Any) -> Any:
    match value:
        case "not_null":
            return NotNull()
        case {"between": [low, high]} if len(value) == 1:
            return Between(low=low, high=high)
        case {"in": [*values]} if len(value) == 1:
            return OneOf(values=tuple(values))
        case {"matches": str(pattern)} if len(value) == 1:
            return Matches(pattern=pattern)
        case Definition():
            return value
    raise ValueError(f"{value!r} is no check\n{FORMS}")


def _checks(value: Any) -> Any:
    many = value if isinstance(value, list | tuple) else [value]
    return tuple(_check(one) for one in many)


def _written(kind: str, argument: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {kind: argument},
        "required": [kind],
        "additionalProperties": False,
    }


_WRITTEN: dict[str, Any] = {
    "anyOf": [
        {"const": "not_null"},
        _written(
            "between",
            {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2},
        ),
        _written("in", {"type": "array", "items": {"type": ["string", "number"]}}),
        _written("matches", {"type": "string"}),
    ]
}

Checks = Annotated[
    tuple[CheckSpec, ...],
    BeforeValidator(_checks),
    WithJsonSchema({"anyOf": [_WRITTEN, {"type": "array", "items": _WRITTEN}]}),
]

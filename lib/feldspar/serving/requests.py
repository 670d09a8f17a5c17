"""What a request may say: pydantic models made from the graph, so that OpenAPI shows real columns.

Types are strict: "12" is no number, an instant without a zone is refused, an unknown field too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    create_model,
)
from pydantic.json_schema import WithJsonSchema

from feldspar.errors import UsageError
from feldspar.graph.graph import Graph
from feldspar.graph.view import Service
from feldspar.spec.types import BIGINT_MAX, BIGINT_MIN, INT_MAX, INT_MIN, ColumnType
from feldspar.times import EPOCH, parse_instant, to_micros

MOST_ROWS = 1_000
"""Entities or events of one request."""
BATCH_ROWS = 128
"""Of all requests that are answered together: longer ones would keep the others waiting."""
MOST_REASONS = 20
_EXAMPLES: Mapping[ColumnType, Any] = {
    ColumnType.BOOLEAN: True,
    ColumnType.INT: 1,
    ColumnType.BIGINT: 1,
    ColumnType.DOUBLE: 12.5,
    ColumnType.STRING: "online",
    ColumnType.TIMESTAMP: "2024-05-20T12:00:00Z",
    ColumnType.DATE: "2024-05-20",
}


def _instant(value: Any) -> datetime:
    if not isinstance(value, str):
        raise ValueError("an instant is ISO 8601 text with a zone, such as 2024-05-20T12:00:00Z")
    try:
        return parse_instant(value)
    except UsageError as error:
        raise ValueError(str(error)) from error


def _day(value: Any) -> date:
    if not isinstance(value, str):
        raise ValueError("a date is ISO 8601 text, such as 2024-05-20")
    return date.fromisoformat(value)


Instant = Annotated[
    datetime,
    BeforeValidator(_instant),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
_Day = Annotated[date, BeforeValidator(_day), WithJsonSchema({"type": "string", "format": "date"})]
_EVENT = "the row being scored"
_TYPES: Mapping[ColumnType, Any] = {
    ColumnType.BOOLEAN: Annotated[bool, Field(strict=True)],
    ColumnType.INT: Annotated[int, Field(strict=True, ge=INT_MIN, le=INT_MAX)],
    ColumnType.BIGINT: Annotated[int, Field(strict=True, ge=BIGINT_MIN, le=BIGINT_MAX)],
    ColumnType.DOUBLE: Annotated[float, Field(strict=True, allow_inf_nan=False)],
    ColumnType.STRING: Annotated[str, Field(strict=True)],
    ColumnType.TIMESTAMP: Instant,
    ColumnType.DATE: _Day,
}


class Request(BaseModel):
    """What every request may say."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    at: Instant | None = Field(
        default=None, description="T; default: the event's own time, else the environment's clock"
    )


class ScoreRequest(Request):
    """What a request for a score may say besides."""

    reasons: Annotated[int, Field(strict=True, ge=0, le=MOST_REASONS)] = Field(
        default=0, description="how many features that moved the score most are named"
    )


@dataclass(frozen=True)
class Question:
    """A checked request to one service.

    Attributes:
        service: its name.
        values: every column of ``Service.request``; timestamps in microseconds, dates in days.
        keys: the entity's key columns as they were sent, for look-up and answer.
        at: T in microseconds, None: decided by event or clock.
        scored: whether the champion is asked too.
        reasons: how many features that moved the score are named.
    """

    service: str
    values: Mapping[str, Any]
    keys: Mapping[str, Any]
    at: int | None
    scored: bool = False
    reasons: int = 0


def event_columns(graph: Graph, service: Service) -> tuple[str, str] | None:
    """The request's columns that name the event and say when it happened."""
    if service.event is None:
        return None
    table = graph.table(service.event)
    return table.spec.key[0], table.source.event_time


class RequestModels:
    """The pydantic models of a graph's services, so that OpenAPI says exactly what is accepted.

    Args:
        graph: says which columns there are.
        base: what else a request may say.
    """

    def __init__(self, graph: Graph, base: type[Request]) -> None:
        self._graph = graph
        self._base = base
        self._kind = "score" if issubclass(base, ScoreRequest) else "features"

    def any_of(self, services: Mapping[str, Service], *, default: str) -> Any:
        """One question to any of ``services``, told apart by their names.

        Args:
            services: by name.
            default: the service that is meant where none is named.
        """
        variants = {}
        for name, service in services.items():
            named = Field(default=name) if name == default else Field()
            fields = {"service": (Literal[name], named), **self._row(service)}
            example = _example(self._graph, service)
            if name != default:
                example = {"service": name, **example}
            variants[name] = self._model(f"any_{self._kind}_{name}", fields, example=example)
        return _one_of(variants, lambda sent: sent.get("service", default))

    def of(self, service: Service) -> Any:
        """One question to a service, or up to ``MOST_ROWS`` at once."""
        name = f"{service.name}_{self._kind}"
        example = _example(self._graph, service)
        one = self._model(name, self._row(service), example=example)
        row: Any = self._several(service)
        rows = Annotated[list[row], Field(min_length=1, max_length=MOST_ROWS)]
        key = several_field(service)
        shown = {key: [example.get("event", example)]}
        several = self._model(f"{name}_several", {key: (rows, ...)}, example=shown)
        return _one_of(
            {"one": one, "several": several}, lambda sent: "several" if key in sent else "one"
        )

    def _row(self, service: Service) -> dict[str, Any]:
        """The fields that say which row: the keys, or the event."""
        if service.event is not None:
            return {"event": (_event_model(self._graph, service), Field(description=_EVENT))}
        types = dict(service.request)
        return {key: (_TYPES[types[key]], ...) for key in service.keys}

    def _several(self, service: Service) -> type[BaseModel]:
        if service.event is not None:
            return _event_model(self._graph, service)
        config = ConfigDict(extra="forbid", frozen=True)
        return create_model(f"{service.name}_keys", __config__=config, **self._row(service))

    def _model(self, name: str, fields: Mapping[str, Any], *, example: Any) -> Any:
        model = create_model(name, __base__=self._base, **fields)
        model.model_config["json_schema_extra"] = {"examples": [example]}
        model.model_rebuild(force=True)
        return model


def several_field(service: Service) -> str:
    """The field of a request that brings several rows."""
    return "entities" if service.event is None else "events"


def questions(request: Request, service: Service, *, scored: bool) -> list[Question]:
    """What a valid request to one service asks, a question a row."""
    several = getattr(request, several_field(service)) if is_several(request, service) else None
    asked = _Asked.of(request, scored=scored)
    if service.event is None:
        rows = [request] if several is None else several
        return [
            asked.question(service, {key: getattr(one, key) for key in service.keys})
            for one in rows
        ]
    events = [_columns(request)["event"]] if several is None else several
    return [asked.question(service, _columns(one)) for one in events]


def is_several(request: Request, service: Service) -> bool:
    """Whether a request to one service brings a list, be it of one."""
    # pydantic looks long for what a model lacks, and makes an error of it
    return several_field(service) in request.model_fields_set


@dataclass(frozen=True)
class _Asked:
    """What holds for every question of a request."""

    at: int | None
    scored: bool
    reasons: int

    @staticmethod
    def of(request: Request, *, scored: bool) -> _Asked:
        at = None if request.at is None else to_micros(request.at)
        return _Asked(at, scored, request.reasons if isinstance(request, ScoreRequest) else 0)

    def question(self, service: Service, values: Mapping[str, Any]) -> Question:
        stored = {name: _stored(values.get(name)) for name, _ in service.request}
        keys = {key: values[key] for key in service.keys}
        return Question(service.name, stored, keys, self.at, self.scored, self.reasons)


def _columns(model: BaseModel) -> dict[str, Any]:
    return {name: getattr(model, name) for name in type(model).model_fields}


def _one_of(variants: Mapping[str, Any], which: Callable[[Any], Any]) -> Any:
    """A union whose variant is chosen before anything is checked: its errors are the only ones."""
    models = list(variants.values())
    if len(models) == 1:
        return models[0]
    tagged = [Annotated[model, Tag(name)] for name, model in variants.items()]
    union: Any = tagged[0]
    for one in tagged[1:]:
        union = union | one

    def tag(sent: Any) -> Any:
        return which(sent) if isinstance(sent, dict) else None

    words = ", ".join(variants)
    error = f"no such variant; there are: {words}"
    chosen = Discriminator(tag, custom_error_type="variant", custom_error_message=error)
    return Annotated[union, chosen]


def _event_model(graph: Graph, service: Service) -> type[BaseModel]:
    """The event's columns: keys, id and time must have a value, optional ones may be left out."""
    ident = event_columns(graph, service)
    never_null = {*service.keys, *(ident or ())}
    columns = graph.table(service.event or "").spec.columns
    fields: dict[str, Any] = {}
    for name, kind in service.request:
        if name in never_null:
            fields[name] = (_TYPES[kind], ...)
        else:
            default = None if columns[name].optional else ...
            fields[name] = (_TYPES[kind] | None, default)
    config = ConfigDict(extra="forbid", frozen=True)
    model: type[BaseModel] = create_model(f"{service.event}_event", __config__=config, **fields)
    return model


def _example(graph: Graph, service: Service) -> dict[str, Any]:
    values = {name: _EXAMPLES[kind] for name, kind in service.request}
    if service.event is None:
        return {key: values[key] for key in service.keys}
    columns = graph.table(service.event).spec.columns
    return {"event": {name: one for name, one in values.items() if not columns[name].optional}}


def _stored(value: Any) -> Any:
    """As expressions and the online store take it."""
    if isinstance(value, datetime):
        return to_micros(value.astimezone(UTC))
    if isinstance(value, date):
        return (value - EPOCH.date()).days
    return value

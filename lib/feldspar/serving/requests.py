"""What a request may say: pydantic models made from the graph, so that OpenAPI shows real columns.

Types are strict: "12" is no number, an instant without a zone is refused, an unknown field too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, create_model
from pydantic.json_schema import WithJsonSchema

from feldspar.errors import UsageError
from feldspar.graph.graph import Graph
from feldspar.graph.view import Service
from feldspar.spec.types import BIGINT_MAX, BIGINT_MIN, INT_MAX, INT_MIN, ColumnType
from feldspar.times import EPOCH, parse_instant, to_micros

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


@dataclass(frozen=True)
class Question:
    """A checked request to one service.

    Attributes:
        service: its name.
        values: every column of ``Service.request``; timestamps in microseconds, dates in days.
        keys: the entity's key columns as they were sent, for look-up and answer.
        at: T in microseconds, None: decided by event or clock.
    """

    service: str
    values: Mapping[str, Any]
    keys: Mapping[str, Any]
    at: int | None


def event_columns(graph: Graph, service: Service) -> tuple[str, str] | None:
    """The request's columns that name the event and say when it happened."""
    if service.event is None:
        return None
    table = graph.table(service.event)
    return table.spec.key[0], table.source.event_time


def request_model(graph: Graph, services: Mapping[str, Service], *, default: str) -> type[Request]:
    """One model for requests to any of ``services``: a service's event, or its keys.

    Args:
        graph: says which columns must be there.
        services: by name.
        default: the service that is meant where none is named.
    """
    names = tuple(services)
    fields: dict[str, Any] = {
        "service": (Literal[names], Field(default=default, description="which features or model"))
    }
    events: list[type[BaseModel]] = []
    for service in services.values():
        types = dict(service.request)
        if service.event is not None:
            events.append(_event_model(graph, service))
            continue
        for key in service.keys:
            kind = _TYPES[types[key]]
            fields[key] = (kind | None, Field(default=None, description=f"of {service.name}"))
    if events:
        union: Any = events[0]
        for one in events[1:]:
            union = union | one
        fields["event"] = (union | None, Field(default=None, description="the row being scored"))
    examples: Any = [_example(graph, service, default=default) for service in services.values()]
    config = ConfigDict(extra="forbid", frozen=True, json_schema_extra={"examples": examples})
    model: type[Request] = create_model("ServiceRequest", __base__=Request, **fields)
    model.model_config = {**Request.model_config, **config}
    model.model_rebuild(force=True)
    return model


def question(request: Request, services: Mapping[str, Service]) -> Question:
    """What a valid request asks.

    Raises:
        UsageError: keys where an event is needed, the other way round, or an incomplete key.
    """
    sent = {name: getattr(request, name) for name in type(request).model_fields}
    service = services[sent.pop("service")]
    at, event = sent.pop("at"), sent.pop("event", None)
    given = {name: value for name, value in sent.items() if value is not None}
    if service.event is None:
        values = _keys(service, given, event=event)
    else:
        values = _event(service, given, event=event)
    stored = {name: _stored(value) for name, value in values.items()}
    keys = {key: values[key] for key in service.keys}
    return Question(service.name, stored, keys, None if at is None else to_micros(at))


def _keys(service: Service, given: Mapping[str, Any], *, event: Any) -> dict[str, Any]:
    strange = [name for name in given if name not in service.keys]
    absent = [key for key in service.keys if key not in given]
    if event is not None or strange:
        what = "an event" if event is not None else strange[0]
        raise UsageError(f"{service.name} is asked by {', '.join(service.keys)}, not by {what}")
    if absent:
        raise UsageError(f"{service.name} needs {absent[0]}")
    return {name: given.get(name) for name, _ in service.request}


def _event(service: Service, given: Mapping[str, Any], *, event: Any) -> dict[str, Any]:
    if given:
        text = f"{service.name} is asked by an event; put {next(iter(given))} into it"
        raise UsageError(text)
    if event is None:
        raise UsageError(f"{service.name} needs the event to score: a row of {service.event}")
    values: dict[str, Any] = event.model_dump()
    unfit = set(values) ^ {name for name, _ in service.request}
    if unfit:
        raise UsageError(f"this event is none of {service.event}: {', '.join(sorted(unfit))}")
    return values


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


def _example(graph: Graph, service: Service, *, default: str) -> dict[str, Any]:
    named = {} if service.name == default else {"service": service.name}
    values = {name: _EXAMPLES[kind] for name, kind in service.request}
    if service.event is None:
        return {**named, **{key: values[key] for key in service.keys}}
    columns = graph.table(service.event).spec.columns
    needed = {name: value for name, value in values.items() if not columns[name].optional}
    return {**named, "event": needed}


def _stored(value: Any) -> Any:
    """As expressions and the online store take it."""
    if isinstance(value, datetime):
        return to_micros(value.astimezone(UTC))
    if isinstance(value, date):
        return (value - EPOCH.date()).days
    return value

"""The HTTP side: routes, status codes and metrics around a ``Backend``.

404: nothing is known of the entity. 422: the request is wrong. 503: Redis, the features or the
champion are not there; the body says which, and what to do.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import Body, FastAPI, Request, Response
from fastapi.responses import JSONResponse

from feldspar.errors import FeldsparError, StoreError, UsageError
from feldspar.graph.graph import Graph
from feldspar.graph.view import Service
from feldspar.serving.backend import Backend, Scored, Served, UnknownEntityError
from feldspar.serving.metrics import CONTENT_TYPE, Metrics
from feldspar.serving.recording import served_record
from feldspar.serving.replies import (
    FeaturesReply,
    Health,
    ScoreReply,
    features_reply,
    score_reply,
)
from feldspar.serving.requests import question, request_model
from feldspar.serving.served import ServedLog
from feldspar.serving.served_metrics import ServedLogCollector
from feldspar.times import to_micros, utc_now

_REFUSALS: dict[int | str, dict[str, Any]] = {
    404: {"description": "Nothing is known of this entity"},
    422: {"description": "The request is wrong; the body says where"},
    503: {"description": "Redis, its features or the champion are not there"},
}
_STATUS: tuple[tuple[type[FeldsparError], int], ...] = (
    (UnknownEntityError, 404),
    (UsageError, 422),
    (StoreError, 503),
    (FeldsparError, 500),
)
Call = Callable[[Request], Awaitable[Response]]


def create_app(backend: Backend) -> FastAPI:
    """The app of a backend; warm before it accepts requests, closed with it."""
    log = ServedLog(backend.graph, backend.environment)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        backend.warm_up()
        yield
        backend.close()
        log.close()

    app = FastAPI(
        title=f"Feldspar: {backend.graph.name}",
        description="Features and scores, the same numbers as in training and batch scoring.",
        lifespan=lifespan,
    )
    metrics = Metrics()
    metrics.register(ServedLogCollector(log))
    _add_errors(app)
    _add_metrics(app, metrics)
    _add_features(app, backend, metrics, log)
    _add_score(app, backend, metrics, log)
    _add_health(app, backend)
    return app


def scored_services(graph: Graph) -> dict[str, Service]:
    """Services that a model serves; asked by keys first, and the first one is the default."""
    found = [model.service for model in graph.models.values()]
    ordered = sorted(found, key=lambda service: service.event is not None)
    return {service.name: service for service in ordered}


def _log(log: ServedLog, answered: Served | Scored) -> None:
    now = to_micros(utc_now())
    log.add([served_record(answered, request_id=uuid.uuid4().hex, served_at=now)])


def _add_score(app: FastAPI, backend: Backend, metrics: Metrics, log: ServedLog) -> None:
    services = scored_services(backend.graph)
    if not services:
        return
    model: Any = request_model(backend.graph, services, default=next(iter(services)))

    def score(body: Any) -> ScoreReply:
        """The champion's answer for an entity, or for an event such as a payment."""
        scored = backend.score(question(body, services))
        metrics.missing(scored.served.question.service, scored.served.answer.missing)
        _log(log, scored)
        return score_reply(scored, backend.environment.clock)

    # the model is made at start: no annotation in the source can name it
    score.__annotations__["body"] = Annotated[model, Body()]
    app.post("/score", responses=_REFUSALS)(score)


def _add_features(app: FastAPI, backend: Backend, metrics: Metrics, log: ServedLog) -> None:
    services = dict(backend.graph.services)
    if not services:
        return
    default = next(iter(scored_services(backend.graph) or services))
    model: Any = request_model(backend.graph, services, default=default)

    def features(body: Any) -> FeaturesReply:
        """Every feature of a service for an entity or an event, at any T that Redis answers."""
        served = backend.features(question(body, services))
        metrics.missing(served.question.service, served.answer.missing)
        _log(log, served)
        return features_reply(served, backend.environment.clock)

    features.__annotations__["body"] = Annotated[model, Body()]
    app.post("/features", responses=_REFUSALS)(features)


def _add_health(app: FastAPI, backend: Backend) -> None:
    @app.get("/health", response_model=Health, responses={503: {"model": Health}})
    def health() -> JSONResponse:
        """Whether requests can be answered; 503 while Redis does not answer."""
        found = _health(backend)
        status = 503 if found.status == "unavailable" else 200
        return JSONResponse(found.model_dump(mode="json"), status)


def _health(backend: Backend) -> Health:
    environment, models = backend.environment, backend.champions()
    status, redis, clock, pushed = "ok", "ok", None, dict[str, bool]()
    try:
        clock, pushed = backend.pushed()
    except StoreError as error:
        status, redis = "unavailable", error.message
    views: dict[str, Any] = dict.fromkeys(backend.graph.views, "not pushed")
    for name, current in pushed.items():
        views[name] = "current" if current else "other definition"
    if status == "ok" and not (all(models.values()) and all(pushed.values()) and pushed):
        status = "degraded"
    return Health.model_validate(
        {
            "status": status,
            "environment": environment.name,
            "namespace": environment.namespace,
            "redis": redis,
            "clock": clock,
            "models": models,
            "views": views,
        }
    )


def _add_errors(app: FastAPI) -> None:
    def refuse(_: Request, error: Exception) -> JSONResponse:
        status = next(code for kind, code in _STATUS if isinstance(error, kind))
        hint = error.hint if isinstance(error, FeldsparError) else ""
        message = error.message if isinstance(error, FeldsparError) else str(error)
        content = {"detail": message, **({"hint": hint} if hint else {})}
        return JSONResponse(content, status)

    app.add_exception_handler(FeldsparError, refuse)


def _add_metrics(app: FastAPI, metrics: Metrics) -> None:
    @app.middleware("http")
    async def measure(request: Request, call: Call) -> Response:
        started = time.perf_counter()
        status = 500
        try:
            response = await call(request)
            status = response.status_code
        finally:
            route = getattr(request.scope.get("route"), "path", "unknown")
            metrics.answered(route, status, seconds=time.perf_counter() - started)
        return response

    @app.get("/metrics", response_class=Response)
    def figures() -> Response:
        """Prometheus text."""
        return Response(metrics.text(), media_type=CONTENT_TYPE)

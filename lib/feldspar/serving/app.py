"""The HTTP side: routes, status codes and metrics around a ``Backend``.

404: nothing is known of the entity. 422: the request is wrong. 503: Redis, the features or the
champion are not there; the body says which, and what to do.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request, Response
from fastapi.telemetry import TelemetryConfig

from feldspar.errors import FeldsparError, StoreError, UsageError
from feldspar.serving.access.callers import ForbiddenError, TooLargeError
from feldspar.serving.access.guard import Guard
from feldspar.serving.asking import Asking
from feldspar.serving.backend import Backend, UnknownEntityError
from feldspar.serving.batching import Batcher
from feldspar.serving.metrics import Measured, Metrics
from feldspar.serving.pushing import Pushing
from feldspar.serving.requests import BATCH_ROWS
from feldspar.serving.routes_push import add_push_routes
from feldspar.serving.routes_services import add_services
from feldspar.serving.routes_standing import add_standing
from feldspar.serving.routing import StraightToBodyRoutes, refusal_of, refused
from feldspar.serving.served import ServedLog
from feldspar.serving.served_metrics import ServedLogCollector

_STATUS: tuple[tuple[type[FeldsparError], int], ...] = (
    (ForbiddenError, 403),
    (TooLargeError, 413),
    (UnknownEntityError, 404),
    (UsageError, 422),
    (StoreError, 503),
    (FeldsparError, 500),
)
_NO_TELEMETRY = TelemetryConfig(tracing=False, metrics=False, logs=False)
"""FastAPI's own asks OpenTelemetry three times a request whether anybody listens: 9 us of 370."""


def _nothing() -> None:
    """Nothing is left to do."""


def create_app(backend: Backend, *, warm: Callable[[], None] = _nothing) -> FastAPI:
    """The app of a backend; warm before it accepts requests, closed with it.

    Args:
        backend: what answers.
        warm: called when all is loaded, before the first request.
    """
    log = ServedLog(backend.graph, backend.environment)
    batcher = Batcher(backend.fetch, backend.answer, most=BATCH_ROWS)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        backend.warm_up()
        warm()
        yield
        batcher.close()
        pushing.close()
        backend.close()
        log.close()

    pushing = Pushing(backend.graph, backend.environment)
    app = FastAPI(
        title=f"Feldspar: {backend.graph.name}",
        description="Features and scores, the same numbers as in training and batch scoring.",
        lifespan=lifespan,
        telemetry=_NO_TELEMETRY,
    )
    metrics = Metrics()
    metrics.register(ServedLogCollector(log))
    app.add_exception_handler(FeldsparError, _refuse)
    add_services(app, backend.graph, Asking(backend, batcher, metrics, pushing, log))
    add_push_routes(app, pushing, backend.environment.serving.limits)
    add_standing(app, backend, metrics)
    environment = backend.environment
    app.add_middleware(StraightToBodyRoutes, routes=app.routes, refuse=_refuse)
    app.add_middleware(Guard, spec=environment.serving, folder=environment.folder)
    app.add_middleware(Measured, metrics=metrics)
    return app


async def _refuse(_: Request, error: Exception) -> Response:
    status = next(code for kind, code in _STATUS if isinstance(error, kind))
    known = error if isinstance(error, FeldsparError) else FeldsparError(str(error))
    return refused(status, refusal_of(known))

"""How the process stands: health, readiness, metrics, and what there is to ask for."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Response
from starlette.concurrency import run_in_threadpool

from feldspar.errors import StoreError
from feldspar.graph.view import PlainView, Service, View
from feldspar.serving.backend import Backend
from feldspar.serving.metrics import CONTENT_TYPE, Metrics
from feldspar.serving.replies import Catalogue, Health, Readiness
from feldspar.serving.routing import answered
from feldspar.times import format_duration, from_micros, to_micros, utc_now


def add_standing(app: FastAPI, backend: Backend, metrics: Metrics) -> None:
    """Adds /health, /ready, /metrics and /api/v1/features."""

    @app.get("/health", response_model=Health, responses={503: {"model": Health}})
    async def health() -> Response:
        """Whether requests can be answered, and with what; 503 while Redis does not answer."""
        found = await run_in_threadpool(_health, backend)
        response = answered(found.model_dump())
        response.status_code = 503 if found.status == "unavailable" else 200
        return response

    @app.get("/ready", response_model=Readiness, responses={503: {"model": Readiness}})
    async def ready() -> Response:
        """Whether requests should be sent here: every model that a service needs is loaded."""
        absent = [name for name, one in backend.champions.versions().items() if one is None]
        response = answered({"ready": not absent, "models_absent": absent})
        response.status_code = 503 if absent else 200
        return response

    @app.get("/metrics", response_class=Response)
    async def figures() -> Response:
        """Prometheus text."""
        return Response(metrics.text(), media_type=CONTENT_TYPE)

    @app.get("/api/v1/features", response_model=Catalogue)
    async def features() -> Response:
        """Services, their views and features, and how fresh each view is."""
        return answered(await run_in_threadpool(_catalogue, backend))


def _health(backend: Backend) -> Health:
    environment, models = backend.environment, backend.champions.versions()
    status, redis, clock, pushed = "ok", "ok", None, dict[str, bool]()
    try:
        clock, pushed = backend.pushed()
    except StoreError as error:
        status, redis = "unavailable", error.message
    views: dict[str, Any] = dict.fromkeys(backend.graph.views, "not pushed")
    for name, current in pushed.items():
        views[name] = "current" if current else "other definition"
    problems = backend.champions.problems()
    fine = all(models.values()) and all(pushed.values()) and pushed and not problems
    if status == "ok" and not fine:
        status = "degraded"
    return Health.model_validate(
        {
            "status": status,
            "environment": environment.name,
            "namespace": environment.namespace,
            "redis": redis,
            "clock": clock,
            "models": models,
            "problems": problems,
            "views": views,
        }
    )


def _catalogue(backend: Backend) -> dict[str, Any]:
    graph = backend.graph
    try:
        found = backend.store.cursors([view.online_name for view in graph.views.values()])
        cursors = {
            name: found[view.online_name]
            for name, view in graph.views.items()
            if view.online_name in found
        }
        redis = "ok"
    except StoreError as error:
        cursors, redis = {}, error.message
    now = to_micros(utc_now())
    fresh = {
        name: {
            "pushed_version": cursor.version,
            "pushed_at": from_micros(cursor.clock),
            "age_seconds": (now - cursor.clock) / 1e6,
        }
        for name, cursor in cursors.items()
    }
    views = {name: {**_view(one), **fresh.get(name, {})} for name, one in graph.views.items()}
    services = {name: _service(one) for name, one in graph.services.items()}
    return {"redis": redis, "services": services, "views": views}


def _view(view: View) -> dict[str, Any]:
    ttl = view.ttl if isinstance(view, PlainView) else None
    return {
        "entity": view.entity,
        "keys": view.keys,
        "kind": "plain" if isinstance(view, PlainView) else "windowed",
        "ttl": None if ttl is None else format_duration(ttl),
        "freshness": None if view.freshness is None else format_duration(view.freshness),
        "features": {name: kind.value for name, kind in view.feature_types().items()},
    }


def _service(service: Service) -> dict[str, Any]:
    return {
        "entities": service.entities,
        "keys": service.keys,
        "event": service.event,
        "fallback": service.fallback,
        "features": {one.name: one.type.value for one in service.outputs},
    }

"""How the process stands: health, readiness, metrics, and what there is to ask for."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request, Response
from starlette.concurrency import run_in_threadpool

from feldspar.errors import StoreError
from feldspar.graph.view import PlainView, Service, View
from feldspar.serving.access.callers import Caller
from feldspar.serving.access.guard import REFUSALS as GUARDS
from feldspar.serving.backend import Backend
from feldspar.serving.metrics import CONTENT_TYPE, Metrics
from feldspar.serving.replies import Catalogue, Health, Readiness, Standing
from feldspar.serving.routing import answered
from feldspar.times import format_duration, from_micros, to_micros, utc_now


def add_standing(app: FastAPI, backend: Backend, metrics: Metrics) -> None:
    """Adds /health, /ready, /metrics and /api/v1/features."""
    health_of = Health | Standing

    @app.get("/health", response_model=health_of, responses={**GUARDS, 503: {"model": health_of}})
    async def health(request: Request) -> Response:
        """Whether requests can be answered; 503 while Redis does not answer.

        With what they are answered is told to those who say who they are.
        """
        found = await run_in_threadpool(_health, backend)
        response = answered(found.model_dump(include=None if _known(request) else {"status"}))
        response.status_code = 503 if found.status == "unavailable" else 200
        return response

    @app.get("/ready", response_model=Readiness, responses={**GUARDS, 503: {"model": Readiness}})
    async def ready(request: Request) -> Response:
        """Whether requests should be sent here: every model that a service needs is loaded."""
        absent = [name for name, one in backend.champions.versions().items() if one is None]
        named = {"models_absent": absent} if _known(request) else {}
        response = answered({"ready": not absent, **named})
        response.status_code = 503 if absent else 200
        return response

    @app.get("/metrics", response_class=Response, responses=GUARDS)
    async def figures() -> Response:
        """Prometheus text."""
        return Response(metrics.text(), media_type=CONTENT_TYPE)

    @app.get("/api/v1/features", response_model=Catalogue, responses=GUARDS)
    async def features(request: Request) -> Response:
        """Services that the caller may ask, their views and features, and how fresh they are."""
        return answered(await run_in_threadpool(_catalogue, backend, request.state.caller))


def _known(request: Request) -> bool:
    caller: Caller = request.state.caller
    return caller.known


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


def _catalogue(backend: Backend, caller: Caller) -> dict[str, Any]:
    graph = backend.graph
    asked = {name: one for name, one in graph.services.items() if caller.sees(name)}
    seen = {view.name for one in asked.values() for view in one.views}
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
    views = {name: {**_view(graph.view(name)), **fresh.get(name, {})} for name in sorted(seen)}
    services = {name: _service(one) for name, one in asked.items()}
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

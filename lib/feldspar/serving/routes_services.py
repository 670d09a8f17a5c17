"""Features and scores: one question to any service, or one or several rows to a named one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request

from feldspar.graph.graph import Graph
from feldspar.graph.view import Service
from feldspar.serving import requests
from feldspar.serving.access.guard import REFUSALS as GUARDS
from feldspar.serving.asking import Asking
from feldspar.serving.replies import FeaturesReply, Refusal, ScoreReply, Several
from feldspar.serving.requests import RequestModels, ScoreRequest
from feldspar.serving.routing import BodyRoute

REFUSALS: dict[int | str, dict[str, Any]] = {
    **GUARDS,
    404: {"model": Refusal, "description": "Nothing is known of this entity"},
    415: {"model": Refusal, "description": "The body is not said to be JSON"},
    422: {"model": Refusal, "description": "The request is wrong; the body says where"},
    503: {"model": Refusal, "description": "Redis, its features or the champion are not there"},
}


def scored_services(graph: Graph) -> dict[str, Service]:
    """Services that a model serves; asked by keys first, and the first one is the default."""
    found = [model.service for model in graph.models.values()]
    ordered = sorted(found, key=lambda service: service.event is not None)
    return {service.name: service for service in ordered}


def add_services(app: FastAPI, graph: Graph, asking: Asking) -> None:
    """Adds /features and /score, and both of each service."""
    scored, known = scored_services(graph), dict(graph.services)
    scores, features = RequestModels(graph, ScoreRequest), RequestModels(graph, requests.Request)
    default = next(iter(scored or known), "")
    if scored:
        endpoint = _any(asking, scored, scores.any_of(scored, default=default), scored=True)
        _add(app, "/score", endpoint, ScoreReply)
    if known:
        endpoint = _any(asking, known, features.any_of(known, default=default), scored=False)
        _add(app, "/features", endpoint, FeaturesReply)
    for service in scored.values():
        endpoint = _one(asking, service, scores.of(service), scored=True)
        _add(app, f"/score/{service.name}", endpoint, ScoreReply | Several)
    for service in known.values():
        endpoint = _one(asking, service, features.of(service), scored=False)
        _add(app, f"/features/{service.name}", endpoint, FeaturesReply | Several)


def _any(asking: Asking, services: Mapping[str, Service], model: Any, *, scored: bool) -> Any:
    async def features(request: Request, body: Any) -> dict[str, Any]:
        """Every feature of a service for an entity or an event, at any T that Redis answers."""
        (question,) = requests.questions(body, services[body.service], scored=False)
        return await asking.one(request, question)

    async def score(request: Request, body: Any) -> dict[str, Any]:
        """The champion's answer for an entity, or for an event such as a payment."""
        (question,) = requests.questions(body, services[body.service], scored=True)
        return await asking.one(request, question)

    return _typed(score if scored else features, model)


def _one(asking: Asking, service: Service, model: Any, *, scored: bool) -> Any:
    async def ask(request: Request, body: Any) -> dict[str, Any]:
        asked = requests.questions(body, service, scored=scored)
        if requests.is_several(body, service):
            return await asking.several(request, asked)
        return await asking.one(request, asked[0])

    what = "The champion's answer" if scored else "Every feature"
    ask.__doc__ = f"{what} of {service.name}, for one row or several."
    ask.__name__ = f"{'score' if scored else 'features'}_{service.name}"
    return _typed(ask, model)


def _typed(endpoint: Any, model: Any) -> Any:
    # the model is made at start: no annotation in the source can name it
    endpoint.__annotations__["body"] = model
    return endpoint


def _add(app: FastAPI, path: str, endpoint: Any, reply: Any) -> None:
    route = BodyRoute(path, endpoint, methods=["POST"], response_model=reply, responses=REFUSALS)
    app.router.routes.append(route)

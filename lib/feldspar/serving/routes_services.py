"""Features and scores: one question to any service, or one or several rows to a named one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request

from feldspar.errors import FeldsparError
from feldspar.graph.graph import Graph
from feldspar.graph.view import Service
from feldspar.serving import requests
from feldspar.serving.access.callers import Caller
from feldspar.serving.access.guard import REFUSALS as GUARDS
from feldspar.serving.access.sizes import check_rows
from feldspar.serving.backend import Backend, Fetched, Outcome, Scored, Served
from feldspar.serving.batching import Batcher
from feldspar.serving.metrics import Metrics
from feldspar.serving.pushing import Pushing
from feldspar.serving.replies import (
    FeaturesReply,
    Refusal,
    ScoreReply,
    Several,
    features_reply,
    refused_reply,
    score_reply,
)
from feldspar.serving.requests import Question, RequestModels, ScoreRequest
from feldspar.serving.routing import BodyRoute

REFUSALS: dict[int | str, dict[str, Any]] = {
    **GUARDS,
    404: {"model": Refusal, "description": "Nothing is known of this entity"},
    415: {"model": Refusal, "description": "The body is not said to be JSON"},
    422: {"model": Refusal, "description": "The request is wrong; the body says where"},
    503: {"model": Refusal, "description": "Redis, its features or the champion are not there"},
}
Batches = Batcher[Question, Fetched, Outcome]


def scored_services(graph: Graph) -> dict[str, Service]:
    """Services that a model serves; asked by keys first, and the first one is the default."""
    found = [model.service for model in graph.models.values()]
    ordered = sorted(found, key=lambda service: service.event is not None)
    return {service.name: service for service in ordered}


def add_services(
    app: FastAPI, backend: Backend, batcher: Batches, metrics: Metrics, pushing: Pushing
) -> None:
    """Adds /features and /score, and both of each service."""
    graph = backend.graph
    scored, known = scored_services(graph), dict(graph.services)
    asking = _Asking(backend, batcher, metrics, pushing)
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


class _Asking:
    """From questions to replies."""

    def __init__(
        self, backend: Backend, batcher: Batches, metrics: Metrics, pushing: Pushing
    ) -> None:
        self._batcher, self._metrics, self._pushing = batcher, metrics, pushing
        self._clock = backend.environment.clock
        # the time of an event may be any; that of a key is the clock
        self._by_clock = {name: one.event is None for name, one in backend.graph.services.items()}
        self._limits = backend.environment.serving.limits

    async def one(self, request: Request, question: Question) -> dict[str, Any]:
        """The answer to one question; what is wrong with it is raised."""
        (outcome,) = await self._ask(request, [question])
        if isinstance(outcome, FeldsparError):
            raise outcome
        return self._reply(outcome)

    async def several(self, request: Request, questions: Sequence[Question]) -> dict[str, Any]:
        """The answers to several questions; what is wrong with one stands in its place."""
        outcomes = await self._ask(request, questions)
        answers = [
            refused_reply(question, outcome)
            if isinstance(outcome, FeldsparError)
            else self._reply(outcome)
            for question, outcome in zip(questions, outcomes, strict=True)
        ]
        return {"answers": answers}

    async def _ask(self, request: Request, questions: Sequence[Question]) -> Sequence[Outcome]:
        check_rows(self._limits, len(questions))
        caller: Caller = request.state.caller
        for one in questions:
            caller.check("score" if one.scored else "read", one.service, one.keys)
        return await self._batcher.ask(questions)

    def _reply(self, outcome: Served | Scored) -> dict[str, Any]:
        served = outcome if isinstance(outcome, Served) else outcome.served
        self._metrics.served(
            served.question.service, served.answer.missing, degraded=served.degraded
        )
        if isinstance(outcome, Served):
            return features_reply(outcome, self._clock)
        asked = served.question
        if asked.at is None:
            at = served.at if self._by_clock[asked.service] else None
            self._pushing.write_back(asked.service, asked.keys, outcome.answer, at=at)
        return score_reply(outcome, self._clock)


def _any(asking: _Asking, services: Mapping[str, Service], model: Any, *, scored: bool) -> Any:
    async def features(request: Request, body: Any) -> dict[str, Any]:
        """Every feature of a service for an entity or an event, at any T that Redis answers."""
        (question,) = requests.questions(body, services[body.service], scored=False)
        return await asking.one(request, question)

    async def score(request: Request, body: Any) -> dict[str, Any]:
        """The champion's answer for an entity, or for an event such as a payment."""
        (question,) = requests.questions(body, services[body.service], scored=True)
        return await asking.one(request, question)

    return _typed(score if scored else features, model)


def _one(asking: _Asking, service: Service, model: Any, *, scored: bool) -> Any:
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

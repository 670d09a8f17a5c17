"""Answers requests from Redis and the champions; knows nothing of HTTP.

One round trip to Redis a request: data clock, cursors and values together. Models are loaded
before the process says that it is ready.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pandas as pd

from feldspar.compute.scoring import answer_columns, model_input, probabilities
from feldspar.compute.services.hooks import load_hook
from feldspar.compute.services.online import Answer, RequestEvent, ServiceReader
from feldspar.errors import InputError, StoreError, UsageError
from feldspar.graph.graph import Graph, Model
from feldspar.graph.view import OnDemand, Service, View, WindowedView
from feldspar.names import value_fingerprint
from feldspar.serving.requests import Question, event_columns
from feldspar.spec.environment import Environment
from feldspar.stores.events import stamp_of
from feldspar.stores.experiments import Champion, Experiments
from feldspar.stores.online import OnlineStore, Page
from feldspar.stores.tiles import unpack, value_layout
from feldspar.times import from_micros, to_micros, utc_now

_SECONDS_BETWEEN_TRIES = 5.0


class UnknownEntityError(InputError):
    """Nothing is known of the entity that was asked for."""


@dataclass(frozen=True, eq=False)
class Served:
    """The features of a request and when they hold.

    ``versions`` are the gold versions that the views were pushed from; ``stamps`` those that the
    values of windowed views name themselves.
    """

    question: Question
    at: int
    answer: Answer
    versions: Mapping[str, int]
    stamps: Mapping[str, int]


@dataclass(frozen=True, eq=False)
class Scored:
    """A score and the features it was made from; ``answer`` is what the model's kind answers."""

    served: Served
    model: str
    version: str
    inputs: tuple[str, ...]
    answer: Mapping[str, Any]


class Backend:
    """All services of one environment.

    Args:
        graph: the compiled project.
        environment: names the clock and the servers.
    """

    def __init__(self, graph: Graph, environment: Environment) -> None:
        self.graph = graph
        self.environment = environment
        self.store = OnlineStore.of(environment)
        self._experiments = Experiments.of(environment)
        self._champions: dict[str, Champion] = {}
        self._tried: dict[str, float] = {}
        self._readers = {
            name: ServiceReader(service, _request_event(graph, service))
            for name, service in graph.services.items()
        }
        self._layouts = {name: value_layout(view) for name, view in graph.views.items()}

    def warm_up(self) -> None:
        """Loads champions and hooks and uses each once, so that no request pays for it.

        Raises:
            UsageError: a hook cannot be imported.
        """
        for service in self.graph.services.values():
            for computation in service.computations:
                if isinstance(computation, OnDemand):
                    load_hook(computation.hook)
        for name in self.graph.models:
            champion = self._champion(name)
            if champion is not None:
                nothing = {column: [float("nan")] for column in champion.inputs}
                probabilities(champion.estimator, pd.DataFrame(nothing))

    def close(self) -> None:
        """Gives the connections back."""
        self.store.close()

    def champions(self) -> dict[str, str | None]:
        """Model to the version that decides; None where none is loaded."""
        loaded = {name: one.version for name, one in self._champions.items()}
        return {name: loaded.get(name) for name in self.graph.models}

    def features(self, question: Question) -> Served:
        """The features of one request.

        Raises:
            UnknownEntityError: a service that is asked by keys knows nothing of them.
            UsageError: T is earlier than what Redis keeps.
            StoreError: Redis does not answer, or holds nothing yet.
        """
        service = self.graph.service(question.service)
        page = self.store.read(
            [view.name for view in service.views],
            [self._key(view, question.keys) for view in service.views],
        )
        at = self._clock(question, page)
        _check_pushed(page, service, at)
        stored = {
            view.name: None if value is None else unpack(self._layouts[view.name], value)
            for view, value in zip(service.views, page.values, strict=True)
        }
        answer = self._readers[service.name].answer(question.values, stored, at)
        if not answer.found and service.event is None:
            raise UnknownEntityError(f"{service.entities[0].capitalize()} features not found")
        versions = {name: cursor.version for name, cursor in page.cursors.items()}
        stamps = {
            view.name: stamp_of(value).version
            for view, value in zip(service.views, page.values, strict=True)
            if value is not None and isinstance(view, WindowedView)
        }
        return Served(question, at, answer, versions, stamps)

    def score(self, question: Question) -> Scored:
        """The champion's answer to one request.

        Raises:
            StoreError: there is no champion yet; else as ``features``.
        """
        model = self.graph.model_of(question.service)
        champion = self._champion(model.name)
        if champion is None:
            raise StoreError(
                f"model {model.name} has no champion in namespace "
                f"{self.environment.namespace!r} yet",
                hint="train one: feldspar apply",
            )
        served = self.features(question)
        rows = model_input(served.answer.table, champion.inputs)
        columns = answer_columns(model.spec.answer, probabilities(champion.estimator, rows))
        answer = {name: column[0].item() for name, column in columns.items()}
        return Scored(served, model.name, champion.version, champion.inputs, answer)

    def pushed(self) -> tuple[datetime | None, dict[str, bool]]:
        """The data clock, and for each pushed view whether it is of our definition."""
        page = self.store.read(list(self.graph.views), [])
        current = {
            name: cursor.definition == value_fingerprint(self.graph.view(name).definition)
            for name, cursor in page.cursors.items()
        }
        return (None if page.clock is None else from_micros(page.clock)), current

    def _champion(self, model: str) -> Champion | None:
        """The loaded champion; one that was not there is looked for again after some seconds."""
        if model in self._champions:
            return self._champions[model]
        now = time.monotonic()
        if now - self._tried.get(model, -_SECONDS_BETWEEN_TRIES) < _SECONDS_BETWEEN_TRIES:
            return None
        self._tried[model] = now
        found = self._experiments.champion(model)
        if found is not None:
            _check_inputs(self.graph.model(model), found)
            self._champions[model] = found
        return found

    def _key(self, view: View, keys: Mapping[str, Any]) -> str:
        return self.store.key(view.entity, [keys[key] for key in view.keys], view.name)

    def _clock(self, question: Question, page: Page) -> int:
        if question.at is not None:
            return question.at
        event = _request_event(self.graph, self.graph.service(question.service))
        if event is not None:
            return int(question.values[event.time])
        if self.environment.clock == "wall":
            return to_micros(utc_now())
        if page.clock is None:
            raise _nothing_pushed(self.environment.namespace)
        return page.clock


def _request_event(graph: Graph, service: Service) -> RequestEvent | None:
    columns = event_columns(graph, service)
    return None if columns is None else RequestEvent(*columns)


def _check_pushed(page: Page, service: Service, at: int) -> None:
    if service.views and not page.cursors:
        raise _nothing_pushed(service.name)
    floor = max((cursor.floor for cursor in page.cursors.values()), default=at)
    if at < floor:
        raise UsageError(
            f"features of {service.name} are served from {from_micros(floor).isoformat()} on; "
            f"asked for {from_micros(at).isoformat()}",
            hint="for the past: feldspar training-set or feldspar score, which read the lake",
        )


def _nothing_pushed(what: str) -> StoreError:
    return StoreError(f"Redis holds no features of {what} yet", hint="feldspar apply")


def _check_inputs(model: Model, champion: Champion) -> None:
    known = {one.name for one in model.service.outputs}
    lacks = [name for name in champion.inputs if name not in known]
    if lacks:
        raise StoreError(
            f"champion {champion.version} of model {model.name} reads {lacks[0]!r}, "
            f"which service {model.service.name} no longer has",
            hint="train anew: feldspar apply",
        )

"""Answers requests from Redis and the champions; knows nothing of HTTP.

A batch of requests costs one round trip to Redis (data clock, cursors and values together) and one
call of each model. What is wrong with one request is its own answer and nobody else's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from feldspar.compute.scoring import answer_columns, probabilities
from feldspar.compute.services.hooks import HookError, load_hook
from feldspar.compute.services.online import Answer, Answers, Asked, RequestEvent, ServiceReader
from feldspar.errors import FeldsparError, InputError, StoreError, UsageError
from feldspar.graph.graph import Graph, Model
from feldspar.graph.view import OnDemand, Service, View, WindowedView
from feldspar.names import value_fingerprint
from feldspar.serving.champions import Champions
from feldspar.serving.reasons import Reason, reasons
from feldspar.serving.requests import Question, event_columns
from feldspar.spec.environment import Environment
from feldspar.stores.events import stamp_of
from feldspar.stores.experiments import Champion, Experiments
from feldspar.stores.online import OnlineStore, Page
from feldspar.stores.tiles import unpack, value_layout
from feldspar.times import from_micros, to_micros, utc_now


class UnknownEntityError(InputError):
    """Nothing is known of the entity that was asked for."""


@dataclass(frozen=True, eq=False)
class Served:
    """The features of a request and when they hold.

    Attributes:
        question: what was asked.
        at: T in microseconds.
        answer: the features.
        versions: view to the gold version that it was pushed from.
        stamps: windowed view to the version that its value names itself: a push writes values
            before its cursor.
        degraded: Redis was away: answered as for an entity of which nothing is stored.
    """

    question: Question
    at: int
    answer: Answer
    versions: Mapping[str, int]
    stamps: Mapping[str, int] = field(default_factory=dict)
    degraded: bool = False


@dataclass(frozen=True, eq=False)
class Scored:
    """A score and the features it was made from.

    Attributes:
        served: the features.
        model: its name.
        version: of the champion.
        inputs: feature columns that it read.
        answer: what the model's kind answers.
        reasons: what moved the score most, where it was asked for.
    """

    served: Served
    model: str
    version: str
    inputs: tuple[str, ...]
    answer: Mapping[str, Any]
    reasons: tuple[Reason, ...] = ()


@dataclass(frozen=True)
class Fetched:
    """What one round trip brought for a batch.

    Attributes:
        page: cursors and clock.
        keys: of each question in turn, by view.
        values: key to packed value.
        away: why it brought nothing.
        unpacked: key to what was made of its value: an entity that is asked about a hundred times
            in a batch is unpacked once.
    """

    page: Page
    keys: Sequence[Mapping[str, str]]
    values: Mapping[str, bytes | None]
    away: StoreError | None = None
    unpacked: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class _Ready:
    """A question with what is stored of its entities, or without Redis; see ``Served``."""

    question: Question
    asked: Asked
    stamps: Mapping[str, int]
    degraded: bool = False


Outcome = Served | Scored | FeldsparError
_NOTHING = Page(None, {}, ())


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
        self.champions = Champions(graph, Experiments.of(environment))
        self._events = {
            name: _request_event(graph, service) for name, service in graph.services.items()
        }
        self._readers = {
            name: ServiceReader(service, self._events[name])
            for name, service in graph.services.items()
        }
        self._layouts = {name: value_layout(view) for name, view in graph.views.items()}
        self._clock: int | None = None

    def warm_up(self) -> None:
        """Loads champions and hooks and uses each once, so that no request pays for it.

        Raises:
            UsageError: a hook cannot be imported.
            StoreError: MLflow does not answer, or a champion does not fit its service.
        """
        for service in self.graph.services.values():
            for computation in service.computations:
                if isinstance(computation, OnDemand):
                    load_hook(computation.hook)
        self.champions.refresh()
        self.champions.follow()

    def close(self) -> None:
        """Gives the connections back."""
        self.champions.close()
        self.store.close()

    def fetch(self, questions: Sequence[Question]) -> Fetched:
        """What Redis holds for a batch, in one round trip; waits for the socket."""
        asked = [self.graph.service(question.service).views for question in questions]
        keys = [
            {view.name: self._key(view, question.keys) for view in views}
            for question, views in zip(questions, asked, strict=True)
        ]
        names = list(dict.fromkeys(view.online_name for views in asked for view in views))
        places = list(dict.fromkeys(key for of_one in keys for key in of_one.values()))
        try:
            page = self.store.read(names, places)
        except StoreError as error:
            return Fetched(_NOTHING, keys, {}, away=error)
        return Fetched(page, keys, dict(zip(places, page.values, strict=True)))

    def answer(self, questions: Sequence[Question], fetched: Fetched) -> list[Outcome]:
        """The answer to each question, or what is wrong with it."""
        outcomes: list[Outcome | None] = [None] * len(questions)
        groups: dict[tuple[str, bool], list[tuple[int, _Ready]]] = {}
        for place, question in enumerate(questions):
            try:
                ready = self._ready(question, fetched, fetched.keys[place])
            except FeldsparError as error:
                outcomes[place] = error
                continue
            groups.setdefault((question.service, ready.degraded), []).append((place, ready))
        for (service, degraded), rows in groups.items():
            versions = {} if degraded else self._versions(service, fetched)
            answers = self._answers(service, versions, [one for _, one in rows])
            for (place, _), outcome in zip(rows, answers, strict=True):
                outcomes[place] = outcome
        return [outcome for outcome in outcomes if outcome is not None]

    def one(self, question: Question) -> Served | Scored:
        """The answer to one question, on its own.

        Raises:
            FeldsparError: what is wrong with it.
        """
        (outcome,) = self.answer([question], self.fetch([question]))
        if isinstance(outcome, FeldsparError):
            raise outcome
        return outcome

    def pushed(self) -> tuple[datetime | None, dict[str, bool]]:
        """The data clock, and for each pushed view whether it is of our definition."""
        # a definition has a name of its own in Redis: what others left is found by the plain name
        current = {
            name: state.definition == value_fingerprint(self.graph.view(name).definition)
            for name, state in self.store.pushed(self.graph.views).items()
        }
        clock = self.store.clock()
        return (None if clock is None else from_micros(clock)), current

    def _ready(self, question: Question, fetched: Fetched, keys: Mapping[str, str]) -> _Ready:
        """What the reader needs for one question.

        Raises:
            UnknownEntityError: a service that is asked by keys knows nothing of them.
            UsageError: T is earlier than what Redis keeps.
            StoreError: there is no champion; or Redis does not answer, lacks the service's views
                or holds a value of another definition, and the service has no fallback.
        """
        service = self.graph.service(question.service)
        if question.scored:
            self._champion(service.name)
        try:
            return self._stored(question, service, fetched, keys)
        except StoreError:
            if service.fallback is None:
                raise
            nothing = {view.name: None for view in service.views}
            # a process that has never seen Redis has no data clock either, and must answer
            clock = to_micros(utc_now()) if self._clock is None else self._clock
            asked = Asked(question.values, nothing, self._time(question, clock))
            return _Ready(question, asked, {}, degraded=True)

    def _stored(
        self, question: Question, service: Service, fetched: Fetched, keys: Mapping[str, str]
    ) -> _Ready:
        if fetched.away is not None:
            raise fetched.away
        if fetched.page.clock is not None:
            self._clock = fetched.page.clock
        at = self._time(question, fetched.page.clock)
        _check_pushed(fetched.page, service, at)
        stored, stamps = {}, {}
        for view in service.views:
            key = keys[view.name]
            value = fetched.values[key]
            if value is not None and key not in fetched.unpacked:
                fetched.unpacked[key] = unpack(self._layouts[view.name], value)
            stored[view.name] = fetched.unpacked.get(key)
            if value is not None and isinstance(view, WindowedView):
                stamps[view.name] = stamp_of(value).version
        if service.event is None and not any(one is not None for one in stored.values()):
            raise UnknownEntityError(f"{service.entities[0].capitalize()} features not found")
        return _Ready(question, Asked(question.values, stored, at), stamps)

    def _versions(self, service: str, fetched: Fetched) -> dict[str, int]:
        cursors = fetched.page.cursors
        return {
            view.name: cursors[view.online_name].version
            for view in self.graph.service(service).views
        }

    def _answers(
        self, service: str, versions: Mapping[str, int], ready: Sequence[_Ready]
    ) -> list[Outcome]:
        """Answers to questions of one service."""
        try:
            answers = self._readers[service].answers([one.asked for one in ready])
            return self._outcomes(service, versions, ready, answers)
        except FeldsparError as error:
            if len(ready) == 1 or not isinstance(error, HookError):
                return [error] * len(ready)
            # whose row it was is found by asking alone
            return [self._answers(service, versions, [one])[0] for one in ready]

    def _outcomes(
        self, service: str, versions: Mapping[str, int], ready: Sequence[_Ready], answers: Answers
    ) -> list[Outcome]:
        served = [
            Served(one.question, answer.t, answer, versions, one.stamps, one.degraded)
            for one, answer in zip(ready, answers.each, strict=True)
        ]
        places = [place for place, one in enumerate(ready) if one.question.scored]
        outcomes: list[Outcome] = [*served]
        if places:
            scored = self._scored(service, served, places, answers)
            for place, found in zip(places, scored, strict=True):
                outcomes[place] = found
        return outcomes

    def _scored(
        self, name: str, served: Sequence[Served], places: Sequence[int], answers: Answers
    ) -> Iterable[Scored]:
        model, champion = self._champion(name)
        rows = answers.model_input(champion.inputs, places)
        probability = probabilities(champion.estimator, rows)
        columns = answer_columns(model.spec.answer, probability)
        wanted = [served[place].question.reasons for place in places]
        why = reasons(champion, rows, probability, most=wanted)
        values = zip(*(column.tolist() for column in columns.values()), strict=True)
        for place, row, because in zip(places, values, why, strict=True):
            answer = dict(zip(columns, row, strict=True))
            yield Scored(
                served[place], model.name, champion.version, champion.inputs, answer, because
            )

    def _champion(self, service: str) -> tuple[Model, Champion]:
        model = self.graph.model_of(service)
        champion = self.champions.get(model.name)
        if champion is None:
            raise StoreError(
                f"model {model.name} has no champion in namespace "
                f"{self.environment.namespace!r} yet",
                hint="train one: feldspar apply",
            )
        return model, champion

    def _key(self, view: View, keys: Mapping[str, Any]) -> str:
        return self.store.key(view.entity, [keys[key] for key in view.keys], view.online_name)

    def _time(self, question: Question, clock: int | None) -> int:
        if question.at is not None:
            return question.at
        event = self._events[question.service]
        if event is not None:
            return int(question.values[event.time])
        if self.environment.clock == "wall":
            return to_micros(utc_now())
        if clock is None:
            raise _nothing_pushed(self.environment.namespace)
        return clock


def _request_event(graph: Graph, service: Service) -> RequestEvent | None:
    columns = event_columns(graph, service)
    return None if columns is None else RequestEvent(*columns)


def _check_pushed(page: Page, service: Service, at: int) -> None:
    # of a view that is only half there a window would count too little, and nobody would know
    lacks = [view.name for view in service.views if view.online_name not in page.cursors]
    if lacks:
        raise _nothing_pushed(f"view {lacks[0]} by this definition")
    floors = (page.cursors[view.online_name].floor for view in service.views)
    floor = max(floors, default=at)
    if at < floor:
        raise UsageError(
            f"features of {service.name} are served from {from_micros(floor).isoformat()} on; "
            f"asked for {from_micros(at).isoformat()}",
            hint="for the past: feldspar training-set or feldspar score, which read the lake",
        )


def _nothing_pushed(what: str) -> StoreError:
    return StoreError(f"Redis holds no features of {what} yet", hint="feldspar apply")

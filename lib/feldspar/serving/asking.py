"""From the questions of one request to its reply: what the caller may ask, what is answered, and
what is kept of it (metrics, the served log, scores that are written back).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import Request

from feldspar.errors import FeldsparError
from feldspar.serving.access.callers import Caller
from feldspar.serving.access.sizes import check_rows
from feldspar.serving.backend import Backend, Fetched, Outcome, Scored, Served
from feldspar.serving.batching import Batcher
from feldspar.serving.metrics import Metrics
from feldspar.serving.pushing import Pushing
from feldspar.serving.recording import served_record
from feldspar.serving.replies import features_reply, refused_reply, score_reply
from feldspar.serving.requests import Question
from feldspar.serving.served import ServedLog
from feldspar.times import to_micros, utc_now


@dataclass(frozen=True, eq=False)
class Asking:
    """Asks the backend for a request, and keeps what has to be kept of the answers."""

    backend: Backend
    batcher: Batcher[Question, Fetched, Outcome]
    metrics: Metrics
    pushing: Pushing
    log: ServedLog

    async def one(self, request: Request, question: Question) -> dict[str, Any]:
        """The answer to one question.

        Raises:
            FeldsparError: what is wrong with it.
        """
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
        check_rows(self.backend.environment.serving.limits, len(questions))
        caller: Caller = request.state.caller
        for one in questions:
            caller.check("score" if one.scored else "read", one.service, one.keys)
        outcomes = await self.batcher.ask(questions)
        self._keep(request.state.request_id, outcomes)
        return outcomes

    def _keep(self, request_id: str, outcomes: Sequence[Outcome]) -> None:
        """Logs the answers of a request; of several each gets an id of its own."""
        now = to_micros(utc_now())
        several = len(outcomes) > 1
        self.log.add(
            served_record(
                one, request_id=f"{request_id}/{row}" if several else request_id, served_at=now
            )
            for row, one in enumerate(outcomes)
            if not isinstance(one, FeldsparError)
        )

    def _reply(self, outcome: Served | Scored) -> dict[str, Any]:
        served = outcome if isinstance(outcome, Served) else outcome.served
        asked, clock = served.question, self.backend.environment.clock
        self.metrics.served(asked.service, served.answer.missing, degraded=served.degraded)
        if isinstance(outcome, Served):
            return features_reply(outcome, clock)
        if asked.at is None:
            # an event has a time of its own; keys are asked about by the clock
            is_event = self.backend.graph.service(asked.service).event is not None
            at = None if is_event else served.at
            self.pushing.write_back(asked.service, asked.keys, outcome.answer, at=at)
        return score_reply(outcome, clock)

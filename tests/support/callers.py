"""Callers that ask a server all the time and hold each answer against what is right."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any

import httpx

Answer = Mapping[str, Any]
CALM = "calm"
_SECONDS = 60.0
_EXAMPLES = 5


@dataclass(frozen=True)
class Call:
    """A request, and whether an answer to it is right."""

    path: str
    body: Mapping[str, Any]
    is_right: Callable[[Answer], bool]


@dataclass(frozen=True)
class _Awaited:
    """An answer that each of these callers has still to get."""

    is_it: Callable[[Answer], bool]
    left: set[int]
    came: threading.Event = field(default_factory=threading.Event)

    def take(self, caller: int, answer: Answer) -> None:
        if self.is_it(answer):
            self.left.discard(caller)
        if not self.left:
            self.came.set()


class Callers:
    """Threads that ask without pause for as long as the context is open.

    Attributes:
        answered: how many answers came to requests that lay in one phase from beginning to end, by
            phase and whether they were degraded.
        wrong: examples of refused connections, of other statuses than 200, of wrong answers.
    """

    def __init__(self, url: str, calls: Sequence[Call], *, size: int, seed: int) -> None:
        self.answered: Counter[tuple[str, bool]] = Counter()
        self.wrong: list[str] = []
        self._url, self._calls, self._size, self._seed = url, calls, size, seed
        self._phase = CALM
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._awaited: _Awaited | None = None
        self._pool = ThreadPoolExecutor(size, thread_name_prefix="caller")
        self._asking: list[Future[None]] = []

    def __enter__(self) -> Callers:
        self._asking = [self._pool.submit(self._ask_on, one) for one in range(self._size)]
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._pool.shutdown()
        for one in self._asking:
            one.result()

    @contextmanager
    def during(self, phase: str) -> Iterator[None]:
        """Within it answers count for a phase."""
        self._phase = phase
        yield
        self._phase = CALM

    def reached(self, is_it: Callable[[Answer], bool]) -> None:
        """Waits until each caller has got such an answer to a request that it sent after now.

        Raises:
            AssertionError: none came, or something was wrong until then.
        """
        awaited = _Awaited(is_it, set(range(self._size)))
        self._awaited = awaited
        awaited.came.wait(_SECONDS)
        assert not self.wrong, self.wrong
        assert not awaited.left, f"no such answer came to callers {awaited.left}"

    def _ask_on(self, caller: int) -> None:
        random = Random(f"{self._seed}/{caller}")
        with httpx.Client(base_url=self._url, timeout=_SECONDS, trust_env=False) as client:
            while not self._ended.is_set():
                phase, awaited = self._phase, self._awaited
                answer = self._ask(client, random.choice(self._calls))
                if answer is None:
                    continue
                if phase == self._phase:
                    with self._lock:
                        self.answered[phase, answer["degraded"]] += 1
                if awaited is not None:
                    awaited.take(caller, answer)

    def _ask(self, client: httpx.Client, call: Call) -> Answer | None:
        try:
            reply = client.post(call.path, json=call.body)
        except httpx.TransportError as error:
            return self._is_wrong(call, repr(error))
        if reply.status_code != 200:
            return self._is_wrong(call, f"{reply.status_code} {reply.text}")
        answer: Answer = reply.json()
        return answer if call.is_right(answer) else self._is_wrong(call, reply.text)

    def _is_wrong(self, call: Call, what: str) -> None:
        if len(self.wrong) < _EXAMPLES:
            self.wrong.append(f"{self._phase}: {call.path} {dict(call.body)}: {what}")

"""Rows that wait together are kept together: one thread takes all that came, and writes it once.

A row that comes alone waits for nothing; many are written once in ``SECONDS_BETWEEN``, so that the
store gets few objects however many requests there are.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from feldspar.errors import StoreError

SECONDS_BETWEEN = 0.05
_LOG = logging.getLogger(__name__)
Asked = TypeVar("Asked")
Outcome = TypeVar("Outcome")


@dataclass(frozen=True, eq=False)
class Waiting(Generic[Asked, Outcome]):
    """One request and the place for its outcome; ``rows`` is its size."""

    asked: Asked
    rows: int
    future: Future[Outcome] = field(default_factory=Future)


class GroupCommit(Generic[Asked, Outcome]):
    """Hands groups of requests to one thread.

    Args:
        commit: answers a group, an outcome for each request in its order.
        most: rows that may wait at a time.
    """

    def __init__(
        self, commit: Callable[[Sequence[Asked]], Sequence[Outcome]], *, most: int
    ) -> None:
        self._commit = commit
        self._most = most
        self._idle = threading.Condition()
        self._waiting: list[Waiting[Asked, Outcome]] = []
        self._rows = 0
        self._running = False
        self._closing = threading.Event()
        self._next = 0.0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="pushed-rows")

    def submit(self, make: Callable[[], Asked], *, rows: int, leave: int = 0) -> Future[Outcome]:
        """Queues a request.

        Args:
            make: makes the request; called in the order of the queue.
            rows: how many it has.
            leave: rows' room that is left to others.

        Raises:
            StoreError: too many rows wait, or the process ends.
        """
        with self._idle:
            if self._closing.is_set():
                raise StoreError("this process ends and takes no more rows", hint="send it again")
            if self._rows + rows > self._most - leave:
                raise StoreError(
                    f"{self._rows} rows wait to be kept: no room for {rows} more",
                    hint="nothing of this request was kept; send it again in a second",
                )
            one: Waiting[Asked, Outcome] = Waiting(make(), rows)
            # who no longer listens cannot take the row back
            one.future.set_running_or_notify_cancel()
            self._waiting.append(one)
            self._rows += rows
            if not self._running:
                self._running = True
                self._begin()
        return one.future

    def close(self) -> None:
        """Returns when all that waits has its outcome."""
        with self._idle:
            self._closing.set()
            self._idle.wait_for(lambda: not self._running)
        self._thread.shutdown(wait=True)

    def _begin(self) -> None:
        self._thread.submit(self._take).add_done_callback(_tell)

    def _take(self) -> None:
        """Takes all that waits; what comes meanwhile is the next group."""
        self._closing.wait(max(0.0, self._next - time.monotonic()))
        self._next = time.monotonic() + SECONDS_BETWEEN
        with self._idle:
            group, self._waiting, self._rows = self._waiting, [], 0
        try:
            self._answer(group)
        finally:
            with self._idle:
                self._running = bool(self._waiting)
                if self._running:
                    self._begin()
                self._idle.notify_all()

    def _answer(self, group: Sequence[Waiting[Asked, Outcome]]) -> None:
        try:
            outcomes = self._commit([one.asked for one in group])
            for one, outcome in zip(group, outcomes, strict=True):
                one.future.set_result(outcome)
        finally:
            # after an error of our own nobody waits for ever
            text = "the row could not be taken; whether it is kept is not known"
            for one in group:
                if not one.future.done():
                    one.future.set_exception(StoreError(text, hint="see the log of the server"))


def _tell(done: Future[None]) -> None:
    if done.exception() is not None:
        _LOG.error("taking pushed rows failed", exc_info=done.exception())

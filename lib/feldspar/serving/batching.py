"""Requests that wait at the same time are answered together: one round trip, one call of a model.

While a batch is under way, what comes in gathers for the next one; so batches grow with the load,
and a lone request waits for nobody. An ask of many items is answered part by part, in turn with
those that came after it, so that nobody waits for all of it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context
from itertools import islice
from typing import Generic, TypeVar

Item = TypeVar("Item")
Found = TypeVar("Found")
Answer = TypeVar("Answer")


class Batcher(Generic[Item, Found, Answer]):
    """Answers items in batches; lives on one event loop.

    Args:
        fetch: what a batch needs from outside; runs in a thread, since it waits for a socket.
        answer: the answers to a batch and what was fetched for it, in the order of its items.
        most: items of a batch.
    """

    def __init__(
        self,
        fetch: Callable[[Sequence[Item]], Found],
        answer: Callable[[Sequence[Item], Found], Sequence[Answer]],
        *,
        most: int,
    ) -> None:
        self._fetch, self._answer, self._most = fetch, answer, most
        self._waiting: deque[_Ask[Item, Answer]] = deque()
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="fetch")
        self._running: asyncio.Task[None] | None = None

    async def ask(self, items: Sequence[Item]) -> Sequence[Answer]:
        """The answers to one item or more, in order.

        Raises:
            Exception: whatever fetching or answering raised.
        """
        loop = asyncio.get_running_loop()
        ask: _Ask[Item, Answer] = _Ask(items, loop.create_future())
        self._waiting.append(ask)
        if self._running is None:
            # of nobody's request: what is logged in a batch does not carry the id of the first
            self._running = loop.create_task(self._run(), context=Context())
        return await ask.done

    def close(self) -> None:
        """Ends the thread."""
        self._threads.shutdown(wait=True)

    async def _run(self) -> None:
        try:
            while batch := self._next():
                await self._one_batch(batch)
        finally:
            self._running = None

    def _next(self) -> list[tuple[_Ask[Item, Answer], Sequence[Item]]]:
        """Parts of asks, up to ``most`` items; what is left of an ask waits behind the others."""
        batch: list[tuple[_Ask[Item, Answer], Sequence[Item]]] = []
        left, again = self._most, []
        while self._waiting and left:
            ask = self._waiting.popleft()
            if ask.done.done():
                continue  # who asked went away, or a part of it failed
            part = ask.items[ask.taken : ask.taken + left]
            ask.taken += len(part)
            left -= len(part)
            batch.append((ask, part))
            if ask.taken < len(ask.items):
                again.append(ask)
        self._waiting.extend(again)
        return batch

    async def _one_batch(self, batch: Sequence[tuple[_Ask[Item, Answer], Sequence[Item]]]) -> None:
        items = [item for _, part in batch for item in part]
        task = asyncio.ensure_future(self._answers(items))
        # waited for, not awaited: what it raises is told to whoever asked
        await asyncio.wait([task])
        error = task.exception()
        answers = iter(()) if error is not None else iter(task.result())
        for ask, part in batch:
            ask.answers.extend(islice(answers, len(part)))
            # who went away meanwhile has cancelled its future
            if ask.done.done():
                continue
            if error is not None:
                ask.done.set_exception(error)
            elif len(ask.answers) == len(ask.items):
                ask.done.set_result(ask.answers)

    async def _answers(self, items: Sequence[Item]) -> Sequence[Answer]:
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._threads, self._fetch, items)
        return self._answer(items, found)


class _Ask(Generic[Item, Answer]):
    """Items of one caller, how many of them were taken into a batch, and what was answered."""

    __slots__ = ("answers", "done", "items", "taken")

    def __init__(self, items: Sequence[Item], done: asyncio.Future[Sequence[Answer]]) -> None:
        self.items, self.done = items, done
        self.taken = 0
        self.answers: list[Answer] = []

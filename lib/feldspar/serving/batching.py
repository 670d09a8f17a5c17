"""Requests that wait at the same time are answered together: one round trip, one call of a model.

While a batch is under way, what comes in gathers for the next one; so batches grow with the load,
and a lone request waits for nobody.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

Item = TypeVar("Item")
Found = TypeVar("Found")
Answer = TypeVar("Answer")


class Batcher(Generic[Item, Found, Answer]):
    """Answers items in batches; lives on one event loop.

    Args:
        fetch: what a batch needs from outside; runs in a thread, since it waits for a socket.
        answer: the answers to a batch and what was fetched for it, in the order of its items.
        most: items of a batch; one ask with more of them is a batch of its own.
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
        """The answers to ``items``, in order.

        Raises:
            Exception: whatever fetching or answering raised.
        """
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Sequence[Answer]] = loop.create_future()
        self._waiting.append(_Ask(items, done))
        if self._running is None:
            self._running = loop.create_task(self._run())
        return await done

    def close(self) -> None:
        """Ends the thread."""
        self._threads.shutdown(wait=True)

    async def _run(self) -> None:
        try:
            while self._waiting:
                await self._one_batch(self._next())
        finally:
            self._running = None

    def _next(self) -> list[_Ask[Item, Answer]]:
        batch = [self._waiting.popleft()]
        size = len(batch[0].items)
        while self._waiting and size + len(self._waiting[0].items) <= self._most:
            batch.append(self._waiting.popleft())
            size += len(batch[-1].items)
        return batch

    async def _one_batch(self, batch: Sequence[_Ask[Item, Answer]]) -> None:
        items = [item for one in batch for item in one.items]
        task = asyncio.ensure_future(self._answers(items))
        # waited for, not awaited: what it raises is told to whoever asked
        await asyncio.wait([task])
        error = task.exception()
        at = 0
        for one in batch:
            # who went away meanwhile has cancelled its future
            if one.done.done():
                pass
            elif error is not None:
                one.done.set_exception(error)
            else:
                one.done.set_result(task.result()[at : at + len(one.items)])
            at += len(one.items)

    async def _answers(self, items: Sequence[Item]) -> Sequence[Answer]:
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._threads, self._fetch, items)
        return self._answer(items, found)


class _Ask(Generic[Item, Answer]):
    """Items that are answered at once, and who waits for them."""

    __slots__ = ("done", "items")

    def __init__(self, items: Sequence[Item], done: asyncio.Future[Sequence[Answer]]) -> None:
        self.items, self.done = items, done

"""Requests that wait together are answered together, each with its own answer."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import pytest

from feldspar.serving.batching import Batcher


class Recorder:
    """Doubles numbers; holds each fetch until it is let go."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.go = threading.Event()
        self.go.set()

    def fetch(self, items: Sequence[int]) -> int:
        self.batches.append(list(items))
        assert self.go.wait(30)
        if 13 in items:
            raise ValueError("unlucky")
        return 2

    def answer(self, items: Sequence[int], factor: int) -> list[int]:
        return [item * factor for item in items]


def _run(asks: Sequence[Sequence[int]], recorder: Recorder, *, most: int) -> list[object]:
    async def main() -> list[object]:
        batcher = Batcher(recorder.fetch, recorder.answer, most=most)
        recorder.go.clear()
        waiting = [asyncio.ensure_future(batcher.ask(ask)) for ask in asks]
        await asyncio.wait(waiting, timeout=0.01)
        recorder.go.set()
        try:
            return list(await asyncio.gather(*waiting, return_exceptions=True))
        finally:
            batcher.close()

    return asyncio.run(main())


def test_what_waits_while_a_batch_runs_is_the_next_batch() -> None:
    recorder = Recorder()

    answers = _run([[1], [2, 3], [4]], recorder, most=100)

    assert answers == [[2], [4, 6], [8]]
    assert [len(one) for one in recorder.batches] in ([4], [1, 3])


def test_a_large_ask_is_answered_in_turn_with_those_behind_it() -> None:
    recorder = Recorder()

    answers = _run([[1, 2, 3, 4, 5], [6], [7, 8]], recorder, most=2)

    assert answers == [[2, 4, 6, 8, 10], [12], [14, 16]]
    assert recorder.batches == [[1, 2], [6, 7], [3, 4], [8, 5]]


def test_what_is_left_of_a_failed_ask_is_not_asked() -> None:
    recorder = Recorder()

    answers = _run([[13, 1, 2, 3], [4]], recorder, most=2)

    assert isinstance(answers[0], ValueError)
    assert answers[1:] == [[8]]
    assert recorder.batches == [[13, 1], [4]]


def test_an_error_reaches_who_asked_and_the_next_batch_goes_on() -> None:
    recorder = Recorder()

    answers = _run([[13], [1], [2]], recorder, most=1)

    assert isinstance(answers[0], ValueError)
    assert answers[1:] == [[2], [4]]


def test_who_goes_away_does_not_hurt_the_others() -> None:
    recorder = Recorder()

    async def main() -> list[int]:
        batcher = Batcher(recorder.fetch, recorder.answer, most=10)
        recorder.go.clear()
        gone = asyncio.ensure_future(batcher.ask([1]))
        await asyncio.wait([gone], timeout=0.01)
        gone.cancel()
        staying = asyncio.ensure_future(batcher.ask([2]))
        await asyncio.wait([staying], timeout=0.01)
        recorder.go.set()
        try:
            return list(await staying)
        finally:
            batcher.close()

    assert asyncio.run(main()) == [4]


@pytest.mark.parametrize("many", [200])
def test_many_askers_each_get_their_own(many: int) -> None:
    recorder = Recorder()

    answers = _run([[number * 100] for number in range(1, many)], recorder, most=50)

    assert answers == [[number * 200] for number in range(1, many)]
    assert max(len(one) for one in recorder.batches) <= 50

"""Token buckets by a clock of the test's own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feldspar.serving.access.callers import TooManyError
from feldspar.serving.access.rates import Rates


class Clock:
    def __init__(self) -> None:
        self.now = 1e6

    def __call__(self) -> float:
        return self.now


def taken(rates: Rates, name: str, tries: int) -> int:
    count = 0
    for _ in range(tries):
        try:
            rates.take(name)
        except TooManyError:
            return count
        count += 1
    return count


def test_a_full_bucket_holds_its_burst_and_fills_by_its_rate() -> None:
    clock = Clock()
    rates = Rates(10.0, 5, clock=clock)
    first = taken(rates, "a", 100)
    clock.now += 0.3
    second = taken(rates, "a", 100)
    clock.now += 1_000
    third = taken(rates, "a", 100)

    assert (first, second, third) == (5, 3, 5)


def test_callers_have_buckets_of_their_own() -> None:
    rates = Rates(1.0, 2, clock=Clock())
    taken(rates, "a", 10)

    assert taken(rates, "b", 10) == 2


def test_a_refusal_says_when_to_come_back_and_that_is_enough() -> None:
    clock = Clock()
    rates = Rates(0.25, 1, clock=clock)
    rates.take("a")
    with pytest.raises(TooManyError) as caught:
        rates.take("a")
    clock.now += int(caught.value.headers["retry-after"])

    rates.take("a")


def test_memory_does_not_grow_with_callers() -> None:
    rates = Rates(1.0, 5, most=100, clock=Clock())

    for number in range(10_000):
        rates.take(str(number))

    assert len(rates) == 100


def test_who_asks_often_is_not_forgotten_for_others() -> None:
    rates = Rates(1e-3, 3, most=10, clock=Clock())
    allowed = 0
    for number in range(1_000):
        allowed += taken(rates, "greedy", 1)
        rates.take(str(number))

    assert allowed == 3


def test_without_a_rate_nobody_is_limited_or_remembered() -> None:
    rates = Rates(None, 1)

    assert (taken(rates, "a", 50), len(rates)) == (50, 0)


@given(
    rate=st.floats(0.1, 1e4),
    burst=st.integers(1, 50),
    pauses=st.lists(st.floats(0, 2), min_size=1, max_size=60),
)
def test_never_more_than_the_burst_and_what_came_since(
    rate: float, burst: int, pauses: list[float]
) -> None:
    clock = Clock()
    rates = Rates(rate, burst, clock=clock)
    allowed, started = 0, clock.now
    for pause in pauses:
        clock.now += pause
        allowed += taken(rates, "a", 1)
        assert allowed <= burst + (clock.now - started) * rate + 1e-3 * rate + 1e-6

"""Payments that arrive in deliveries: late, corrected, refused at first, or left behind; by a seed.

A payment is asked about when it happens. It is received minutes or days later, and what is received
up to a cut is in that delivery's file; only stragglers miss theirs. Times are microseconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import count
from random import Random

from feldspar.times import to_micros
from support.late_payments import DAY, HOUR, Payment

START = to_micros(datetime(2018, 4, 11, tzinfo=UTC))
PERIOD, PUSHED_WITHIN = 6 * HOUR, 2 * HOUR
SERVING_DELAY = PERIOD + PUSHED_WITHIN
"""A row waits for its delivery, then for the push."""
PAST, EACH_IN_THE_PAST = 9 * DAY, 8
MINUTE = HOUR // 60
LATE, REFUSED, CORRECTED, STALE = 0.15, 0.02, 0.08, 0.005
"""Shares of payments, and of the answers by keys that are asked about stragglers."""
LIMIT, REPLAY_EVERY = 1_000, 3


@dataclass(frozen=True)
class Arrival:
    """A version of a payment.

    Attributes:
        payment: what its line says.
        sent: the delivery whose file has it.
        counts: the delivery since which silver has it.
        known: since when it is known.
    """

    payment: Payment
    sent: int
    counts: int
    known: int


@dataclass(frozen=True)
class Sizes:
    """How many answers are asked for, over how many deliveries."""

    answers: int
    deliveries: int

    @property
    def customers(self) -> int:
        """Those who pay all the time; stragglers are customers besides."""
        return max(200, self.answers // 50)

    def scored(self, delivery: int) -> int:
        """Answers about a payment that has just happened."""
        return self._of(delivery) // 2

    def by_keys(self, delivery: int) -> int:
        """Answers about a customer."""
        return self._of(delivery) - self.scored(delivery)

    def stale(self, delivery: int) -> int:
        """Of these the ones about customers whose newest payment has missed its delivery."""
        is_last = delivery == self.deliveries - 1
        return 0 if is_last else round(STALE * self.by_keys(delivery))

    def _of(self, delivery: int) -> int:
        return self.answers // self.deliveries + (delivery < self.answers % self.deliveries)


@dataclass(frozen=True)
class Deliveries:
    """What happens: payments to ask about, delivery by delivery, and all that ever arrives."""

    sizes: Sizes
    scored: tuple[tuple[Payment, ...], ...]
    stragglers: tuple[tuple[Arrival, ...], ...]
    arrivals: tuple[Arrival, ...]

    def lines(self, delivery: int) -> list[str]:
        """A delivery's file."""
        return [one.payment.line for one in self.arrivals if one.sent == delivery]


def cut(delivery: int) -> int:
    """What is received up to here is in the delivery's file."""
    return START + delivery * PERIOD


def delivery_of(received: int) -> int:
    """The first whose cut is not before."""
    return max(0, -((START - received) // PERIOD))


def is_replayed(delivery: int) -> bool:
    """Whether refused rows are judged again after it, by a wider bound."""
    return delivery % REPLAY_EVERY == REPLAY_EVERY - 1


def bound(delivery: int) -> int:
    """The largest amount that is taken when a delivery comes."""
    return LIMIT * 2 ** sum(is_replayed(one) for one in range(delivery))


def arrival(payment: Payment, *, behind: int = 0) -> Arrival:
    """How a payment arrives, some deliveries after its own."""
    sent = delivery_of(payment.received) + behind
    if payment.amount <= bound(sent):
        return Arrival(payment, sent, sent, payment.received)
    accepted = next(one for one in count(sent) if is_replayed(one))
    return Arrival(payment, sent, accepted, max(payment.received, cut(accepted)))


def deliveries(seed: int, sizes: Sizes) -> Deliveries:
    """The same for the same seed and sizes."""
    making = _Making(Random(seed), sizes)
    rounds = range(sizes.deliveries)
    scored = tuple(tuple(making.scored(one)) for one in rounds)
    stragglers = tuple(tuple(making.stragglers(one)) for one in rounds)
    past = tuple(making.past())
    first = tuple(making.first())
    paid = [arrival(one) for one in (*past, *(one for each in scored for one in each))]
    corrected = [arrival(one) for one in making.corrections(paid)]
    left_behind = [one for each in stragglers for one in each]
    arrivals = [arrival(one) for one in first] + paid + corrected + left_behind
    making.random.shuffle(arrivals)
    return Deliveries(sizes, scored, stragglers, tuple(arrivals))


class _Making:
    def __init__(self, random: Random, sizes: Sizes) -> None:
        self.random, self.sizes = random, sizes
        self._ids, self._customers = count(), sizes.customers

    def first(self) -> Iterator[Payment]:
        """One of each customer that there is by now; it comes in time, so Redis knows them all."""
        for customer in range(self._customers):
            time = self.random.randint(START - 3 * DAY, START - DAY)
            yield self._payment(customer, time, self._soon(time))

    def past(self) -> Iterator[Payment]:
        for _ in range(EACH_IN_THE_PAST * self.sizes.customers):
            yield self._some_payment(START - PAST, START)

    def scored(self, delivery: int) -> Iterator[Payment]:
        for _ in range(self.sizes.scored(delivery)):
            yield self._some_payment(cut(delivery) + 1, cut(delivery + 1))

    def stragglers(self, delivery: int) -> Iterator[Arrival]:
        """Received before this delivery's cut, and sent with the next; visible in between."""
        for _ in range(self.sizes.stale(delivery)):
            received = self.random.randint(cut(delivery - 1) + 1, cut(delivery) - 3 * HOUR)
            time = received - self.random.randint(0, 5 * MINUTE)
            yield arrival(self._payment(self._customers, time, received), behind=1)
            self._customers += 1

    def corrections(self, paid: list[Arrival]) -> Iterator[Payment]:
        """Of payments that were not refused: another amount, customer or time."""
        for one in paid:
            if one.known == one.payment.received and self.random.random() < CORRECTED:
                yield self._corrected(one.payment)

    def _corrected(self, payment: Payment) -> Payment:
        later = replace(payment, received=payment.received + self.random.randint(HOUR, 36 * HOUR))
        what = self.random.randrange(3)
        if what == 0:
            return replace(later, amount=self._amount())
        if what == 1:
            return replace(later, customer=self._somebody())
        return replace(later, time=self.random.randint(payment.time - DAY, later.received))

    def _some_payment(self, first: int, last: int) -> Payment:
        time = self.random.randint(first, last)
        is_late = self.random.random() < LATE
        received = time + self.random.randint(HOUR, 2 * DAY) if is_late else self._soon(time)
        paid = self._payment(self._somebody(), time, received)
        is_refused = self.random.random() < REFUSED
        return replace(paid, amount=1.5 * bound(delivery_of(received))) if is_refused else paid

    def _payment(self, customer: int, time: int, received: int) -> Payment:
        return Payment(next(self._ids), time, received, customer, self._amount())

    def _soon(self, time: int) -> int:
        return time + self.random.randint(0, 5 * MINUTE)

    def _somebody(self) -> int:
        """Some pay often."""
        return int(self.sizes.customers * self.random.random() ** 2)

    def _amount(self) -> float:
        return round(self.random.uniform(1, 100), 2)

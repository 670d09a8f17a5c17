"""What is asked between two deliveries: payments as they happen, customers at any time.

Many times lie on an edge: where a payment leaves a window or runs out, or becomes visible.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

from feldspar.graph.graph import Graph
from feldspar.serving.requests import Question
from support.deliveries import (
    PUSHED_WITHIN,
    SERVING_DELAY,
    Arrival,
    Deliveries,
    cut,
)
from support.late_payments import DAY, Payment

EDGES = (DAY, 3 * DAY, 7 * DAY)
ON_AN_EDGE = 0.3


@dataclass(frozen=True)
class Asked:
    """Questions of one delivery, at times by which it need not be pushed yet, and later ones."""

    behind: tuple[Question, ...]
    ahead: tuple[Question, ...]


class Asking:
    """Makes the questions of each delivery; the same for the same seed."""

    def __init__(self, graph: Graph, delivered: Deliveries, seed: int) -> None:
        self._request = [name for name, _ in graph.service("fraud").request]
        self._delivered, self._random = delivered, Random(seed)
        self._arrivals: dict[int, list[Arrival]] = {}
        for one in delivered.arrivals:
            self._arrivals.setdefault(one.payment.customer, []).append(one)

    def asked(self, delivery: int) -> Asked:
        """All questions of one delivery, in random order."""
        found = [
            *self._about_payments(delivery),
            *self._about_stragglers(delivery),
            *self._about_customers(delivery),
        ]
        self._random.shuffle(found)
        pushed = cut(delivery) + PUSHED_WITHIN
        behind = tuple(one for at, one in found if at <= pushed)
        return Asked(behind, tuple(one for at, one in found if at > pushed))

    def _about_payments(self, delivery: int) -> Iterator[tuple[int, Question]]:
        for one in self._delivered.scored[delivery]:
            values = {name: _values(one).get(name) for name in self._request}
            yield one.time, Question("fraud", values, {"customer_id": one.customer}, None)

    def _about_stragglers(self, delivery: int) -> Iterator[tuple[int, Question]]:
        for one in self._delivered.stragglers[delivery]:
            at = self._random.randint(one.known + SERVING_DELAY, cut(delivery + 1))
            yield at, _by_key(one.payment.customer, at)

    def _about_customers(self, delivery: int) -> Iterator[tuple[int, Question]]:
        sizes = self._delivered.sizes
        for _ in range(sizes.by_keys(delivery) - sizes.stale(delivery)):
            customer = self._random.randrange(sizes.customers)
            at = self._time(customer, delivery)
            yield at, _by_key(customer, at)

    def _time(self, customer: int, delivery: int) -> int:
        first, last = cut(delivery) + 1, cut(delivery + 1)
        if self._random.random() < ON_AN_EDGE:
            edges = [at for at in self._edges(customer) if first <= at <= last]
            if edges:
                return self._random.choice(edges)
        return self._random.randint(first, last)

    def _edges(self, customer: int) -> Iterator[int]:
        for one in self._arrivals[customer]:
            for edge in (*[one.payment.time + size for size in EDGES], one.known + SERVING_DELAY):
                yield from (edge - 1, edge, edge + 1)


def _values(payment: Payment) -> Mapping[str, Any]:
    """What a request says of a payment."""
    return {
        "transaction_id": payment.ident,
        "tx_datetime": payment.time,
        "customer_id": payment.customer,
        "terminal_id": 3,
        "amount": payment.amount,
    }


def _by_key(customer: int, at: int) -> Question:
    values = {"customer_id": customer}
    return Question("lending", values, values, at)

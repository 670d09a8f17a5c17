"""Payments that come in batches, and what a service must answer of them at noon."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import product
from random import Random
from typing import Any

import pandas as pd

from feldspar.graph.graph import Graph
from feldspar.stores.tables.spark import SparkTables
from support.callers import Answer, Call
from support.served_shop import EVENT
from support.shop import Payment
from support.small_project import FILES

WITH_FALLBACK = {
    "services/fraud.yaml": f"{FILES['services/fraud.yaml']}fallback: missing\n",
    "services/lending.yaml": """\
entities: customer
features: [customer_spend, last_payment]
fallback: missing
""",
}
"""Both services of the small project answer without Redis, too."""
CUSTOMERS = range(40)
_FIRST = (0.48, 3.3, 5.7, 20.2)
"""Days before noon; each later batch brings a payment that is newer than all others."""
_DAYS = {"1d": 1, "7d": 7}
Features = Mapping[str, float | None]


class ServedPayments:
    """What was paid, in batches that gold has one version each of.

    Args:
        graph: with ``WITH_FALLBACK``.
        predict: the probability of a row of the fraud service's features.
        seed: of amounts.
    """

    def __init__(
        self, graph: Graph, predict: Callable[[pd.DataFrame], float], *, seed: int
    ) -> None:
        self._inputs = [one.name for one in graph.service("fraud").outputs]
        self._views = list(graph.views)
        self._predict = predict
        self._random = Random(seed)
        self._paid: dict[int, list[Payment]] = {one: [] for one in CUSTOMERS}
        self._batch_of: dict[tuple[str, int], int] = {}
        self._spend: dict[tuple[int, int, bool], Features] = {}
        self._last: dict[tuple[int, int], float] = {}
        self._probabilities: dict[tuple[int, int, int], float] = {}
        self._newest = -1

    def more(self) -> list[Payment]:
        """The payments of one more batch."""
        batch = self._newest + 1
        days = _FIRST if batch == 0 else (0.45 / (batch + 1),)
        made = []
        for place, (customer, day) in enumerate(product(CUSTOMERS, days)):
            ident = batch * 1_000 + place
            amount = round(self._random.uniform(5.0, 25.0), 2)
            made.append(Payment(ident, customer, amount, day))
            self._paid[customer].append(made[-1])
        return made

    def loaded(self, tables: SparkTables) -> None:
        """Gold has the payments that were made last."""
        batch = self._newest + 1
        for customer, paid in self._paid.items():
            self._last[batch, customer] = min(paid, key=lambda one: one.happened).amount or 0.0
            for is_event in (False, True):
                self._spend[batch, customer, is_event] = _spend(paid, is_event=is_event)
        for view in self._views:
            self._batch_of[view, tables.version("gold", view)] = batch
        self._newest = batch

    def calls(self) -> list[Call]:
        """Each customer's features by key, and features and score of a payment."""
        return [one for customer in CUSTOMERS for one in self._calls(customer)]

    def is_newest(self, answer: Answer) -> bool:
        """Whether Redis equals the newest gold."""
        return not answer["degraded"] and set(self._batches(answer)) == {self._newest}

    def is_older(self, answer: Answer) -> bool:
        """Whether Redis has an older state of gold."""
        return not answer["degraded"] and max(self._batches(answer)) < self._newest

    def _batches(self, answer: Answer) -> list[int]:
        return [self._batch_of[one] for one in answer["versions"].items()]

    def _calls(self, customer: int) -> Iterator[Call]:
        event = {"event": {**EVENT, "customer_id": customer}}
        features, score = self._are_features, self._is_score
        key = {"customer_id": customer}
        yield Call("/features/lending", key, partial(features, customer, False))
        yield Call("/features/fraud", event, partial(features, customer, True))
        yield Call("/score/fraud", event, partial(score, customer))

    def _are_features(self, customer: int, is_event: bool, answer: Answer) -> bool:
        if answer["degraded"]:
            return _is_of_nothing(answer)
        found = answer["features"]
        return any(
            all(_close(found[name], value) for name, value in one.items())
            for one in (
                self._features(customer, spend, last, is_event=is_event)
                for spend, last in self._possible(answer)
            )
        )

    def _is_score(self, customer: int, answer: Answer) -> bool:
        if answer["degraded"]:
            return _is_of_nothing(answer)
        found = answer["probability"]
        return any(
            _close(found, self._probability(customer, spend, last))
            for spend, last in self._possible(answer)
        )

    def _possible(self, answer: Answer) -> Iterator[tuple[int, int]]:
        """Batches of both views: a push writes values before its cursor."""
        first = {view: self._batch_of[view, number] for view, number in answer["versions"].items()}
        upto = self._newest + 1
        return product(range(first["customer_spend"], upto), range(first["last_payment"], upto))

    def _features(self, customer: int, spend: int, last: int, *, is_event: bool) -> Features:
        found = self._spend[spend, customer, is_event]
        amount, average = self._last[last, customer], found["customer_spend__avg_amount_7d"]
        return {
            **found,
            "last_payment__last_amount": amount,
            "last_payment__last_amount_twice": 2 * amount,
            "last_payment__ratio": 2 * amount / average if average else None,
        }

    def _probability(self, customer: int, spend: int, last: int) -> float:
        place = (customer, spend, last)
        if place not in self._probabilities:
            found = self._features(customer, spend, last, is_event=True)
            row = {name: [found.get(name, EVENT["amount"])] for name in self._inputs}
            self._probabilities[place] = self._predict(pd.DataFrame(row))
        return self._probabilities[place]


def _spend(paid: list[Payment], *, is_event: bool) -> Features:
    found: dict[str, float | None] = {}
    for window, days in _DAYS.items():
        amounts = [one.amount or 0.0 for one in paid if one.happened < days]
        amounts += [EVENT["amount"]] if is_event else []
        found[f"customer_spend__count_{window}"] = len(amounts)
        average = math.fsum(amounts) / len(amounts) if amounts else None
        found[f"customer_spend__avg_amount_{window}"] = average
    return found


def _is_of_nothing(answer: Answer) -> bool:
    return answer["versions"] == {} and "last_payment__last_amount" in answer["missing"]


def _close(found: Any, value: float | None) -> bool:
    if found is None or value is None:
        return found is value
    # probabilities are answered to twelve digits
    return math.isclose(found, value, rel_tol=1e-9, abs_tol=1e-11)

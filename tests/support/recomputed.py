"""Served vectors, recomputed by the plain-Python oracle from the payments that had been delivered.

It is told which delivery each version of gold ends with, and shares no code with the pipeline.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isclose
from typing import Any

from feldspar.compute.services.plans import aggregations, pit_plan
from feldspar.compute.services.served import AT, REQUEST_ID, stamp_column, version_column
from feldspar.compute.windows.rule import WindowRule
from feldspar.graph.graph import Graph
from feldspar.graph.view import PlainView, WindowedView
from feldspar.times import duration_micros, to_micros
from property.closeness import difference
from property.oracle import Question, Value, Version, newest, window
from support.deliveries import Arrival

SPEND, LAST = "customer_spend", "last_payment"
AMOUNT, TWICE, RATIO = (f"{LAST}__{name}" for name in ("last_amount", "last_amount_twice", "ratio"))
MEAN = f"{SPEND}__avg_amount_7d"
Row = Mapping[str, Any]
Versions = Mapping[str, Mapping[int, int]]
"""View to version of gold to the last delivery that is in it."""


class Recomputing:
    """Holds served rows against the oracle, value by value."""

    def __init__(self, graph: Graph, arrivals: Sequence[Arrival], versions: Versions) -> None:
        spend, last = graph.view(SPEND), graph.view(LAST)
        assert isinstance(spend, WindowedView)
        assert isinstance(last, PlainView)
        self._items = aggregations(spend)
        self._arguments = [one.name for one in spend.columns]
        self._rule = WindowRule(
            serving_delay=duration_micros(spend.serving_delay), request_event=spend.request_event
        )
        self._plan = pit_plan(last, keys=("customer_id",), time=AT)
        self._versions = versions
        self._by_customer = _by_customer(arrivals)

    def differences(self, row: Row) -> list[str]:
        """What is wrong with one served row; empty: nothing."""
        found = [*self._windows(row), *self._last(row), *_computed(row)]
        return [f"request {row[REQUEST_ID]}: {one}" for one in found if one]

    def _windows(self, row: Row) -> list[str]:
        question = self._question(row)
        versions = self._known(row, self._delivery(row, SPEND))
        pool = [*[one.values for one in versions], question.own]
        return [
            difference(item, row[item.name], window(question, versions, item, self._rule), pool)
            for item in self._items
        ]

    def _last(self, row: Row) -> list[str]:
        """A stored row names no version, and is there before the cursor of its push."""
        delivery, served = self._delivery(row, LAST), row[AMOUNT]
        pushed, next_push = [self._newest(row, one) for one in (delivery, delivery + 1)]
        if served in (pushed, next_push):
            return []
        return [f"{AMOUNT}: {served!r}, expected {pushed!r}"]

    def _newest(self, row: Row, delivery: int) -> Value:
        versions = self._known(row, delivery)
        place = newest(self._question(row), versions, self._plan)
        return None if place is None else versions[place].values["last_amount"]

    def _question(self, row: Row) -> Question:
        own = dict.fromkeys(self._arguments, row.get("amount"))
        return Question((row["customer_id"],), to_micros(row[AT]), row.get("transaction_id"), own)

    def _delivery(self, row: Row, view: str) -> int:
        """The one whose push the row was answered from: the value's own where it is newer."""
        version = max(row[version_column(view)], row[stamp_column(view)] or 0)
        return self._versions[view][version]

    def _known(self, row: Row, delivery: int) -> list[Version]:
        """What had been delivered of the customer's payments."""
        arrived = self._by_customer[row["customer_id"]]
        return [self._version(*one) for one in arrived if one[1].counts <= delivery]

    def _version(self, position: int, one: Arrival) -> Version:
        paid = one.payment
        values = dict.fromkeys([*self._arguments, "last_amount"], paid.amount)
        key = (paid.customer,)
        return Version(key, paid.time, one.known, one.counts, position, paid.ident, values)


def _by_customer(arrivals: Sequence[Arrival]) -> dict[int, list[tuple[int, Arrival]]]:
    """All versions of each payment that a customer ever had, numbered."""
    of_payment: dict[int, list[tuple[int, Arrival]]] = {}
    for place, one in enumerate(arrivals):
        of_payment.setdefault(one.payment.ident, []).append((place, one))
    found: dict[int, list[tuple[int, Arrival]]] = {}
    for versions in of_payment.values():
        for customer in {one.payment.customer for _, one in versions}:
            found.setdefault(customer, []).extend(versions)
    return found


def _computed(row: Row) -> list[str]:
    """Of the stored features as they were served."""
    last, mean = row[AMOUNT], row[MEAN]
    twice = None if last is None else 2 * last
    ratio = None if twice is None or mean is None else twice / mean
    expected = {TWICE: twice, RATIO: ratio}
    return [
        f"{name}: {row[name]!r}, expected {value!r}"
        for name, value in expected.items()
        if not _near(row[name], value)
    ]


def _near(served: float | None, expected: float | None) -> bool:
    if served is None or expected is None:
        return served is expected
    return isclose(served, expected, rel_tol=1e-9)

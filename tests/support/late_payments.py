"""Payments of which every fifth arrives up to ten days late, in two deliveries, and what the oracle
says of their features before and after the second one.

The oracle gets the delivered rows in plain Python and shares no code with the pipeline.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from feldspar.compute.pit.plan import AsOf
from feldspar.compute.services.plans import aggregations, pit_plan
from feldspar.compute.windows.rule import WindowRule
from feldspar.graph.graph import Graph
from feldspar.graph.view import PlainView, WindowedView
from feldspar.times import from_micros, to_micros
from property.oracle import Question, Value, Version, newest, window
from support.small_project import FILES

START = to_micros(datetime(2018, 4, 1, tzinfo=UTC))
HOUR, DAY = 3_600_000_000, 86_400_000_000
DAYS, PAYMENTS, CUSTOMERS = 20, 2_000, 25
FIRST_DELIVERY = START + 15 * DAY
HEADER = "transaction_id,tx_datetime,customer_id,terminal_id,amount,is_fraud,received_at\n"
CONF = {
    "sources/payments.yaml": FILES["sources/payments.yaml"].replace(
        "known_time: event_time + 0s", "known_time: received_at"
    ),
    "tables/transactions.yaml": FILES["tables/transactions.yaml"].replace(
        "  amount: double\n", "  amount: double\n  received_at: timestamp\n"
    ),
}
"""Files of the small project whose source says when each payment was received."""


@dataclass(frozen=True)
class Payment:
    """One payment; times in microseconds."""

    ident: int
    time: int
    received: int
    customer: int
    amount: float

    @property
    def line(self) -> str:
        """Its line in a file."""
        times = [from_micros(one).isoformat() for one in (self.time, self.received)]
        return f"{self.ident},{times[0]},{self.customer},3,{self.amount},false,{times[1]}"


def payments() -> list[Payment]:
    """All payments in the order in which they are received, some customers paying often."""
    random = np.random.default_rng(11)
    times = START + random.integers(0, DAYS * DAY, PAYMENTS)
    late = random.random(PAYMENTS) < 0.2
    received = times + np.where(late, random.integers(1, 10 * DAY, PAYMENTS), 0)
    customers = (CUSTOMERS * random.random(PAYMENTS) ** 2).astype(int)
    amounts = np.round(random.uniform(1, 100, PAYMENTS), 2)
    made = [
        Payment(number, int(times[number]), int(received[number]), int(customers[number]),
                float(amounts[number]))
        for number in range(PAYMENTS)
    ]  # fmt: skip
    return sorted(made, key=lambda one: one.received)


def write_spine(path: Path, rows: Sequence[Payment]) -> str:
    """A Parquet file of these payments as a training set's spine."""
    columns = {
        "transaction_id": pa.array([one.ident for one in rows], pa.int64()),
        "tx_datetime": pa.array([one.time for one in rows], pa.timestamp("us", "UTC")),
        "customer_id": pa.array([one.customer for one in rows], pa.int64()),
        "amount": pa.array([one.amount for one in rows]),
    }
    pq.write_table(pa.table(columns), path)
    return str(path)


def expected(
    graph: Graph, delivered: Sequence[Payment], spine: Sequence[Payment], as_of: AsOf
) -> dict[tuple[int, str], Value]:
    """What the oracle says: (transaction, feature) to value, of the stored features."""
    spend, last = graph.view("customer_spend"), graph.view("last_payment")
    assert isinstance(spend, WindowedView)
    assert isinstance(last, PlainView)
    arguments = [one.name for one in spend.columns]
    rule = WindowRule(as_of=as_of, request_event="include")
    plan = pit_plan(last, keys=("customer_id",), time="tx_datetime", as_of=as_of)
    by_customer = _versions(delivered, arguments)
    found: dict[tuple[int, str], Value] = {}
    for one in spine:
        own = dict.fromkeys(arguments, one.amount)
        question = Question((one.customer,), one.time, one.ident, own)
        versions = by_customer.get(one.customer, [])
        for item in aggregations(spend):
            found[one.ident, item.name] = window(question, versions, item, rule)
        place = newest(question, versions, plan)
        amount = None if place is None else versions[place].values["amount"]
        found[one.ident, "last_payment__last_amount"] = amount
    return found


def _versions(
    delivered: Sequence[Payment], arguments: Sequence[str]
) -> Mapping[int, list[Version]]:
    found: dict[int, list[Version]] = {}
    for position, one in enumerate(delivered):
        values: dict[str, Any] = dict.fromkeys([*arguments, "amount"], one.amount)
        version = Version(
            (one.customer,), one.time, one.received, 0, position, event_id=one.ident, values=values
        )
        found.setdefault(one.customer, []).append(version)
    return found

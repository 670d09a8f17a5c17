"""A lake with gold tables of a small project, and its online store: what pushes are tested with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession

from feldspar.features.gold import append_rows
from feldspar.features.layout import with_bucket
from feldspar.graph.compile import compile_graph
from feldspar.graph.graph import Graph
from feldspar.graph.view import View, WindowedView
from feldspar.online.push import PushResult, push
from feldspar.online.verify import VerifyResult, verify
from feldspar.spec.environment import Environment
from feldspar.spec.loading import load_definitions
from feldspar.stores.online import OnlineSettings, OnlineStore
from feldspar.stores.tables.bucketed import BUCKETS
from feldspar.stores.tables.lake import Lake
from feldspar.stores.tables.log import Txn
from feldspar.stores.tables.spark import Declared, SparkTables, nullable
from feldspar.times import to_micros
from support.small_project import write_project

NOON = datetime(2024, 5, 20, 12, tzinfo=UTC)
DAY = timedelta(days=1)
EXTRA = {
    "views/moved_spend.yaml": """\
entity: customer
from: transactions
windows: [3d]
delay: 2d
serving_delay: 1h
request_event: exclude
features:
  total: sum(amount)
  spread: stddev(amount)
  largest: {value: max(amount), default: -1}
"""
}
TILED = {
    "views/hourly_spend.yaml": """\
entity: customer
from: transactions
windows: [1d, 7d, 30d]
hop: {1d: 5m, 7d: 1h, 30d: 1h}
request_event: include
features:
  total: {value: sum(amount), default: 0}
  events: count()
  spread: stddev(amount)
  largest: max(amount)
  middle: approx_quantile(amount, 0.5)
  kinds: approx_distinct(amount)
  newest: last(amount, 2)
"""
}


@dataclass(frozen=True)
class Payment:
    """A version of a payment, in days before noon."""

    ident: int
    customer: int
    amount: float | None
    happened: float
    known: float | None = None


@dataclass
class Shop:
    """A lake with the gold tables of a small project, and its online store."""

    graph: Graph
    tables: SparkTables
    store: OnlineStore
    batch: int = 0
    generation: int = 0
    said: list[str] = field(default_factory=list)

    @property
    def views(self) -> list[View]:
        return list(self.graph.views.values())

    def load(self, *payments: Payment) -> None:
        """One more version of each gold table."""
        for view in self.views:
            rows = [self._row(view, one, place) for place, one in enumerate(payments)]
            frame = self.tables.spark.createDataFrame(rows, _ddl(view))
            schema = nullable(with_bucket(frame, view, 8).schema)
            declared = Declared(schema, {BUCKETS: "8"}, partition_by=("_bucket",))
            txn = Txn(f"features:{view.name}#0", self.batch)
            append_rows(frame, view, self.tables, txn=txn, declared=declared)
        self.batch += 1

    def _row(self, view: View, one: Payment, place: int) -> tuple[Any, ...]:
        happened = NOON - one.happened * DAY
        known = happened if one.known is None else NOON - one.known * DAY
        ident = (one.ident,) if isinstance(view, WindowedView) else ()
        retracted = (False,) if ident else ()
        return (one.customer, *ident, happened, known, self.batch, place, one.amount, *retracted)

    def push(
        self,
        clock: datetime = NOON,
        after: int | None = None,
        progress: Callable[[str], None] | None = None,
    ) -> list[PushResult]:
        return [
            push(
                view,
                tables=self.tables,
                store=self.store,
                after=after,
                generation=self.generation,
                clock=to_micros(clock),
                progress=progress or self.said.append,
            )
            for view in self.views
        ]

    def verify(self, at: datetime = NOON) -> tuple[VerifyResult, ...]:
        return verify(self.views, tables=self.tables, store=self.store, at=to_micros(at), buckets=2)

    def differences(self, *at: datetime) -> list[str]:
        return [text for t in at for one in self.verify(t) for text in one.examples]


def _ddl(view: View) -> str:
    ident = "_event_id bigint, " if isinstance(view, WindowedView) else ""
    value = view.columns[0].name
    clocks = "_event_time timestamp, _known_time timestamp, _batch bigint, _position bigint"
    retracted = ", _retracted boolean" if ident else ""
    return f"customer_id bigint, {ident}{clocks}, {value} double{retracted}"


@contextmanager
def opened_shop(
    spark: SparkSession,
    place: Environment,
    url: str,
    folder: Path,
    extra: Mapping[str, str] = EXTRA,
) -> Iterator[Shop]:
    graph = compile_graph(load_definitions(write_project(folder, dict(extra)), {}))
    with OnlineStore(OnlineSettings(url, place.namespace, "data")) as store:
        yield Shop(graph, SparkTables(spark, Lake.of(place)), store)


def history() -> list[Payment]:
    """Payments of 7 customers over 100 days, some late, some not yet known."""
    payments = []
    for ident in range(140):
        happened = (ident * 37) % 100 + ident / 200
        known = happened - (ident % 5 == 0) * 1.5
        amount = None if ident % 11 == 0 else ident * 1.25
        payments.append(Payment(ident, ident % 7, amount, happened, known))
    return payments

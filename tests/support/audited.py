"""A shop whose features are served, logged, ingested and audited; faults are put in by tests.

Answers are told apart by the hour in which they were given: one log, one ingest, many audits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession
from redis import Redis

from feldspar.graph.graph import Graph
from feldspar.graph.plan import plan
from feldspar.graph.steps import IngestStep
from feldspar.ingest.files import ingest_files
from feldspar.monitor.audit.findings import FeatureFindings, ServiceAudit
from feldspar.monitor.audit.run import Chosen, audit
from feldspar.serving.backend import Backend, UnknownEntityError
from feldspar.serving.recording import served_record
from feldspar.serving.requests import Question
from feldspar.serving.served import ServedLog, ServedRecord
from feldspar.spec.environment import Environment, RedisSpec
from feldspar.stores import deployed
from feldspar.stores.tables.log import Txn
from feldspar.stores.tables.spark import Declared, nullable
from feldspar.times import to_micros, utc_now
from support.places import silent
from support.scoring import FILES
from support.shop import DAY, NOON, Payment, Shop, history, opened_shop

CUSTOMERS = range(8)
"""Seven of ``history``, and one that nobody knows."""
TIMES = tuple(NOON + days * DAY for days in (-3.3, -1, -0.25, 0, 0.4, 2, 6.5))
HOUR = timedelta(hours=1)
Alter = Callable[[ServedRecord], ServedRecord]
Moved = Callable[[datetime], datetime]


def as_it_is(one: Any) -> Any:
    return one


@dataclass
class AuditedShop:
    """A shop, the answers that it gave, and what an audit of them says."""

    shop: Shop
    environment: Environment
    redis: Redis
    hours: list[str] = field(default_factory=list)
    records: list[ServedRecord] = field(default_factory=list)
    found: dict[tuple[str, str], ServiceAudit] = field(default_factory=dict)

    def serve(
        self,
        hour: str,
        *,
        graph: Graph | None = None,
        times: Sequence[datetime] = TIMES,
        customers: Sequence[int] = CUSTOMERS,
        ask: Moved = as_it_is,
        alter: Alter = as_it_is,
    ) -> None:
        """Answers for each customer at each time, by a server that may be at fault.

        Args:
            hour: by which the answers are audited.
            graph: what the server believes; default: what is true.
            times: T of the requests.
            customers: who.
            ask: the time that the server takes for T.
            alter: what the log has of an answer.
        """
        backend = Backend(graph or self.shop.graph, self.environment)
        for at in times:
            for customer in customers:
                values = {"customer_id": customer}
                question = Question("lending", values, values, to_micros(ask(at)))
                self._record(hour, backend, question, at=at, alter=alter)
        backend.close()

    def serve_payment(self, hour: str, payment: Payment) -> None:
        """An answer for a payment that is in no table yet."""
        backend = Backend(self.shop.graph, self.environment)
        at = NOON - payment.happened * DAY
        values: dict[str, Any] = {
            "transaction_id": payment.ident,
            "tx_datetime": to_micros(at),
            "customer_id": payment.customer,
            "terminal_id": 1,
            "amount": payment.amount,
        }
        keys = {"customer_id": payment.customer}
        question = Question("fraud", values, keys, None)
        self._record(hour, backend, question, at=at, alter=as_it_is)
        backend.close()

    def _record(
        self, hour: str, backend: Backend, question: Question, *, at: datetime, alter: Alter
    ) -> None:
        try:
            served = backend.one(question)
        except UnknownEntityError:
            return
        if hour not in self.hours:
            self.hours.append(hour)
        number = len(self.records)
        given = to_micros(self.hour(hour)) + number
        one = served_record(served, request_id=str(number), served_at=given)
        self.records.append(alter(one._replace(at=to_micros(at))))

    def hour(self, name: str) -> datetime:
        return NOON + self.hours.index(name) * HOUR

    def ingest(self, graph: Graph | None = None) -> None:
        """What was answered goes through the inbox to bronze."""
        believed = graph or self.shop.graph
        log = ServedLog(believed, self.environment)
        log.add(self.records)
        log.close()
        observed = deployed.observe_lake(believed, self.environment)
        for step in plan(believed, observed).to_run:
            if isinstance(step, IngestStep) and step.source.startswith("served_"):
                ingest_files(step, self.shop.tables, now=utc_now(), progress=silent)

    def audit(
        self, hour: str, service: str = "lending", *, sample: int | None = None
    ) -> ServiceAudit:
        """What is found in an hour's answers; the same is looked for once."""
        known = self.found.get((hour, service))
        if known is not None and sample is None:
            return known
        spec = self.shop.graph.service(service)
        chosen = Chosen(self.hour(hour), self.hour(hour) + HOUR, sample)
        event = self.shop.graph.event_of(spec)
        result = audit(spec, event, self.shop.tables, chosen=chosen, progress=silent)
        if sample is None:
            self.found[hour, service] = result
        return result

    def different(self, hour: str) -> dict[str, FeatureFindings]:
        """Stored features that differ: what is computed differs with them."""
        features = self.audit(hour).features
        return {one.feature: one for one in features if one.view and one.different}

    def causes(self, hour: str) -> dict[str, str]:
        return {name: one.cause for name, one in self.different(hour).items()}

    def put_silver(self, *payments: Payment) -> None:
        """The table of events gets these, as they happened."""
        rows = [
            (one.ident, when := NOON - one.happened * DAY, one.customer, 1, one.amount, when, 0, 0)
            for one in payments
        ]
        ddl = "transaction_id bigint, tx_datetime timestamp, customer_id bigint, terminal_id bigint"
        system = "_known_time timestamp, _batch bigint, _position bigint"
        frame = self.shop.tables.spark.createDataFrame(rows, f"{ddl}, amount double, {system}")
        declared = Declared(nullable(frame.schema))
        txn = Txn("refine:transactions#0", 1)
        self.shop.tables.append(frame, "silver", "transactions", txn=txn, declared=declared)

    def keys(self, pattern: str) -> dict[bytes, Any]:
        """What Redis holds of this shop under keys like that."""
        names: Any = self.redis.keys(f"{self.environment.namespace}:{pattern}")
        return {name: self.redis.dump(name) for name in names}

    def put(self, values: dict[bytes, Any]) -> None:
        """Puts values into Redis as they are, whatever lies there."""
        for name, value in values.items():
            self.redis.restore(name, 0, value, replace=True)


def busy() -> list[Payment]:
    """Payments of each customer every five hours of the last ten days: an hour's shift shows."""
    return [
        Payment(1_000 + number, number % 7, 0.5 + number, 0.031 * number) for number in range(320)
    ]


@contextmanager
def audited_shop(
    spark: SparkSession, place: Environment, url: str, folder: Path
) -> Iterator[AuditedShop]:
    """A shop with its whole history in gold and in Redis."""
    environment = place.model_copy(update={"redis": RedisSpec(url=url), "folder": folder})
    (folder / "data" / "payments").mkdir(parents=True)
    with (
        opened_shop(spark, environment, url, folder, FILES) as shop,
        Redis.from_url(url) as redis,
    ):
        shop.load(*history(), *busy())
        shop.push()
        yield AuditedShop(shop, environment, redis)

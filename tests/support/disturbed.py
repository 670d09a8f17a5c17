"""A lake that gets deliveries while it is served, by a Redis and a process that are started again.

Files go to Redis by the real stages, answers to bronze by the real log. With each delivery one
thing goes wrong: Redis comes back as it was before the push, or whole, or empty.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession
from redis import Redis

from feldspar.errors import FeldsparError, StoreError
from feldspar.graph.plan import plan
from feldspar.graph.steps import OnlineStep
from feldspar.monitor.audit.findings import ServiceAudit
from feldspar.monitor.audit.run import Chosen, audit
from feldspar.online.push import push
from feldspar.online.rebuild import rebuild
from feldspar.refine.replay import Chosen as Refused
from feldspar.refine.replay import replay
from feldspar.serving.backend import Backend, Outcome, Scored, Served
from feldspar.serving.recording import served_record
from feldspar.serving.requests import BATCH_ROWS, Question
from feldspar.serving.served import ServedLog
from feldspar.spec.environment import Environment, RedisSpec
from feldspar.stores import deployed
from feldspar.stores.online import OnlineStore
from feldspar.times import from_micros, to_micros, utc_now
from support import late_payments, scoring
from support.asking import Asked, Asking
from support.deliveries import SERVING_DELAY, Deliveries, Sizes, bound, cut, deliveries, is_replayed
from support.late_payments import HEADER, HOUR
from support.pipeline import TO_GOLD, Pipeline, open_pipeline
from support.places import silent
from support.small_project import FILES
from support.valkey import Valkey, valkey

SERVICES = ("fraud", "lending")
TABLE = "tables/transactions.yaml"
DELAYED = f"serving_delay: {SERVING_DELAY // HOUR}h\n"
MOMENT = 0.005
BATCHES = 8
Answers = Sequence[Outcome]


def conf(delivery: int) -> dict[str, str]:
    """Files of the project when a delivery comes: with each replay amounts may be larger."""
    table = late_payments.CONF[TABLE].replace("[0, 1000]", f"[0, {bound(delivery)}]")
    spend = FILES["views/customer_spend.yaml"].replace("request_event", f"{DELAYED}request_event")
    return {
        **late_payments.CONF,
        TABLE: table,
        "views/customer_spend.yaml": f"{spend}  largest: max(amount)\n",
        "views/last_payment.yaml": FILES["views/last_payment.yaml"].replace(
            "ttl: 90d\n", f"ttl: 3d\n{DELAYED}"
        ),
        "services/fraud.yaml": FILES["services/fraud.yaml"] + "fallback: missing\n",
        "services/lending.yaml": scoring.FILES["services/lending.yaml"],
    }


class Process:
    """What answers and logs, without its socket."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._backend = Backend(pipeline.graph, pipeline.environment)
        self._log = ServedLog(pipeline.graph, pipeline.environment)

    def answers(self, questions: Sequence[Question]) -> Answers:
        return self._backend.answer(questions, self._backend.fetch(questions))

    def log(self, answers: Sequence[Served | Scored], *, first: int) -> None:
        """Keeps answers under numbers from ``first`` on."""
        now = to_micros(utc_now())
        self._log.add(
            served_record(one, request_id=str(first + place), served_at=now)
            for place, one in enumerate(answers)
        )

    def close(self) -> None:
        self._backend.close()
        self._log.close()


@dataclass
class Disturbed:
    """The lake, its servers, and what has come of the questions so far.

    Attributes:
        versions: view to version of gold to the last delivery that is in it.
        given: answers from Redis.
        degraded: answers without it.
        refused: questions that nobody could answer while Redis was away or empty.
    """

    pipeline: Pipeline
    server: Valkey
    store: OnlineStore
    delivered: Deliveries
    asking: Asking
    process: Process
    versions: dict[str, dict[int, int]] = field(default_factory=dict)
    given: int = 0
    degraded: int = 0
    refused: int = 0

    def run(self) -> None:
        """All deliveries, one after the other, and at last what is left in the log."""
        self.deliver(0)
        self.push()
        first = self.asking.asked(0)
        self.ask([*first.behind, *first.ahead])
        disturbed = (self._emptied, self._put_back, self._kept)
        for delivery in range(1, self.delivered.sizes.deliveries):
            disturbed[delivery % 3](delivery, self.asking.asked(delivery))
        self.process.close()
        self.pipeline.run("ingest")

    def deliver(self, delivery: int) -> None:
        """A file goes to gold; before a replay the file before it comes once more."""
        self._put(delivery, f"{delivery}.csv")
        if is_replayed(delivery):
            self._put(delivery - 1, f"{delivery - 1}-again.csv")
            self._replay(delivery)
        self.pipeline.run(*TO_GOLD)
        for view in self.pipeline.graph.views:
            self.versions.setdefault(view, {})[self.pipeline.version("gold", view)] = delivery

    def push(self) -> None:
        """What a plan says is to be pushed."""
        pipeline = self.pipeline
        observed = deployed.observe_data(pipeline.graph, pipeline.environment, store=self.store)
        for step in plan(pipeline.graph, observed).to_run:
            if isinstance(step, OnlineStep):
                push(
                    pipeline.graph.view(step.view),
                    tables=pipeline.tables,
                    store=self.store,
                    after=step.after,
                    generation=step.generation,
                    clock=self._clock(),
                    progress=silent,
                )

    def ask(self, questions: Sequence[Question]) -> None:
        """Each must have an answer."""
        for batch in _batches(questions, BATCH_ROWS):
            self._log([_answered(one) for one in self.process.answers(batch)])

    def audits(self) -> dict[str, ServiceAudit]:
        """What the audit finds in each service's log."""
        graph, tables = self.pipeline.graph, self.pipeline.tables
        services = [graph.service(name) for name in SERVICES]
        return {
            one.name: audit(one, graph.event_of(one), tables, chosen=Chosen(), progress=silent)
            for one in services
        }

    def _put(self, delivery: int, name: str) -> None:
        self.pipeline.put(name, *self.delivered.lines(delivery), header=HEADER)

    def _replay(self, delivery: int) -> None:
        self.pipeline.run("ingest", "refine")
        self.pipeline = self.pipeline.with_files(conf(delivery + 1))
        self.pipeline.run("refine")
        table, now = self.pipeline.graph.table("transactions"), from_micros(cut(delivery))
        replay(table, Refused(), tables=self.pipeline.tables, now=now, progress=silent)

    def _put_back(self, delivery: int, asked: Asked) -> None:
        """Redis comes back as it was before the push; the process is started anew too."""
        first, second, third = _thirds(asked.behind)
        self.deliver(delivery)
        self.ask(first)
        self._snapshot()
        self._ask_while_pushing(second)
        self._restart_redis()
        self.ask(third)
        self.push()
        self._restart_process()
        self.ask(asked.ahead)

    def _kept(self, delivery: int, asked: Asked) -> None:
        """Redis comes back with all it had, to the same process."""
        first, second, third = _thirds(asked.behind)
        self.deliver(delivery)
        self.ask(first)
        self._ask_while_pushing(second)
        self._snapshot()
        self._restart_redis()
        self.ask([*third, *asked.ahead])
        self._restart_process()

    def _emptied(self, delivery: int, asked: Asked) -> None:
        """Redis is away, then there with nothing; it is pushed anew, and then rebuilt."""
        first, second, third = _thirds(asked.behind)
        self.deliver(delivery)
        self.ask(first)
        self._ask_while_pushing(second)
        self.server.stop()
        self._ask_in_vain(third)
        self._snapshot_file.unlink(missing_ok=True)
        self.server.start()
        self._ask_in_vain(third)
        self.push()
        self.ask(third)
        views = [*self.pipeline.graph.views.values()]
        tables, clock = self.pipeline.tables, self._clock()
        rebuild(views, tables=tables, store=self.store, clock=clock, progress=silent)
        self._restart_process()
        self.ask(asked.ahead)

    def _ask_while_pushing(self, questions: Sequence[Question]) -> None:
        """A batch each time that Redis has got more of the push; the others are asked after it."""
        waiting = deque(_batches(questions, max(1, min(BATCH_ROWS, len(questions) // BATCHES))))
        with ThreadPoolExecutor(1) as pool, self.server.client() as redis:
            seen, pushing = _writes(redis), pool.submit(self.push)
            while waiting and not wait([pushing], timeout=MOMENT).done:
                now = _writes(redis)
                if now != seen:
                    self.ask(waiting.popleft())
                seen = now
            pushing.result()
        for batch in waiting:
            self.ask(batch)

    def _ask_in_vain(self, questions: Sequence[Question]) -> None:
        """One batch that Redis has no answers to."""
        answers = self.process.answers(questions[:BATCH_ROWS])
        self.refused += sum(isinstance(one, StoreError) for one in answers)
        self._log([_answered(one) for one in answers if not isinstance(one, StoreError)])

    def _log(self, answers: Sequence[Served | Scored]) -> None:
        self.process.log(answers, first=self.given + self.degraded)
        degraded = sum(_served(one).degraded for one in answers)
        self.degraded += degraded
        self.given += len(answers) - degraded

    @property
    def _snapshot_file(self) -> Path:
        return self.server.folder / "dump.rdb"

    def _snapshot(self) -> None:
        with self.server.client() as client:
            client.save()

    def _restart_redis(self) -> None:
        self.server.stop()
        self.server.start()

    def _restart_process(self) -> None:
        self.process.close()
        self.process = Process(self.pipeline)

    def _clock(self) -> int:
        return deployed.clock(self.pipeline.graph, self.pipeline.environment) or 0


def _writes(redis: Redis) -> Any:
    """How many there were since the last snapshot."""
    return redis.info("persistence")["rdb_changes_since_last_save"]


def _answered(one: Outcome) -> Served | Scored:
    if isinstance(one, FeldsparError):
        raise one
    return one


def _served(one: Served | Scored) -> Served:
    return one.served if isinstance(one, Scored) else one


def _batches(questions: Sequence[Question], size: int) -> Iterator[Sequence[Question]]:
    for first in range(0, len(questions), size):
        yield questions[first : first + size]


def _thirds(questions: Sequence[Question]) -> list[Sequence[Question]]:
    return [questions[place::3] for place in range(3)]


@contextmanager
def disturbed_lake(
    spark: SparkSession, disk: Environment, folder: Path, *, sizes: Sizes, seed: int
) -> Iterator[Disturbed]:
    """A lake before its first delivery, and a Redis of its own."""
    with valkey(folder / "valkey") as server:
        place = disk.model_copy(update={"redis": RedisSpec(url=server.url)})
        pipeline = open_pipeline(spark, place, folder, conf(0))
        delivered = deliveries(seed, sizes)
        asking = Asking(pipeline.graph, delivered, seed)
        with OnlineStore.of(pipeline.environment) as store:
            yield Disturbed(pipeline, server, store, delivered, asking, Process(pipeline))

"""A Kafka broker of a test's own (KRaft, one process, from jars), and a client that fills it.

The jars are those of ``kafka-broker.lock`` and some of Spark's own; they are fetched once.
"""

from __future__ import annotations

import os
import threading
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from confluent_kafka import Consumer, IsolationLevel, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    ConfigResource,
    NewPartitions,
    NewTopic,
    OffsetSpec,
    ResourceType,
)

from feldspar.errors import StoreError
from feldspar.launch.jars import fetch, spark_home
from feldspar.launch.java import find_java
from feldspar.launch.programs import last_lines, run
from feldspar.stack.ports import HOST, free_port
from feldspar.stack.processes import ProcessId, ended_within, spawn, stop

LOCK_FILE = Path(__file__).with_name("kafka-broker.lock")
SETTINGS = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://{host}:{port},GUARDED://{host}:{guarded},CONTROLLER://{host}:{controller}
advertised.listeners=PLAINTEXT://{host}:{port},GUARDED://{host}:{guarded}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,GUARDED:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT
sasl.enabled.mechanisms=PLAIN
listener.name.guarded.plain.sasl.jaas.config={module} required user_{user}="{password}";
log.dirs={folder}/data
num.partitions=1
auto.create.topics.enable=false
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
log.cleaner.dedupe.buffer.size=2097152
log.cleaner.backoff.ms=100
log.retention.check.interval.ms=200
log.initial.task.delay.ms=100
"""
_PLAIN = "org.apache.kafka.common.security.plain.PlainLoginModule"
USER, PASSWORD = "reader", "a word, and = another"
# a broker for minutes: the second compiler would cost more than it gives
QUICK = ("-Xmx256m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
SECONDS = 60
_POLL_SECONDS = 0.1
_TRIES = 400


@dataclass(frozen=True)
class Message:
    """What is produced: key and value as they are, to a partition."""

    value: bytes | None
    key: bytes | None = None
    partition: int = 0


@dataclass
class Broker:
    """One broker on ports of this machine; nothing of it outlives the tests."""

    folder: Path
    port: int
    guarded: int
    controller: int
    process: ProcessId | None = None

    @property
    def servers(self) -> str:
        return f"{HOST}:{self.port}"

    @cached_property
    def admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self.servers, "log_level": 0})

    def start(self) -> None:
        settings = self.folder / "server.properties"
        if not settings.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            text = SETTINGS.format(
                host=HOST,
                port=self.port,
                guarded=self.guarded,
                controller=self.controller,
                folder=self.folder,
                module=_PLAIN,
                user=USER,
                password=PASSWORD,
            )
            settings.write_text(text, encoding="utf-8")
            ident = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
            self._format(settings, ident)
        variables = {"PATH": os.environ.get("PATH", os.defpath)}
        command = [*_java(), "kafka.Kafka", str(settings)]
        self.process = spawn(command, variables=variables, log=self.folder / "kafka.log")
        for _ in range(_TRIES):
            if self._answers():
                return
            if ended_within(self.process, _POLL_SECONDS):
                break
        raise StoreError(f"kafka does not start: see {self.folder / 'kafka.log'}")

    def stop(self) -> None:
        if self.process is not None:
            stop([self.process])
            self.process = None

    def _format(self, settings: Path, ident: str) -> None:
        words = ["kafka.tools.StorageTool", "format", f"--cluster-id={ident}", "-c", str(settings)]
        done = run([*_java(), *words], os.environ, seconds=SECONDS)
        if done.returncode:
            raise StoreError(f"kafka's folder cannot be made:\n{last_lines(done)}")

    def _answers(self) -> bool:
        try:
            return bool(self.admin.list_topics(timeout=1).brokers)
        except KafkaException:
            return False

    def create(self, topic: str, *, partitions: int = 1, **config: str) -> None:
        """A new topic; names of settings are written with ``_`` for a dot."""
        settings = {name.replace("_", "."): value for name, value in config.items()}
        new = NewTopic(topic, partitions, 1, config=settings)
        self.admin.create_topics([new])[topic].result(SECONDS)

    def delete(self, topic: str) -> None:
        self.admin.delete_topics([topic], operation_timeout=SECONDS)[topic].result(SECONDS)
        pause = threading.Event()
        while topic in self.admin.list_topics(timeout=SECONDS).topics:
            pause.wait(_POLL_SECONDS)

    def add_partitions(self, topic: str, total: int) -> None:
        self.admin.create_partitions([NewPartitions(topic, total)])[topic].result(SECONDS)

    def configure(self, topic: str, **config: str) -> None:
        settings = {name.replace("_", "."): value for name, value in config.items()}
        resource = ConfigResource(ResourceType.TOPIC, topic, set_config=settings)
        self.admin.alter_configs([resource])[resource].result(SECONDS)

    def forget(self, topic: str, partition: int, *, before: int) -> None:
        """Deletes what lies before an offset, as retention does."""
        place = TopicPartition(topic, partition, before)
        self.admin.delete_records([place])[place].result(SECONDS)

    def produce(self, topic: str, messages: Sequence[Message]) -> None:
        producer = Producer({"bootstrap.servers": self.servers, "log_level": 0, "linger.ms": 0})
        _send(producer, topic, messages)
        producer.flush(SECONDS)

    def transact(self, topic: str, messages: Sequence[Message], *, commit: bool) -> None:
        """A transaction that is committed, or aborted."""
        with self.transaction(topic, messages, commit=commit):
            pass

    @contextmanager
    def transaction(
        self, topic: str, messages: Sequence[Message], *, commit: bool = True
    ) -> Iterator[None]:
        """A transaction that is open within it."""
        ident = uuid.uuid4().hex
        settings = {"bootstrap.servers": self.servers, "transactional.id": ident, "log_level": 0}
        producer = Producer(settings)
        producer.init_transactions(SECONDS)
        producer.begin_transaction()
        _send(producer, topic, messages)
        producer.flush(SECONDS)
        yield
        (producer.commit_transaction if commit else producer.abort_transaction)(SECONDS)
        self._settle(topic, sorted({one.partition for one in messages}))

    def _settle(self, topic: str, partitions: Sequence[int]) -> None:
        """Waits for the marks that end a transaction: they are written after its answer."""
        places = dict.fromkeys(
            [TopicPartition(topic, one) for one in partitions], OffsetSpec.latest()
        )
        pause = threading.Event()
        levels = (IsolationLevel.READ_COMMITTED, IsolationLevel.READ_UNCOMMITTED)
        while True:
            found = [self.admin.list_offsets(places, isolation_level=level) for level in levels]
            stable, end = ([one.result(SECONDS).offset for one in ends.values()] for ends in found)
            if stable == end:
                return
            pause.wait(_POLL_SECONDS)

    def produce_compacted(self, topic: str, messages: Sequence[Message]) -> None:
        """Messages of keys that repeat, waited for until the broker has dropped some."""
        self.produce(topic, messages)
        pause = threading.Event()
        for _ in range(_TRIES):
            # a segment ends with the first message after its time
            self.produce(topic, messages[-1:])
            if self._kept(topic) < len(messages):
                return
            pause.wait(_POLL_SECONDS)
        raise StoreError(f"{topic} is not compacted: see {self.folder / 'kafka.log'}")

    def _kept(self, topic: str) -> int:
        """How many messages of partition 0 are left, of those that are there now."""
        settings = {"bootstrap.servers": self.servers, "group.id": "none", "log_level": 0}
        consumer = Consumer({**settings, "enable.auto.commit": False})
        place = TopicPartition(topic, 0, 0)
        _, end = consumer.get_watermark_offsets(place, SECONDS)
        consumer.assign([place])
        kept, last = 0, -1
        while last < end - 1:
            (message,) = consumer.consume(1, SECONDS)
            kept, last = kept + 1, message.offset() or 0
        consumer.close()
        return kept


def _send(producer: Producer, topic: str, messages: Sequence[Message]) -> None:
    for one in messages:
        producer.produce(topic, value=one.value, key=one.key, partition=one.partition)


def _java() -> list[str]:
    jars = fetch(os.environ, path=LOCK_FILE)
    path = os.pathsep.join([f"{jars}/*", f"{spark_home() / 'jars'}/*"])
    return [str(find_java(os.environ)), *QUICK, "-cp", path]


@contextmanager
def broker(folder: Path) -> Iterator[Broker]:
    """A running broker with its data in ``folder``."""
    ports: list[int] = []
    while len(ports) < len(("port", "guarded", "controller")):
        ports.append(free_port(ports))
    server = Broker(folder, *ports)
    try:
        server.start()
        yield server
    finally:
        server.stop()

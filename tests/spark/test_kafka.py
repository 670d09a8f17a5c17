"""Kafka -> bronze on a real broker: each message once, what is lost said, nothing in the way."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from feldspar.errors import InputError, OvertakenError, StoreError, UnreachableError
from feldspar.graph.steps import IngestStep, Status
from feldspar.ingest import bronze
from feldspar.ingest.messages import read_messages
from feldspar.names import BATCH, OFFSET, PARTITION, POSITION, cursor
from feldspar.run.stream import Round
from feldspar.spec.environment import Environment
from feldspar.spec.source import KafkaSource
from feldspar.stack.ports import HOST, free_port
from feldspar.stores.tables.log import Txn
from feldspar.stores.tables.runs import take_epoch
from feldspar.times import utc_now
from spark.test_debezium import FILES as DEBEZIUM
from spark.test_debezium import FIRST, SECOND, THEN, seconds
from support.kafka import PASSWORD, USER, Broker, Message, broker
from support.pipeline import NOW, Pipeline, open_pipeline

SOURCE = """\
kind: kafka
servers: {servers}
topic: {topic}
event_time: tx_datetime
known_time: event_time + 0s
zone: UTC
"""
FILE = "sources/payments.yaml"
ID = "transaction_id"
LOST = "2 messages were deleted before they were read (partition 0: 1 to 2)"
ANEW = "was made anew since 2 messages of it were read"
CASES = int(os.environ.get("CASES", "1"))
PLAIN, COMMITTED = 0.7, 0.5
Loaded = tuple[Pipeline, list[tuple[str, int, int]]]


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with broker(tmp_path_factory.mktemp("kafka") / "broker") as running:
        yield running


@pytest.fixture
def topic(kafka: Broker) -> str:
    """A topic of the test's own, with two partitions."""
    return new_topic(kafka)


@pytest.fixture
def pipeline(
    spark: SparkSession, disk: Environment, tmp_path: Path, kafka: Broker, topic: str
) -> Pipeline:
    return opened(spark, disk, tmp_path, source_of(kafka, topic))


def new_topic(kafka: Broker, **settings: Any) -> str:
    name = f"payments-{uuid.uuid4().hex[:8]}"
    kafka.create(name, **{"partitions": 2, **settings})
    return name


def source_of(kafka: Broker, topic: str, *lines: str) -> str:
    text = SOURCE.format(servers=kafka.servers, topic=topic)
    return text + "".join(f"{line}\n" for line in lines)


def opened(
    spark: SparkSession, disk: Environment, folder: Path, source: str, **files: str
) -> Pipeline:
    return open_pipeline(spark, disk, folder, {FILE: source, **files})


def payment(number: int, **more: Any) -> bytes:
    row = {
        "transaction_id": number,
        "tx_datetime": f"2018-04-01T10:{number % 60:02d}:00Z",
        "customer_id": 7,
        "terminal_id": 3,
        "amount": number + 0.5,
        "is_fraud": False,
        **more,
    }
    return json.dumps(row).encode()


def payments(*numbers: int) -> list[Message]:
    return [Message(payment(number), b"k", number % 2) for number in numbers]


def loads(pipeline: Pipeline) -> list[IngestStep]:
    """Of the topic; what services answered is a source of its own."""
    steps = [one for one in pipeline.plan().of("ingest").steps if isinstance(one, IngestStep)]
    return [one for one in steps if not one.source.startswith("served_")]


def reason(pipeline: Pipeline) -> str:
    (step,) = loads(pipeline)
    return step.reason


def numbers(pipeline: Pipeline) -> list[int]:
    return sorted(int(text) for (text,) in pipeline.rows("bronze", "payments", ID))


@pytest.fixture(scope="module")
def loaded(
    spark: SparkSession,
    disk: Environment,
    kafka: Broker,
    tmp_path_factory: pytest.TempPathFactory,
) -> Loaded:
    """The pipeline, and of each load: its reason, its rows, what it left."""
    topic = new_topic(kafka, partitions=3)
    source = source_of(kafka, topic, "most: 4")
    pipeline = opened(spark, disk, tmp_path_factory.mktemp("loads"), source)
    kafka.produce(topic, [replace(one, partition=at % 3) for at, one in enumerate(TEN)])
    told = []
    while (step := loads(pipeline)[0]).runs:
        result = pipeline.carry_out(step)
        told.append((step.reason, result.rows, result.left))
    return pipeline, told


class TestSeveralLoads:
    """Ten messages in loads of four at most."""

    def test_a_load_takes_no_more_than_it_may_and_the_plan_says_what_waits(
        self, loaded: Loaded
    ) -> None:
        assert loaded[1] == [
            ("10 messages wait in 3 partitions, 4 are taken by this load", 4, 6),
            ("6 messages wait in 3 partitions, 4 are taken by this load", 4, 2),
            ("2 messages wait in 2 partitions", 2, 0),
        ]

    def test_each_message_is_there_once(self, loaded: Loaded) -> None:
        assert numbers(loaded[0]) == list(range(10))

    def test_positions_are_in_the_order_of_offsets(self, loaded: Loaded) -> None:
        rows = loaded[0].rows("bronze", "payments", BATCH, PARTITION, OFFSET, POSITION)
        places = sorted(rows)

        assert [row[3] for row in places] == [(row[1] << 40) + row[2] for row in places]

    def test_the_list_has_every_partition_of_each_load(self, loaded: Loaded) -> None:
        listed = loaded[0].rows(
            "ops", "offsets", "batch", "partition", "begin", "upto", "rows", "waiting"
        )

        assert [(*row[:2], row[4]) for row in sorted(listed)] == [
            (batch, partition, upto - begin) for batch, partition, begin, upto, *_ in sorted(listed)
        ]
        assert sorted(row[:2] for row in listed) == [(b, p) for b in range(3) for p in range(3)]

    def test_nothing_is_left_to_do(self, loaded: Loaded) -> None:
        assert reason(loaded[0]) == "no new messages in 3 partitions"


TEN = payments(*range(10))


@pytest.fixture(scope="module")
def values(
    spark: SparkSession,
    disk: Environment,
    kafka: Broker,
    tmp_path_factory: pytest.TempPathFactory,
) -> Pipeline:
    topic = new_topic(kafka, partitions=1)
    pipeline = opened(spark, disk, tmp_path_factory.mktemp("values"), source_of(kafka, topic))
    kafka.produce(topic, [Message(value, b"key \xff") for value in VALUES])
    run(pipeline, "ingest", "refine")
    return pipeline


class TestValues:
    """Messages of every sort, in one load."""

    def test_what_is_no_object_is_kept_whole(self, values: Pipeline) -> None:
        found = [text for (text,) in values.rows("bronze", "payments", "_corrupt") if text != ""]

        assert [one for one in found if one is not None] == sorted(
            [
                "base64:/w==",
                "[1, 2]",
                '[{"transaction_id": 5}]',
                "not json",
                "null",
                '{"transaction_id": 8} {"transaction_id": 9}',
                '{"transaction_id": "\\ud800"}',
                '{"_file": 1, "transaction_id": 6}',
                '{"a b": 1}',
                '{"kafka_key": 1}',
                '{"transaction_id": 4, "amount',
            ],
            key=lambda one: str((one,)),
        )

    def test_values_are_the_text_that_they_were(self, values: Pipeline) -> None:
        rows = values.rows("bronze", "payments", ID, "device", "value", "_parsed")

        assert ("1", '{"os": "x", "n": [1, 2.50]}', "v", "p") in rows

    def test_a_tombstone_is_a_row_that_says_so(self, values: Pipeline) -> None:
        rows = values.rows("bronze", "payments", "kafka_tombstone", "kafka_key", ID)

        assert [row for row in rows if row[0]] == [(True, "base64:a2V5IP8=", None)]

    def test_every_message_is_in_silver_or_in_quarantine(self, values: Pipeline) -> None:
        ledger = values.rows("ops", "ledger", "rows_in", "valid", "quarantined", "duplicates")
        silver = values.rows("silver", "transactions", "transaction_id", "amount")

        assert (ledger, silver) == ([(len(VALUES), 2, len(VALUES) - 3, 1)], [(0, 0.5), (3, 3.5)])

    def test_quarantine_says_which_message_it_was(self, values: Pipeline) -> None:
        rows = values.rows("quarantine", "transactions", "_file", "_raw")

        assert all(file.startswith("kafka:payments-") and file.endswith("/0") for file, _ in rows)


VALUES = [
    payment(0),
    payment(3),
    payment(3),
    b'{"transaction_id": 1, "device": {"os": "x", "n": [1, 2.50]}, "value": "v", "_parsed": "p"}',
    b"{}",
    b'{"transaction_id": 4, "amount',
    b'[{"transaction_id": 5}]',
    b'{"_file": 1, "transaction_id": 6}',
    b'{"a b": 1}',
    b'{"kafka_key": 1}',
    b"[1, 2]",
    b"not json",
    b"null",
    b"",
    b"\xff",
    None,
    b'{"transaction_id": 8} {"transaction_id": 9}',
    b'{"transaction_id": "\\ud800"}',
]


class TestInterrupted:
    """Bronze has committed a load, and the list of offsets has not."""

    @pytest.mark.parametrize("before", [0, 1])
    def test_each_message_is_loaded_once(
        self, pipeline: Pipeline, kafka: Broker, topic: str, before: int
    ) -> None:
        if before:
            kafka.produce(topic, payments(1, 2))
            pipeline.run("ingest")
        kafka.produce(topic, payments(4, 6))
        load_alone(pipeline)
        kafka.produce(topic, payments(3, 8))

        steps = loads(pipeline)
        pipeline.run("ingest")

        assert [(one.status, one.batch, one.resume) for one in steps] == [
            (Status.RUN, before, True),
            (Status.RUN, before + 1, False),
        ]
        assert numbers(pipeline) == [*([1, 2] if before else []), 3, 4, 6, 8]
        assert reason(pipeline) == "no new messages in 2 partitions"

    def test_a_load_without_rows_is_completed(
        self, pipeline: Pipeline, kafka: Broker, topic: str
    ) -> None:
        kafka.transact(topic, payments(1, 2), commit=False)
        load_alone(pipeline)

        pipeline.run("ingest")
        pipeline.run("ingest")

        assert reason(pipeline) == "no new messages in 2 partitions"


def load_alone(pipeline: Pipeline) -> None:
    """The commit to bronze of the next load; not that to the list."""
    (step,) = loads(pipeline)
    source = pipeline.graph.sources["payments"]
    assert isinstance(source, KafkaSource)
    assert step.messages is not None
    read = read_messages(pipeline.tables.spark, source, step.messages, known={})
    txn = Txn(cursor("ingest", "payments"), step.batch)
    bronze.append(read.rows, step, tables=pipeline.tables, txn=txn, now=NOW)


class TestLost:
    """Messages were deleted before they were read."""

    @pytest.fixture
    def behind(self, pipeline: Pipeline, kafka: Broker, topic: str) -> Pipeline:
        kafka.produce(topic, payments(1, 2))
        pipeline.run("ingest")
        kafka.produce(topic, payments(4, 6, 8, 10))
        kafka.forget(topic, 0, before=3)
        return pipeline

    def test_the_step_is_blocked_and_says_what_is_lost(self, behind: Pipeline) -> None:
        (step,) = loads(behind)

        assert (step.status, step.reason) == (
            Status.BLOCKED,
            f"{LOST}: say --accept to go on with what is there",
        )

    def test_what_is_left_is_loaded_once_it_is_agreed_to(self, behind: Pipeline) -> None:
        behind.run("ingest", accept=True)

        lost = behind.rows("ops", "offsets", "batch", "partition", "lost")
        assert (numbers(behind), lost) == (
            [1, 2, 8, 10],
            [(0, 0, 0), (0, 1, 0), (1, 0, 2), (1, 1, 0)],
        )

    def test_messages_that_go_after_the_plan_are_not_read_past(
        self, pipeline: Pipeline, kafka: Broker, topic: str
    ) -> None:
        kafka.produce(topic, payments(2, 4))
        (step,) = loads(pipeline)
        kafka.forget(topic, 0, before=1)

        with pytest.raises(StoreError, match="is no longer what the plan saw; nothing was read"):
            pipeline.carry_out(step)


class TestMadeAnew:
    """The topic was deleted, and another one of its name made."""

    @pytest.fixture
    def anew(self, pipeline: Pipeline, kafka: Broker, topic: str) -> Pipeline:
        kafka.produce(topic, payments(2, 4))
        pipeline.run("ingest")
        kafka.delete(topic)
        kafka.create(topic, partitions=1)
        kafka.produce(topic, payments(6, 8, 10))
        return pipeline

    def test_the_step_is_blocked(self, anew: Pipeline, topic: str) -> None:
        (step,) = loads(anew)

        assert (step.status, step.reason) == (
            Status.BLOCKED,
            f"topic {topic} {ANEW}: say --accept to go on and read it from its start",
        )

    def test_the_new_one_is_read_from_its_start_once_it_is_agreed_to(self, anew: Pipeline) -> None:
        anew.run("ingest", accept=True)

        assert (numbers(anew), reason(anew)) == (
            [2, 4, 6, 8, 10],
            "no new messages in 1 partitions",
        )


def test_aborted_messages_and_marks_of_transactions_are_no_rows(
    pipeline: Pipeline, kafka: Broker, topic: str
) -> None:
    kafka.transact(topic, payments(1, 2), commit=True)
    kafka.transact(topic, payments(3, 4), commit=False)
    kafka.produce(topic, payments(5))
    kafka.transact(topic, payments(6), commit=True)

    pipeline.run("ingest")

    rows = pipeline.rows("ops", "offsets", "partition", "begin", "upto", "rows")
    assert (numbers(pipeline), rows) == ([1, 2, 5, 6], [(0, 0, 6, 2), (1, 0, 5, 2)])
    assert reason(pipeline) == "no new messages in 2 partitions"


def test_what_a_transaction_has_not_committed_waits(
    pipeline: Pipeline, kafka: Broker, topic: str
) -> None:
    kafka.produce(topic, payments(2))
    with kafka.transaction(topic, payments(4, 6)):
        kafka.produce(topic, payments(8))
        pipeline.run("ingest")
        before = numbers(pipeline)

    pipeline.run("ingest")

    assert (before, numbers(pipeline)) == ([2], [2, 4, 6, 8])


def test_gaps_of_a_compacted_topic_are_read_across(
    spark: SparkSession, disk: Environment, tmp_path: Path, kafka: Broker
) -> None:
    topic = new_topic(
        kafka,
        partitions=1,
        cleanup_policy="compact",
        segment_ms="100",
        min_cleanable_dirty_ratio="0.001",
    )
    kafka.produce_compacted(topic, [Message(payment(number), b"k") for number in range(6)])
    pipeline = opened(spark, disk, tmp_path, source_of(kafka, topic))

    pipeline.run("ingest")

    rows = pipeline.rows("ops", "offsets", "begin", "upto", "rows")
    assert rows[0][2] < rows[0][1] - rows[0][0]
    assert numbers(pipeline)[-1] == max(numbers(pipeline))


def test_latest_begins_with_what_comes_after_the_first_run(
    spark: SparkSession, disk: Environment, tmp_path: Path, kafka: Broker, topic: str
) -> None:
    pipeline = opened(spark, disk, tmp_path, source_of(kafka, topic, "start: latest"))
    kafka.produce(topic, payments(1, 2))
    first = reason(pipeline)
    pipeline.run("ingest")
    kafka.produce(topic, payments(3, 4))
    kafka.add_partitions(topic, 3)
    kafka.produce(topic, [Message(payment(5), None, 2)])

    pipeline.run("ingest")

    assert (first, numbers(pipeline)) == (
        "begins with what comes from now on: notes where",
        [3, 4, 5],
    )


def test_a_run_that_another_one_overtook_loads_nothing(
    pipeline: Pipeline, kafka: Broker, topic: str
) -> None:
    kafka.produce(topic, payments(1, 2))
    early, steps = in_epoch(pipeline), loads(pipeline)
    in_epoch(pipeline).run("ingest")
    kafka.produce(topic, payments(3))

    with pytest.raises(OvertakenError):
        carry_out(early, steps)

    in_epoch(pipeline).run("ingest")
    assert numbers(pipeline) == [1, 2, 3]


def in_epoch(pipeline: Pipeline) -> Pipeline:
    epoch = take_epoch(pipeline.lake, verb="apply", now=utc_now())
    return replace(pipeline, tables=replace(pipeline.tables, epoch=epoch))


def carry_out(pipeline: Pipeline, steps: list[IngestStep]) -> None:
    for step in steps:
        pipeline.carry_out(step)


class TestAway:
    def test_a_broker_that_does_not_answer_is_said(
        self, spark: SparkSession, disk: Environment, tmp_path: Path
    ) -> None:
        text = SOURCE.format(servers=f"{HOST}:{free_port(())}", topic="payments")
        pipeline = opened(spark, disk, tmp_path, text)

        with pytest.raises(UnreachableError, match=r"Kafka at .* does not answer.*refused"):
            pipeline.plan()

    def test_a_topic_that_is_not_there_names_the_nearest(
        self, spark: SparkSession, disk: Environment, tmp_path: Path, kafka: Broker, topic: str
    ) -> None:
        pipeline = opened(spark, disk, tmp_path, source_of(kafka, topic[:-1]))

        with pytest.raises(InputError) as told:
            pipeline.plan()

        assert topic in told.value.hint

    def test_a_wrong_password_is_said(
        self, spark: SparkSession, disk: Environment, tmp_path: Path, kafka: Broker, topic: str
    ) -> None:
        pipeline = opened(spark, disk, tmp_path, guarded(kafka, topic, "another"))

        with pytest.raises(UnreachableError, match=r"[Aa]uthentication failed"):
            pipeline.plan()

    def test_without_its_client_the_extra_is_named(self) -> None:
        program = (
            "import sys; sys.modules['confluent_kafka'] = None\n"
            "from feldspar.stores.kafka import observe_topic\n"
            "observe_topic(None, 'orders')"
        )
        done = subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            check=False,
            env={"PYTHONPATH": ":".join(sys.path)},
        )

        assert "pip install 'feldspar[kafka]'" in done.stderr


def guarded(kafka: Broker, topic: str, password: str) -> str:
    block = ["security:", "  protocol: SASL_PLAINTEXT", "  mechanism: PLAIN", f"  user: {USER}"]
    text = SOURCE.format(servers=f"{HOST}:{kafka.guarded}", topic=topic)
    word = f"  password: ${{NO_SUCH_VARIABLE:-${{NOR_THIS:-{password}}}}}"
    return "\n".join([text.rstrip(), *block, word, ""])


def test_user_and_password_open_the_topic(
    spark: SparkSession, disk: Environment, tmp_path: Path, kafka: Broker, topic: str
) -> None:
    pipeline = opened(spark, disk, tmp_path, source_of(kafka, topic))
    source = pipeline.graph.sources["payments"]
    assert isinstance(source, KafkaSource)
    secured = KafkaSource.model_validate(
        {
            **source.model_dump(by_alias=True),
            "known_time": "event_time + 0s",
            "topic": topic,
            "servers": f"{HOST}:{kafka.guarded}",
            "security": {
                "protocol": "SASL_PLAINTEXT",
                "mechanism": "PLAIN",
                "user": USER,
                "password": PASSWORD,
            },
        }
    )
    graph = replace(pipeline.graph, sources={"payments": secured})
    kafka.produce(topic, payments(1, 2))

    replace(pipeline, graph=graph).run("ingest")

    assert numbers(pipeline) == [1, 2]


def run(pipeline: Pipeline, *verbs: str) -> None:
    for verb in verbs:
        pipeline.run(verb)


def test_change_events_become_history(
    spark: SparkSession, disk: Environment, tmp_path: Path, kafka: Broker, topic: str
) -> None:
    text = source_of(kafka, topic, "envelope: debezium")
    clocks = text.replace("tx_datetime", "source_ts_ms").replace("event_time + 0s", "ts_ms")
    files = {**DEBEZIUM, "sources/events.yaml": clocks.replace("zone: UTC\n", "")}
    pipeline = open_bare(spark, disk, tmp_path, files, *OWN)
    values = [json.dumps(one).encode() for one in (*FIRST, *SECOND)]
    gone = [Message(None, b"2"), Message(None, b"3")]
    kafka.produce(topic, [*[Message(value) for value in values], *gone])

    run(pipeline, "ingest", "refine", "history")

    rows = pipeline.rows("history", "customers", "id", "valid_from", "valid_to", "city", "balance")
    found = [(key, seconds(start), seconds(end), *rest) for key, start, end, *rest in rows]
    ledger = pipeline.rows("ops", "ledger", "rows_in", "quarantined", "duplicates")
    assert sorted(found, key=lambda one: one[:2]) == THEN
    assert ledger == [(9, 2, 1)]


KEYED = {
    "tables/transactions.yaml": """\
from: payments
key: kafka_key
columns:
  kafka_key: string
  kafka_offset: bigint
  kafka_timestamp: timestamp
  kafka_tombstone: boolean
  amount: double
history:
  kind: scd1
  sequence_by: kafka_offset
  delete_when: kafka_tombstone
  without: [kafka_tombstone, kafka_timestamp]
""",
}


def test_a_tombstone_takes_its_key_out_of_history(
    spark: SparkSession, disk: Environment, tmp_path: Path, kafka: Broker, topic: str
) -> None:
    source = source_of(kafka, topic).replace("tx_datetime", "kafka_timestamp")
    pipeline = open_bare(spark, disk, tmp_path, {FILE: source, **KEYED})
    kafka.produce(
        topic,
        [
            Message(b'{"amount": 1}', b"a"),
            Message(b'{"amount": 2}', b"b", 1),
            Message(b'{"amount": 3}', b"a"),
            Message(None, b"b", 1),
        ],
    )

    run(pipeline, "ingest", "refine", "history")

    assert pipeline.rows("history", "transactions", "kafka_key", "amount") == [("a", 3.0)]


OWN = ("sources/payments.yaml", "tables/transactions.yaml")
BEYOND = (
    "entities/customer.yaml",
    "views/customer_spend.yaml",
    "views/last_payment.yaml",
    "services/fraud.yaml",
    "models/fraud.yaml",
)


def open_bare(
    spark: SparkSession, disk: Environment, folder: Path, files: dict[str, str], *without: str
) -> Pipeline:
    """A project of these files, without views, services and models."""
    return open_pipeline(spark, disk, folder, files, without=[*BEYOND, *without])


def test_a_round_of_a_stream_says_what_it_left() -> None:
    told = str(Round(1, 2.0, loaded=4, valid=4, waiting=6))

    assert told.endswith("0 entities pushed in 2.0 s; 6 rows wait")


@pytest.mark.parametrize("seed", range(CASES))
def test_loads_at_any_moment_end_as_one_load(
    spark: SparkSession, disk: Environment, tmp_path: Path, kafka: Broker, seed: int
) -> None:
    draw = random.Random(seed)
    topic = new_topic(kafka, partitions=2)
    most = f"most: {draw.randint(3, 6)}"
    often = opened(spark, disk, tmp_path / "often", source_of(kafka, topic, most))
    for number in range(0, 12, 4):
        batch = payments(*range(number, number + 4))
        produce_somehow(kafka, topic, draw=draw, messages=batch)
        load_somehow(often, draw)
    while often.plan().of("ingest").to_run:
        run(often, "ingest")
    once = opened(spark, disk, tmp_path / "once", source_of(kafka, topic))
    run(once, "ingest")

    columns = (PARTITION, OFFSET, ID, "amount")
    assert often.rows("bronze", "payments", *columns) == once.rows("bronze", "payments", *columns)


def produce_somehow(
    kafka: Broker, topic: str, *, draw: random.Random, messages: list[Message]
) -> None:
    placed = [replace(one, partition=draw.randrange(2)) for one in messages]
    if draw.random() < PLAIN:
        kafka.produce(topic, placed)
    else:
        kafka.transact(topic, placed, commit=draw.random() < COMMITTED)


def load_somehow(pipeline: Pipeline, draw: random.Random) -> None:
    """A load, one that stops half-way, or none."""
    if not pipeline.plan().of("ingest").to_run:
        return
    match draw.choice(["whole", "whole", "stopped", "none"]):
        case "whole":
            run(pipeline, "ingest")
        case "stopped" if not loads(pipeline)[0].resume:
            load_alone(pipeline)

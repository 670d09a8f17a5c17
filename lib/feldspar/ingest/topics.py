"""Kafka -> bronze: each message once, by the offsets that its step names.

Order of commits: bronze with cursor ``ingest:<source>`` = load number, then the list of offsets
with the same cursor. A load that stopped between the two is completed from what bronze holds.
Kafka keeps no position for us: there is no consumer group and no checkpoint to lose.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import functions as F

from feldspar.errors import InputError, StoreError
from feldspar.graph.observed import Messages, OffsetRange, TopicRead, TopicState
from feldspar.graph.steps import IngestStep
from feldspar.ingest import bronze
from feldspar.ingest.columns import FILE, misfit
from feldspar.ingest.messages import read_messages, topic_of
from feldspar.ingest.result import IngestResult
from feldspar.ingest.shapes import note_shapes
from feldspar.names import BATCH, OF_MESSAGE, OFFSET, PARTITION, cursor
from feldspar.spec.source import KafkaSource
from feldspar.stores import kafka
from feldspar.stores.tables import offsets
from feldspar.stores.tables.causes import cause
from feldspar.stores.tables.log import Commit, Txn
from feldspar.stores.tables.spark import SparkTables

Progress = Callable[[str], None]
A_MESSAGE = 1_024
"""Bytes that a message is taken to have, where it has to be told whether a load is small."""


def ingest_topic(
    step: IngestStep,
    source: KafkaSource,
    tables: SparkTables,
    *,
    now: datetime,
    progress: Progress,
) -> IngestResult:
    """Loads the step's messages into ``bronze.<source>``.

    Raises:
        OvertakenError: another run has loaded messages since the plan was made.
        StoreError: the topic is no longer what the plan saw, or bronze could not be written.
        UnreachableError: no broker answers.
    """
    txn = tables.txn(cursor("ingest", step.source), step.batch)
    bronze.claim(step, txn.app, tables, listed=offsets.TABLE)
    if step.resume:
        return _complete_list(step, source, tables, txn=txn, now=now)
    messages = step.messages
    if messages is None:
        raise InputError(f"{step.name}: the step names no messages", hint="feldspar plan")
    _refuse_changed(step, messages, kafka.observe_topic(source, step.source))
    commit, rows = None, dict[int, int]()
    if messages.count:
        progress(f"{step.name}: reading {messages.count:,} messages of {messages.topic}")
        commit = _append(messages, step, source, tables=tables, txn=txn, now=now)
        rows = _rows(commit, messages, step, tables)
    offsets.record(tables.lake, step.source, messages, rows=rows, txn=txn, now=now)
    return IngestResult(
        step.source,
        step.batch,
        files=0,
        rows=sum(rows.values()),
        set_aside=(),
        version=commit.version if commit else None,
        left=sum(one.left for one in messages.ranges),
    )


def _refuse_changed(step: IngestStep, messages: Messages, topic: TopicState) -> None:
    """The offsets that a plan names mean the same messages in the same topic alone."""
    held = {one.partition: one for one in topic.partitions}
    taken = [one for one in messages.ranges if one.upto > one.begin]
    same = (messages.topic, messages.topic_id) == (topic.topic, topic.topic_id)
    if not same or any(
        one.partition not in held
        or one.begin < held[one.partition].first
        or one.upto > held[one.partition].end
        for one in taken
    ):
        text = f"{step.name}: topic {topic.topic} is no longer what the plan saw; nothing was read"
        raise StoreError(text, hint="feldspar plan")


def _append(
    messages: Messages,
    step: IngestStep,
    source: KafkaSource,
    *,
    tables: SparkTables,
    txn: Txn,
    now: datetime,
) -> Commit:
    held = bronze.known_columns(tables, step.source)
    known = {name: kind for name, kind in held.items() if name not in OF_MESSAGE}
    try:
        read = read_messages(tables.spark, source, messages, known=known)
        own = [one for one in bronze.own_columns(read.rows) if one[0] not in OF_MESSAGE]
        problem = misfit(own, known)
        if problem:
            raise InputError(f"{step.name}: {problem}", hint="give this source another name")
        note_shapes({read.shape: [f"kafka:{messages.topic}"]}, step, tables.lake, now=now)
        sized = tables.sized(messages.count * A_MESSAGE)
        return bronze.append(read.rows, step, tables=sized, txn=txn, now=now)
    except (Py4JJavaError, PySparkException) as error:
        text = f"{step.name}: reading {messages.topic} failed: {cause(error)}"
        raise StoreError(text, hint="run it again; feldspar plan shows what is there") from error


def _rows(
    commit: Commit, messages: Messages, step: IngestStep, tables: SparkTables
) -> dict[int, int]:
    """By partition the rows that bronze got.

    Offsets may hold no message (compacted, aborted, the marks of transactions): then rows are
    counted in bronze, partition by partition.

    Raises:
        StoreError: bronze holds what was not asked for.
    """
    if commit.rows == messages.count:
        return {one.partition: one.upto - one.begin for one in messages.ranges}
    held = _held(step, tables)
    asked = {one.partition: one for one in messages.ranges}
    for one in held:
        wanted = asked.get(one.partition, OffsetRange(one.partition, 0, 0))
        inside = wanted.begin <= one.first <= one.last < wanted.upto
        if not inside or one.rows > wanted.upto - wanted.begin:
            raise StoreError(
                f"{step.name}: load {step.batch} has {one.rows} rows of partition {one.partition}, "
                f"offsets {one.first} to {one.last}; asked were {wanted.begin} to {wanted.upto - 1}"
            )
    return {one.partition: one.rows for one in held}


@dataclass(frozen=True)
class _Held:
    """What bronze holds of one partition of a load."""

    file: str
    partition: int
    first: int
    last: int
    rows: int


def _held(step: IngestStep, tables: SparkTables) -> list[_Held]:
    loaded = tables.read("bronze", step.source).where(F.col(BATCH) == step.batch)
    counted = loaded.groupBy(FILE, PARTITION).agg(F.min(OFFSET), F.max(OFFSET), F.count(F.lit(1)))
    # a row a partition
    return [_Held(*row) for row in counted.orderBy(PARTITION).collect()]


def _complete_list(
    step: IngestStep, source: KafkaSource, tables: SparkTables, *, txn: Txn, now: datetime
) -> IngestResult:
    """After a stop between the two commits: what was loaded is what bronze holds of the load.

    Offsets without a message at the end of a range are looked at again by the next load.
    """
    held = _held(step, tables)
    before = offsets.newest(tables.lake, step.source)
    if before is None or (held and topic_of(held[0].file)[1] != before.topic_id):
        # the first load of this topic: partitions that it has nothing of begin with their oldest
        topic = kafka.observe_topic(source, step.source)
        first = {one.partition: one.first for one in topic.partitions}
        before = TopicRead(topic.topic, topic.topic_id, first)
    messages = _loaded(held, before)
    rows = {one.partition: one.rows for one in held}
    offsets.record(tables.lake, step.source, messages, rows=rows, txn=txn, now=now)
    return IngestResult(step.source, step.batch, 0, sum(rows.values()), (), None)


def _loaded(held: list[_Held], before: TopicRead) -> Messages:
    """The ranges of a load, with those of partitions that it had nothing of as they were."""
    named = (before.topic, before.topic_id)
    topic, ident = topic_of(held[0].file) if held else named
    upto: Mapping[int, int] = before.upto if (topic, ident) == named else {}
    ranges = {number: OffsetRange(number, place, place) for number, place in upto.items()}
    for one in held:
        begin = min(upto.get(one.partition, one.first), one.first)
        ranges[one.partition] = OffsetRange(one.partition, begin, one.last + 1)
    return Messages(topic, ident, tuple(ranges[number] for number in sorted(ranges)))

"""Asks Kafka's brokers what a topic holds: partitions, oldest and newest offsets. Takes no JVM.

The only module that knows the client library, an extra: who has no such source needs none.
Messages are read by Spark (``ingest.messages``).
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Sequence
from typing import Any

from feldspar.errors import InputError, StoreError, UnreachableError, UsageError, nearest
from feldspar.graph.observed import PartitionState, TopicState
from feldspar.spec.kafka_options import client_options
from feldspar.spec.source import KafkaSource

CLIENT = "confluent_kafka"
SECONDS = 5.0
"""How long an answer is waited for."""
_UNKNOWN = "UNKNOWN_TOPIC_OR_PART"
_SILENT = ("_TRANSPORT", "_TIMED_OUT", "_ALL_BROKERS_DOWN", "_RESOLVE", "REQUEST_TIMED_OUT")


def observe_topic(source: KafkaSource, name: str) -> TopicState:
    """What a topic holds at this moment; of transactions, what is committed.

    Args:
        source: its brokers and its topic.
        name: of the source, for messages.

    Raises:
        UnreachableError: no broker answers.
        InputError: there is no such topic; the nearest names are given.
        StoreError: the brokers refuse.
        UsageError: the client is not installed.
    """
    if importlib.util.find_spec(CLIENT) is None:
        raise UsageError(
            f"source {name} reads Kafka, whose client is not installed",
            hint="pip install 'feldspar[kafka]'",
        )
    return _Topic(source, name).state()


class _Heard:
    """Why connections fail is told to a callback alone; the last word is that none is left.

    An object of its own: a client that its own callback keeps alive would be closed late.
    """

    def __init__(self) -> None:
        self.text = ""

    def __call__(self, error: Any) -> None:
        if error.name() != "_ALL_BROKERS_DOWN":
            self.text = str(error.str())


class _Topic:
    """A topic behind an open connection, which closes with it."""

    def __init__(self, source: KafkaSource, name: str) -> None:
        self._source, self._name = source, name
        self._kafka, self._admin = (
            importlib.import_module(CLIENT),
            importlib.import_module(f"{CLIENT}.admin"),
        )
        self._heard = _Heard()
        settings = {
            **client_options(source),
            "log_level": 0,
            "error_cb": self._heard,
            "socket.connection.setup.timeout.ms": int(SECONDS * 1000),
        }
        try:
            self._client = self._admin.AdminClient(settings)
        except self._kafka.KafkaException as error:
            text = f"source {name}: {_text(error)}"
            raise UsageError(text, hint=f"see conf/sources/{name}.yaml") from error

    def state(self) -> TopicState:
        """Identity, and the ends of each partition."""
        try:
            found = self._described()
            numbers = sorted(one.id for one in found.partitions)
            first = self._offsets(numbers, self._admin.OffsetSpec.earliest())
            end = self._offsets(numbers, self._admin.OffsetSpec.latest())
        except self._kafka.KafkaException as error:
            raise self._refused(error) from error
        parts = zip(numbers, first, end, strict=True)
        partitions = tuple(PartitionState(*one) for one in parts)
        return TopicState(self._source.topic, str(found.topic_id), partitions)

    def _described(self) -> Any:
        topic = self._source.topic
        wanted = self._kafka.TopicCollection([topic])
        return self._client.describe_topics(wanted, request_timeout=SECONDS)[topic].result()

    def _offsets(self, partitions: Sequence[int], which: Any) -> list[int]:
        places = [self._kafka.TopicPartition(self._source.topic, one) for one in partitions]
        answers = self._client.list_offsets(
            dict.fromkeys(places, which),
            isolation_level=self._kafka.IsolationLevel.READ_COMMITTED,
            request_timeout=SECONDS,
        )
        return [int(answers[place].result().offset) for place in places]

    def _refused(self, error: Exception) -> StoreError | InputError:
        # what was heard of connections is handed over when it is asked for
        self._client.poll(0)
        code = error.args[0].name()
        place = f"source {self._name}: Kafka at {self._source.servers}"
        if code == _UNKNOWN:
            return self._no_topic(place)
        if code in _SILENT:
            why = f": {self._heard.text}" if self._heard.text else f" within {SECONDS:.0f} s"
            return UnreachableError(
                f"{place} does not answer{why}",
                hint=f"is it up? the address is 'servers' in conf/sources/{self._name}.yaml",
            )
        return StoreError(f"{place}: {_text(error)}", hint="run it again")

    def _no_topic(self, place: str) -> InputError:
        known = [one for one in self._client.list_topics(timeout=SECONDS).topics if one[:2] != "__"]
        near = nearest(self._source.topic, known)
        hint = f"nearest: {', '.join(near)}" if near else "topics are made by who writes to them"
        return InputError(f"{place} has no topic {self._source.topic}", hint=hint)


def _text(error: Exception) -> str:
    return str(error.args[0].str())

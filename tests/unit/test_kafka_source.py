"""A Kafka source: what its file may say, what of it is kept, and what each client is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from feldspar.errors import DefinitionError
from feldspar.graph.compile import compile_graph
from feldspar.graph.graph import Graph
from feldspar.spec.environment import connectors_of
from feldspar.spec.kafka_options import client_options, spark_options
from feldspar.spec.loading import load_definitions
from feldspar.spec.source import KafkaSource
from support.small_project import write_project

PLAIN = """\
kind: kafka
servers: one:9092,two:9092
topic: payments
event_time: tx_datetime
known_time: event_time + 0s
zone: UTC
"""
SECURED = f"""{PLAIN}security:
  protocol: SASL_SSL
  mechanism: SCRAM-SHA-512
  user: ${{KAFKA_USER}}
  password: ${{KAFKA_PASSWORD}}
  ca: /etc/kafka/ca.pem
"""
VARIABLES = {"KAFKA_USER": "reader", "KAFKA_PASSWORD": 'a"b\\c'}


def graph_of(folder: Path, text: str) -> Graph:
    conf = write_project(folder, {"sources/payments.yaml": text})
    return compile_graph(load_definitions(conf, VARIABLES))


def source_of(folder: Path, text: str) -> KafkaSource:
    source = graph_of(folder, text).sources["payments"]
    assert isinstance(source, KafkaSource)
    return source


def test_where_and_how_it_is_read_is_no_part_of_a_stored_definition(tmp_path: Path) -> None:
    elsewhere = PLAIN.replace("one:9092,two", "three").replace("topic: pay", "topic: other_pay")
    text = f"{elsewhere}most: 5\nstart: latest\n"
    definitions = {
        graph_of(tmp_path / name, one).table("transactions").definition
        for name, one in {"a": PLAIN, "b": SECURED, "c": text}.items()
    }

    assert len(definitions) == 1


def test_a_password_shows_nowhere(tmp_path: Path) -> None:
    source = source_of(tmp_path, SECURED)

    assert 'a"b' not in f"{source!r} {source.model_dump_json()}"


def test_a_secret_in_the_file_is_refused_and_not_repeated(tmp_path: Path) -> None:
    text = SECURED.replace("${KAFKA_PASSWORD}", "hunter2")

    with pytest.raises(DefinitionError) as told:
        graph_of(tmp_path, text)

    assert str(told.value) == (
        "conf/sources/payments.yaml:11  security.password: a secret is not written in a file\n"
        "  see: write ${NAME} and export NAME, or leave it out for the provider chain"
    )


def test_half_a_login_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match="SASL_SSL takes mechanism, user and password"):
        graph_of(tmp_path, SECURED.replace("  mechanism: SCRAM-SHA-512\n", ""))


def test_what_the_plain_client_is_told(tmp_path: Path) -> None:
    assert client_options(source_of(tmp_path, SECURED)) == {
        "bootstrap.servers": "one:9092,two:9092",
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "reader",
        "sasl.password": 'a"b\\c',
        "ssl.ca.location": "/etc/kafka/ca.pem",
    }


def test_what_spark_is_told(tmp_path: Path) -> None:
    assert spark_options(source_of(tmp_path, SECURED)) == {
        "kafka.bootstrap.servers": "one:9092,two:9092",
        "kafka.isolation.level": "read_committed",
        "failOnDataLoss": "true",
        "kafka.security.protocol": "SASL_SSL",
        "kafka.sasl.mechanism": "SCRAM-SHA-512",
        "kafka.sasl.jaas.config": (
            "org.apache.kafka.common.security.scram.ScramLoginModule required "
            'username="reader" password="a\\"b\\\\c";'
        ),
        "kafka.ssl.truststore.type": "PEM",
        "kafka.ssl.truststore.location": "/etc/kafka/ca.pem",
    }


@pytest.mark.parametrize(("text", "connectors"), [(PLAIN, ("kafka",)), (None, ())])
def test_a_project_asks_for_the_jars_that_its_sources_need(
    tmp_path: Path, text: str | None, connectors: tuple[str, ...]
) -> None:
    conf = write_project(tmp_path, {"sources/payments.yaml": text} if text else None)

    assert connectors_of(conf) == connectors

"""A JDBC source: what its file may say, what of it is kept, and what each client is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from feldspar.errors import DefinitionError
from feldspar.graph.compile import compile_graph
from feldspar.graph.graph import Graph
from feldspar.spec.environment import connectors_of
from feldspar.spec.jdbc_options import client_address, login, spark_options
from feldspar.spec.loading import load_definitions
from feldspar.spec.source import JdbcSource
from support.small_project import write_project

PLAIN = """\
kind: jdbc
url: jdbc:postgresql://db:5432/shop?sslmode=require
table: public.payments
user: reader
password: ${SHOP_PASSWORD}
incremental_column: changed_at
event_time: tx_datetime
known_time: event_time + 0s
zone: UTC
"""
SNAPSHOTS = PLAIN.replace("incremental_column: changed_at\n", "")
VARIABLES = {"SHOP_PASSWORD": 'a"b\\c'}


def graph_of(folder: Path, text: str) -> Graph:
    conf = write_project(folder, {"sources/payments.yaml": text})
    return compile_graph(load_definitions(conf, VARIABLES))


def source_of(folder: Path, text: str) -> JdbcSource:
    source = graph_of(folder, text).sources["payments"]
    assert isinstance(source, JdbcSource)
    return source


def message_of(folder: Path, text: str) -> str:
    with pytest.raises(DefinitionError) as told:
        graph_of(folder, text)
    return str(told.value)


def test_where_and_how_it_is_read_is_no_part_of_a_stored_definition(tmp_path: Path) -> None:
    other = PLAIN.replace("table: public.payments", "query: select * from paid")
    other = other.replace("//db:", "//other:")
    texts = {"a": PLAIN, "b": f"{other}most: 5\noverlap: 1h\npartitions: 4\n", "c": SNAPSHOTS}
    definitions = {
        graph_of(tmp_path / name, one).table("transactions").definition
        for name, one in texts.items()
    }

    assert len(definitions) == 1


def test_a_password_shows_nowhere(tmp_path: Path) -> None:
    source = source_of(tmp_path, PLAIN)

    assert 'a"b' not in f"{source!r} {source.model_dump_json()}"


@pytest.mark.parametrize(
    "text",
    [
        PLAIN.replace("${SHOP_PASSWORD}", "hunter2"),
        PLAIN.replace("//db", "//reader:hunter2@db"),
    ],
    ids=["as a key", "in the url"],
)
def test_a_secret_in_the_file_is_refused_and_not_repeated(tmp_path: Path, text: str) -> None:
    told = message_of(tmp_path, text)

    assert ("a secret is not written in a file" in told, "hunter2" in told) == (True, False)


REFUSED = {
    "another database": (
        PLAIN.replace("postgresql", "mysql"),
        "2  url: a database is jdbc:postgresql://host:port/database; others are not read yet",
    ),
    "an option that the two clients do not share": (
        PLAIN.replace("sslmode=require", "socketTimeout=3"),
        "2  url: it takes sslmode and sslrootcert after '?', nothing else",
    ),
    "a table and a query": (f"{PLAIN}query: select 1\n", "say one of 'table' and 'query'"),
    "neither": (PLAIN.replace("table: public.payments\n", ""), "say one of 'table' and 'query'"),
    "a part of a snapshot": (
        f"{SNAPSHOTS}most: 5\n",
        "a snapshot is whole: 'most' and 'overlap' need 'incremental_column'",
    ),
    "snapshots of what is new": (
        f"{PLAIN}every: 1h\n",
        "'every' is of snapshots; 'incremental_column' reads what is new",
    ),
}


@pytest.mark.parametrize(("text", "wanted"), REFUSED.values(), ids=REFUSED)
def test_a_wrong_definition_is_told(tmp_path: Path, text: str, wanted: str) -> None:
    assert wanted in message_of(tmp_path, text)


def test_what_each_client_is_told(tmp_path: Path) -> None:
    source = source_of(tmp_path, PLAIN)

    assert (client_address(source), login(source), spark_options(source)) == (
        "postgresql://db:5432/shop?sslmode=require",
        {"user": "reader", "password": 'a"b\\c'},
        {
            "url": "jdbc:postgresql://db:5432/shop?sslmode=require",
            "driver": "org.postgresql.Driver",
            "fetchsize": "10000",
            "user": "reader",
            "password": 'a"b\\c',
        },
    )


def test_a_project_asks_for_the_jar_that_its_source_needs(tmp_path: Path) -> None:
    assert connectors_of(write_project(tmp_path, {"sources/payments.yaml": PLAIN})) == ("jdbc",)

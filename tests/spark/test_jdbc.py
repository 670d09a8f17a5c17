"""A database -> bronze on a real PostgreSQL: each version of a row once, whatever comes late."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from feldspar.errors import FeldsparError, InputError, StoreError, UnreachableError
from feldspar.graph.observed import ColumnRange
from feldspar.graph.steps import IngestStep, Status
from feldspar.ingest.relations import Load
from feldspar.names import cursor
from feldspar.spec.environment import Environment
from feldspar.spec.source import JdbcSource
from feldspar.stack.ports import HOST, free_port
from feldspar.stores.jdbc import observe_relation, open_snapshot
from feldspar.stores.tables.log import Txn
from spark.test_kafka import BEYOND
from support.pipeline import NOW, Pipeline, open_pipeline
from support.postgres import USER, Postgres, postgres

SOURCE = """\
kind: jdbc
url: {url}
table: public.{table}
user: reader
password: ${{SHOP_PASSWORD}}
event_time: tx_datetime
known_time: event_time + 0s
"""
TABLE = """\
from: payments
key: transaction_id
columns:
  transaction_id: bigint
  tx_datetime: timestamp
  amount: double
  changed_at: timestamp
"""
COLUMNS = (
    "transaction_id bigint primary key, tx_datetime timestamptz not null, amount numeric(12, 2), "
    "changed_at timestamptz"
)
BY_CHANGE = "incremental_column: changed_at\n"
ID = "transaction_id"
CASES = int(os.environ.get("CASES", "0"))


@pytest.fixture(scope="module")
def database() -> Iterator[Postgres]:
    with postgres() as running:
        yield running


@pytest.fixture
def table(database: Postgres) -> str:
    return new_table(database)


def new_table(database: Postgres, columns: str = COLUMNS) -> str:
    """A table of the test's own, which the reader may select from."""
    name = f"payments_{uuid.uuid4().hex[:8]}"
    database.run(f"create table {name} ({columns})", f"grant select on {name} to {USER}")
    return name


def moment(minute: int) -> str:
    return f"timestamptz '2018-04-01 10:{minute:02d}:00.5+00'"


def put(database: Postgres, table: str, *rows: tuple[int, int]) -> None:
    """Rows by number and the minute of their change; a number that is there is changed."""
    values = ", ".join(
        f"({number}, {moment(0)}, {number}.50, {moment(minute)})" for number, minute in rows
    )
    changed = "amount = excluded.amount + 1, changed_at = excluded.changed_at"
    database.run(
        f"insert into {table} values {values} on conflict (transaction_id) do update set {changed}"
    )


def text_of(database: Postgres, table: str, *lines: str) -> str:
    return SOURCE.format(url=database.url, table=table) + "".join(f"{line}\n" for line in lines)


def source_of(database: Postgres, name: str, **settings: object) -> JdbcSource:
    values: dict[str, object] = {
        "kind": "jdbc",
        "url": database.url,
        "table": name,
        "user": USER,
        "password": "a word, and = another",
        "incremental_column": "changed_at",
        "event_time": "tx_datetime",
        "known_time": "event_time + 0s",
    }
    return JdbcSource.model_validate({**values, **settings})


def opened(
    spark: SparkSession, disk: Environment, folder: Path, source: str, table: str = TABLE
) -> Pipeline:
    files = {"sources/payments.yaml": source, "tables/transactions.yaml": table}
    return open_pipeline(spark, disk, folder, files, without=BEYOND)


def loads(pipeline: Pipeline) -> list[IngestStep]:
    return [one for one in pipeline.plan().of("ingest").steps if isinstance(one, IngestStep)]


def reason(pipeline: Pipeline) -> str:
    (step,) = loads(pipeline)
    return step.reason


def versions(pipeline: Pipeline) -> list[tuple[int, str]]:
    """Number and change of each row of bronze."""
    return sorted(pipeline.rows("bronze", "payments", ID, "changed_at"))


Told = list[tuple[str, int, int]]


@pytest.fixture(scope="module")
def loaded(
    spark: SparkSession,
    disk: Environment,
    database: Postgres,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Pipeline, Told]:
    """The pipeline, and of each load: its reason, its rows, what it left."""
    table = new_table(database)
    put(database, table, *[(number, number // 2) for number in range(10)])
    text = text_of(database, table, BY_CHANGE + "most: 4\noverlap: 1m\npartitions: 2")
    pipeline = opened(spark, disk, tmp_path_factory.mktemp("loads"), text)
    told = carried_out(pipeline)
    # one as new as the newest, one a little older: both are committed late; and a change
    put(database, table, (20, 4), (21, 3))
    told += carried_out(pipeline)
    put(database, table, (3, 6))
    return pipeline, told + carried_out(pipeline)


def carried_out(pipeline: Pipeline) -> Told:
    told = []
    while (step := loads(pipeline)[0]).runs:
        result = pipeline.carry_out(step)
        told.append((step.reason, result.rows, result.left))
    return told


class TestSeveralLoads:
    """Ten rows in loads of four at most, then two that come late, then a changed one."""

    def test_a_load_takes_no_more_than_it_may_and_the_plan_says_what_waits(
        self, loaded: tuple[Pipeline, Told]
    ) -> None:
        table = loaded[0].graph.sources["payments"].table  # type: ignore[union-attr]
        assert loaded[1] == [
            (f"10 rows wait in {table}, 4 are taken by this load", 4, 6),
            (f"6 rows wait above changed_at {AT.format(1)}, 4 are taken by this load", 4, 2),
            (f"2 rows wait above changed_at {AT.format(3)}", 2, 0),
            (
                f"rows up to changed_at {AT.format(4)} {LATE}",
                2,
                0,
            ),
            (f"1 rows wait above changed_at {AT.format(4)}", 1, 0),
        ]

    def test_each_version_of_a_row_is_there_once(self, loaded: tuple[Pipeline, Told]) -> None:
        wanted = [(number, number // 2) for number in range(10)] + [(20, 4), (21, 3), (3, 6)]

        assert versions(loaded[0]) == sorted((one, f"{AT.format(at)}+00") for one, at in wanted)

    def test_the_list_says_what_each_load_took(self, loaded: tuple[Pipeline, Told]) -> None:
        rows = loaded[0].rows("ops", "extracts", "batch", "rows", "late", "waiting", "again")

        assert rows == [
            (0, 4, 0, 6, 4),
            (1, 4, 0, 2, 4),
            (2, 2, 0, 0, 4),
            (3, 2, 2, 0, 6),
            (4, 1, 0, 0, 1),
        ]

    def test_nothing_is_left_to_do(self, loaded: tuple[Pipeline, Told]) -> None:
        assert reason(loaded[0]) == f"no rows above changed_at {AT.format(6)}"


AT = "2018-04-01 10:{:02d}:00.5"
LATE = "were committed late, or deleted: looks again"


def test_a_load_that_stopped_half_way_is_completed(
    spark: SparkSession, disk: Environment, tmp_path: Path, database: Postgres, table: str
) -> None:
    pipeline = opened(spark, disk, tmp_path, text_of(database, table, BY_CHANGE))
    put(database, table, (1, 1), (2, 2))
    load_alone(pipeline)
    put(database, table, (3, 2), (4, 3))

    steps = loads(pipeline)
    pipeline.run("ingest")

    assert [(one.status, one.batch, one.resume) for one in steps] == [
        (Status.RUN, 0, True),
        (Status.RUN, 1, False),
    ]
    assert [number for number, _ in versions(pipeline)] == [1, 2, 3, 4]


def load_alone(pipeline: Pipeline) -> None:
    """The commit to bronze of the next load; not that to the list."""
    (step,) = loads(pipeline)
    source = pipeline.graph.sources["payments"]
    assert isinstance(source, JdbcSource)
    assert step.range is not None
    txn = Txn(cursor("ingest", "payments"), step.batch)
    with open_snapshot(source, "payments") as snapshot:
        Load(step, source, pipeline.tables, step.range, snapshot).written(txn, now=NOW)


@pytest.mark.parametrize("column", ["changed_at", "transaction_id", None])
def test_tasks_read_one_state_of_the_table_each_row_once(
    spark: SparkSession,
    disk: Environment,
    tmp_path: Path,
    database: Postgres,
    table: str,
    column: str | None,
) -> None:
    rows = "select n, now(), n, now() + n * interval '1 second' from generate_series(1, 3000) n"
    database.run(f"insert into {table} {rows}")
    source = source_of(database, table, incremental_column=column, partitions=3)
    pipeline = opened(spark, disk, tmp_path, text_of(database, table))
    (step,) = loads(pipeline)

    with open_snapshot(source, "payments") as snapshot:
        upto = observe_relation(source, "payments", None).newest
        database.run(f"update {table} set transaction_id = - transaction_id, changed_at = now()")
        wanted = ColumnRange(table, snapshot.relation.ident, column or "", upto=upto)
        read = Load(step, source, pipeline.tables, wanted, snapshot).rows()
        found = sorted(row[0] for row in read.select(ID).collect())
        parts = read.rdd.getNumPartitions()

    assert (found, parts) == (list(range(1, 3001)), 3)


EVERY_TYPE = {
    "small": ("smallint", "7", 7),
    "truth": ("boolean", "true", "true"),
    "money": ("numeric", "2.50", "2.50"),
    "long": ("numeric", "123456789012345678901234567890.1234567890", None),
    "share": ("double precision", "0.1", "0.1"),
    "day": ("date", "date '2018-04-01'", "2018-04-01"),
    "local": ("timestamp", "timestamp '2018-03-25 02:30:00.000001'", "2018-03-25 02:30:00.000001"),
    "instant": ("timestamptz", "timestamptz '2018-03-25 02:30:00+02'", "2018-03-25 00:30:00+00"),
    "never": ("timestamptz", "timestamptz 'infinity'", "infinity+00"),
    "words": ("text", "'a,\"b\"'", 'a,"b"'),
    "doc": ("json", "'{\"a\": 2.50}'", '{"a": 2.50}'),
    "many": ("int[]", "array[1, 2]", "{1,2}"),
    "bytes": ("bytea", "'\\x00ff'", "\\x00ff"),
    "nothing": ("text", "null", None),
}


def test_values_come_as_they_are(
    spark: SparkSession, disk: Environment, tmp_path: Path, database: Postgres
) -> None:
    table = new_table(database, ", ".join(f"{name} {one[0]}" for name, one in EVERY_TYPE.items()))
    database.run(f"insert into {table} values ({', '.join(one[1] for one in EVERY_TYPE.values())})")
    pipeline = opened(spark, disk, tmp_path, text_of(database, table))

    pipeline.run("ingest")

    wanted = {name: one[2] for name, one in EVERY_TYPE.items()}
    wanted["long"] = EVERY_TYPE["long"][1]
    assert pipeline.rows("bronze", "payments", *EVERY_TYPE) == [tuple(wanted.values())]


SNAPSHOT_TABLE = (
    TABLE.replace("changed_at: timestamp", "jdbc_snapshot_at: timestamp")
    + """\
unknown_columns: ignore
history:
  kind: scd1
  rows: snapshots
  sequence_by: jdbc_snapshot_at
"""
)


def test_a_key_that_the_next_snapshot_lacks_was_deleted(
    spark: SparkSession, disk: Environment, tmp_path: Path, database: Postgres, table: str
) -> None:
    text = text_of(database, table, "every: 0s").replace("tx_datetime", "jdbc_snapshot_at")
    pipeline = opened(spark, disk, tmp_path, text, SNAPSHOT_TABLE)
    put(database, table, (1, 1), (2, 2))
    pipeline.run("ingest")
    database.run(f"delete from {table} where transaction_id = 1")
    put(database, table, (2, 3))

    for verb in ("ingest", "refine", "history"):
        pipeline.run(verb)

    assert pipeline.rows("history", "transactions", ID, "amount") == [(2, 3.5)]


ANEW = "was made anew since it was read: say --accept to read it from its start"


class TestOneThatIsAnother:
    def test_a_table_made_anew_is_blocked_and_then_read_from_its_start(
        self, spark: SparkSession, disk: Environment, tmp_path: Path, database: Postgres, table: str
    ) -> None:
        pipeline = opened(spark, disk, tmp_path, text_of(database, table, BY_CHANGE))
        put(database, table, (1, 5), (2, 6))
        pipeline.run("ingest")
        database.run(
            f"drop table {table}",
            f"create table {table} ({COLUMNS})",
            f"grant select on {table} to {USER}",
        )
        put(database, table, (2, 6), (3, 1))
        told = reason(pipeline)

        pipeline.run("ingest", accept=True)

        assert told.endswith(ANEW)
        # what bronze has of it is not there twice
        assert [number for number, _ in versions(pipeline)] == [1, 2, 3]

    def test_one_that_is_another_since_the_plan_is_not_read(
        self, spark: SparkSession, disk: Environment, tmp_path: Path, database: Postgres, table: str
    ) -> None:
        pipeline = opened(spark, disk, tmp_path, text_of(database, table, BY_CHANGE))
        put(database, table, (1, 5))
        (step,) = loads(pipeline)
        database.run(f"drop table {table}", f"create table {table} ({COLUMNS})")
        database.run(f"grant select on {table} to {USER}")

        with pytest.raises(StoreError, match="is no longer what the plan saw; nothing was read"):
            pipeline.carry_out(step)


def error_of(source: JdbcSource) -> FeldsparError:
    with pytest.raises(FeldsparError) as told:
        observe_relation(source, "payments", None)
    return told.value


class TestErrors:
    def test_no_such_table_names_the_nearest(self, database: Postgres, table: str) -> None:
        told = error_of(source_of(database, f"public.{table[:-1]}"))

        assert (type(told), f"public.{table}" in told.hint) == (InputError, True)

    def test_no_such_column_names_the_nearest(self, database: Postgres, table: str) -> None:
        told = error_of(source_of(database, table, incremental_column="changed"))

        assert told.message.endswith(f"{table} has no column changed (incremental_column)")
        assert told.hint == "nearest: changed_at"

    def test_a_column_that_does_not_grow_names_those_that_may(
        self, database: Postgres, table: str
    ) -> None:
        told = error_of(source_of(database, table, incremental_column="amount"))

        assert "incremental_column amount is numeric; it must be a whole number" in told.message
        assert told.hint == "such columns are: transaction_id, tx_datetime, changed_at"

    def test_an_overlap_of_the_other_kind_is_told(self, database: Postgres, table: str) -> None:
        told = error_of(source_of(database, table, overlap=1000))

        assert told.message.endswith(
            "changed_at is timestamptz, so 'overlap' is a length of time such as 10m"
        )

    def test_rows_without_a_value_are_seen(self, database: Postgres, table: str) -> None:
        database.run(f"insert into {table} values (1, now(), 1, null)")

        assert observe_relation(source_of(database, table), "payments", None).lacks

    def test_who_has_no_rights_is_told_which(self, database: Postgres, table: str) -> None:
        database.run(f"revoke select on {table} from {USER}")

        told = error_of(source_of(database, table))

        assert told.message.endswith(f"permission denied for table {table}")
        assert told.hint == f"grant select on it to {USER}"

    def test_a_query_that_is_none_is_told(self, database: Postgres) -> None:
        told = error_of(source_of(database, "", table=None, query="select * frm payments"))

        assert (type(told), "syntax error" in told.message) == (InputError, True)

    def test_a_wrong_password_is_told(self, database: Postgres, table: str) -> None:
        told = error_of(source_of(database, table, password="no"))

        assert (type(told), "password authentication failed" in told.message) == (StoreError, True)

    def test_a_server_that_does_not_answer_is_told(self) -> None:
        url = f"jdbc:postgresql://{HOST}:{free_port(())}/shop"

        told = error_of(source_of(Postgres(0), "payments", url=url))

        assert (type(told), "does not answer" in told.message) == (UnreachableError, True)

    def test_without_its_client_the_extra_is_named(self) -> None:
        program = (
            "import sys; sys.modules['psycopg'] = None\n"
            "from feldspar.stores.jdbc import observe_relation\n"
            "observe_relation(None, 'payments', None)"
        )
        done = subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            check=False,
            env={"PYTHONPATH": ":".join(sys.path)},
        )

        assert "pip install 'feldspar[jdbc]'" in done.stderr


def test_a_query_is_read_as_a_table_is(database: Postgres, table: str) -> None:
    put(database, table, (1, 1), (2, 2))
    query = f"select transaction_id, changed_at from {table} where amount < 2;"

    state = observe_relation(source_of(database, "", table=None, query=query), "payments", None)

    assert (state.relation, state.waiting) == ("query", 1)


@pytest.mark.parametrize("seed", range(CASES))
def test_loads_at_any_moment_end_with_each_row_once(
    spark: SparkSession,
    disk: Environment,
    tmp_path: Path,
    database: Postgres,
    table: str,
    seed: int,
) -> None:
    draw = random.Random(seed)
    lines = [BY_CHANGE + f"most: {draw.randint(2, 5)}", "overlap: 5m"]
    pipeline = opened(spark, disk, tmp_path, text_of(database, table, *lines))
    written = []
    for minute in range(10, 40, 10):
        rows = [(100 * minute + one, minute - draw.randint(0, 4)) for one in range(4)]
        put(database, table, *rows)
        written += rows
        load_somehow(pipeline, draw)
    carried_out(pipeline)

    assert versions(pipeline) == [(number, f"{AT.format(at)}+00") for number, at in sorted(written)]


def load_somehow(pipeline: Pipeline, draw: random.Random) -> None:
    """A load, one that stops half-way, or none."""
    (step, *more) = loads(pipeline)
    match draw.choice(["whole", "stopped", "none"]):
        case "whole":
            pipeline.run("ingest")
        case "stopped" if step.runs and not more:
            load_alone(pipeline)

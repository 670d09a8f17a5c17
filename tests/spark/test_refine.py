"""bronze -> silver on a real lake: a row is valid, or a copy, or refused with every reason."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import Row, SparkSession
from pyspark.sql import functions as F

from feldspar.compute.dedupe import content_hash, first_known, same_row
from feldspar.errors import LedgerError
from feldspar.graph.compile import compile_graph
from feldspar.graph.steps import RefineStep, Status
from feldspar.names import KNOWN_TIME, REASONS, cursor
from feldspar.refine.rows import RAW, checked_rows, silver_columns
from feldspar.refine.table import QUARANTINE_COLUMNS
from feldspar.refine.upstream import Upstream
from feldspar.spec.environment import Environment
from feldspar.spec.loading import load_definitions
from feldspar.stores.tables.log import Txn
from feldspar.stores.tables.spark import Declared
from support.pipeline import HEADER, NOW, Pipeline, open_pipeline
from support.small_project import FILES, write_project

SOURCE, TABLE = "sources/payments.yaml", "tables/transactions.yaml"
AT = "2018-04-01T10:00:00Z"
MORNING = datetime(2018, 4, 1, 10, tzinfo=UTC)
LINES = (
    f"1,{AT},7,3,12.5,false,",
    f"2,{AT},7,3,abc,false,",
    f"3,{AT},7,3,5000,false,",
    f"4,{AT},7,3,,false,",
    "5,soon,x,3,-1,false,",
    f",{AT},7,3,1,false,",
    f"7,{AT},7,3,NaN,false,",
    f"8,{AT},7,3,-Infinity,false,",
    f"9,{AT},7,3,1,false,2.5",
    f"10,{AT}",
    f"11,{AT},7,3,1,maybe,",
    "12,12:00,7,3,1,false,",
    f"13,{AT},7,3,1,false,",
    f"13,{AT},7,3,1,false,",
    f"14,{AT},7,3,1,false,",
    f"14,{AT},7,3,2,false,",
    "15,2018-04-01 10:00:00,7,3,1,false,",
)
LEDGER = ("after_version", "rows_in", "valid", "quarantined", "duplicates")


@pytest.fixture(scope="module")
def twice(
    spark: SparkSession, disk: Environment, tmp_path_factory: pytest.TempPathFactory
) -> Pipeline:
    """A lake after two loads: good, bad, copied and corrected payments."""
    pipeline = open_pipeline(spark, disk, tmp_path_factory.mktemp("refine"))
    pipeline.put("a.csv", *LINES, header=HEADER.replace("\n", ",tip\n"))
    pipeline.run("ingest", "refine")
    later = (f"1,{AT},7,3,12.5,false", f"14,{AT},7,3,3,false", f"16,{AT},7,3,1,false")
    pipeline.put("b.csv", *later)
    pipeline.run("ingest", "refine")
    return pipeline


class TestTwoBatches:
    def test_every_reason_of_a_row_is_in_quarantine(self, twice: Pipeline) -> None:
        rows = twice.rows("quarantine", "transactions", REASONS, RAW)

        assert {identity(raw): reasons for reasons, raw in rows} == {
            "2": ["amount:not_a_finite_number"],
            "3": ["amount:between"],
            "4": ["amount:not_null"],
            "5": ["tx_datetime:not_a_timestamp", "customer_id:not_a_bigint", "amount:between"],
            None: ["transaction_id:not_null"],
            "7": ["amount:not_a_finite_number"],
            "8": ["amount:not_a_finite_number"],
            "9": ["tip:unknown_column"],
            f"10,{AT}": ["line:not_parsed"],
            "11": ["is_fraud:not_a_boolean"],
            "12": ["tx_datetime:not_a_timestamp"],
        }

    def test_the_raw_record_is_all_that_came(self, twice: Pipeline) -> None:
        raw = [raw for (raw,) in twice.rows("quarantine", "transactions", RAW)]

        assert (
            '{"transaction_id":"5","tx_datetime":"soon","customer_id":"x","terminal_id":"3",'
            '"amount":"-1","is_fraud":"false"}'
        ) in raw

    def test_copies_are_dropped_and_corrections_are_versions(self, twice: Pipeline) -> None:
        assert twice.rows("silver", "transactions", "transaction_id", "amount", "_batch") == [
            (1, 12.5, 0),
            (13, 1.0, 0),
            (14, 1.0, 0),
            (14, 2.0, 0),
            (14, 3.0, 1),
            (15, 1.0, 0),
            (16, 1.0, 1),
        ]

    def test_both_clocks_are_written(self, twice: Pipeline) -> None:
        clocks = twice.rows("silver", "transactions", "_event_time", "_known_time")

        assert set(clocks) == {(MORNING, MORNING)}

    def test_the_ledger_adds_up_batch_by_batch(self, twice: Pipeline) -> None:
        rows = twice.rows("ops", "ledger", *LEDGER)

        assert [row[1:] for row in rows] == [(3, 2, 0, 1), (17, 5, 11, 1)]

    def test_nothing_is_left_to_do(self, twice: Pipeline) -> None:
        assert twice.plan().of("refine").to_run == ()


def identity(raw: str) -> str | None:
    """The transaction of a raw record; a line that was not parsed, as it is."""
    if not raw.startswith("{"):
        return raw
    found: str | None = json.loads(raw).get("transaction_id")
    return found


def judged(
    spark: SparkSession,
    folder: Path,
    *,
    columns: str,
    rows: list[tuple[Any, ...]],
    files: dict[str, str] | None = None,
) -> list[Row]:
    """What ``refine`` makes of raw rows, in their order."""
    graph = compile_graph(load_definitions(write_project(folder, files), {}))
    raw = spark.createDataFrame(
        [("f", 0, number, NOW, *row) for number, row in enumerate(rows)],
        f"_file string, _batch bigint, _position bigint, _ingested_at timestamp, {columns}",
    )
    return checked_rows(raw, graph.table("transactions")).orderBy("_position").collect()


ALL = (
    "transaction_id bigint, tx_datetime {time}, customer_id {customer}, terminal_id bigint, "
    "amount double, is_fraud bigint"
)
NO_ZONE = FILES[SOURCE].replace("zone: UTC\n", "")
BERLIN = FILES[SOURCE].replace("zone: UTC", "zone: Europe/Berlin")


def test_a_time_without_a_zone_is_refused(spark: SparkSession, tmp_path: Path) -> None:
    times = ["2018-04-01 10:00:00", "2018-04-01", "2018-04-01T12:00:00+02:00", AT]

    rows = judged(
        spark,
        tmp_path,
        columns=ALL.format(time="string", customer="bigint"),
        rows=[(1, time, 7, 3, 1.0, 0) for time in times],
        files={SOURCE: NO_ZONE},
    )

    assert [(row[REASONS], row["tx_datetime"]) for row in rows] == [
        (["tx_datetime:not_a_timestamp_with_zone"], None),
        (["tx_datetime:not_a_timestamp_with_zone"], None),
        ([], naive(MORNING)),
        ([], naive(MORNING)),
    ]


def naive(instant: datetime) -> datetime:
    """As Spark hands instants to Python where the machine's zone is not UTC."""
    return instant.astimezone().replace(tzinfo=None)


@pytest.mark.parametrize("kind", ["string", "timestamp_ntz"])
def test_local_times_are_those_of_the_sources_zone(
    spark: SparkSession, tmp_path: Path, kind: str
) -> None:
    local = ["2018-03-25 01:30:00", "2018-03-25 03:30:00", "2018-10-28 04:00:00.000001"]
    given = local if kind == "string" else [datetime.fromisoformat(one) for one in local]

    rows = judged(
        spark,
        tmp_path,
        columns=ALL.format(time=kind, customer="bigint"),
        rows=[(1, time, 7, 3, 1.0, 0) for time in given],
        files={SOURCE: BERLIN},
    )

    assert [row["tx_datetime"].astimezone(UTC).isoformat() for row in rows] == [
        "2018-03-25T00:30:00+00:00",
        "2018-03-25T01:30:00+00:00",
        "2018-10-28T03:00:00.000001+00:00",
    ]


def test_numbers_are_never_cut_to_fit(spark: SparkSession, tmp_path: Path) -> None:
    rows = judged(
        spark,
        tmp_path,
        columns=ALL.format(time="timestamp", customer="double"),
        rows=[
            (1, MORNING, 7.0, 3, 1.0, 1),
            (2, MORNING, 7.5, 3, 1.0, 0),
            (3, MORNING, 7.0, 3, float("nan"), 2),
        ],
    )

    assert [(row[REASONS], row["customer_id"], row["is_fraud"]) for row in rows] == [
        ([], 7, True),
        (["customer_id:not_a_bigint"], None, False),
        (["amount:not_a_finite_number", "is_fraud:not_a_boolean"], 7, None),
    ]


def test_a_number_is_no_time(spark: SparkSession, tmp_path: Path) -> None:
    rows = judged(
        spark,
        tmp_path,
        columns=ALL.format(time="bigint", customer="bigint"),
        rows=[(1, 1_522_576_800, 7, 3, 1.0, 0)],
    )

    assert rows[0][REASONS] == ["tx_datetime:not_a_timestamp"]


def test_a_missing_column_is_a_reason_unless_it_is_optional(
    spark: SparkSession, tmp_path: Path
) -> None:
    optional = FILES[TABLE].replace(
        "  is_fraud: {type: boolean, known_after: 7d}",
        "  is_fraud: {type: boolean, optional: true}",
    )

    rows = judged(
        spark,
        tmp_path,
        columns="transaction_id bigint, tx_datetime timestamp, customer_id bigint, amount double",
        rows=[(1, MORNING, 7, 1.0)],
        files={TABLE: optional},
    )

    assert rows[0][REASONS] == ["terminal_id:missing_column"]


ARRIVED = FILES[TABLE].replace("  amount: double", "  amount: double\n  arrived_at: timestamp")
EARLY, LATE = datetime(2018, 4, 1, 9, tzinfo=UTC), datetime(2018, 4, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("rule", "known"),
    [
        ("arrived_at", [LATE, None]),
        ("ingested", [NOW, NOW]),
        ("event_time + 5m", [MORNING.replace(minute=5)] * 2),
        ("[arrived_at, event_time + 1h]", [LATE, MORNING.replace(hour=11)]),
    ],
)
def test_known_time_follows_the_sources_rule(
    spark: SparkSession, tmp_path: Path, rule: str, known: list[datetime | None]
) -> None:
    rows = judged(
        spark,
        tmp_path,
        columns=ALL.format(time="timestamp", customer="bigint") + ", arrived_at timestamp",
        rows=[(1, MORNING, 7, 3, 1.0, 0, LATE), (2, MORNING, 7, 3, 1.0, 0, None)],
        files={TABLE: ARRIVED, SOURCE: FILES[SOURCE].replace("event_time + 0s", rule)},
    )

    assert [row[KNOWN_TIME] for row in rows] == [one and naive(one) for one in known]


def test_rows_known_too_long_before_they_happen_or_never_are_refused(
    spark: SparkSession, tmp_path: Path
) -> None:
    rows = judged(
        spark,
        tmp_path,
        columns=ALL.format(time="timestamp", customer="bigint") + ", arrived_at timestamp",
        rows=[
            (1, MORNING, 7, 3, 1.0, 0, EARLY),
            (2, MORNING, 7, 3, 1.0, 0, MORNING.replace(hour=9, minute=55)),
            (3, MORNING, 7, 3, 1.0, 0, None),
        ],
        files={TABLE: ARRIVED, SOURCE: FILES[SOURCE].replace("event_time + 0s", "arrived_at")},
    )

    assert [row[REASONS] for row in rows] == [
        ["event_time:in_the_future"],
        [],
        ["known_time:not_null"],
    ]


class TestCopies:
    ROWS = (
        "select 1 k, 5L _row_hash, timestamp'2018-01-01 {hour}:00:00' _known_time, "
        "0L _batch, {position}L _position"
    )

    def test_the_copy_known_first_stays(self, spark: SparkSession) -> None:
        late, early = (self.ROWS.format(hour=h, position=p) for h, p in (("12", 0), ("11", 1)))

        rows = first_known(spark.sql(f"{late} union all {early}"), ["k"]).collect()

        assert [row["_position"] for row in rows] == [1]

    def test_a_copy_that_was_known_before_what_is_stored_is_a_version(
        self, spark: SparkSession, disk: Environment, tmp_path: Path
    ) -> None:
        tables = open_pipeline(spark, disk, tmp_path).tables
        stored = spark.sql(self.ROWS.format(hour="11", position=0))
        declared = Declared(stored.schema)
        tables.append(stored, "silver", "copies", txn=Txn("test", 1), declared=declared)
        copies = [self.ROWS.format(hour=h, position=p) for h, p in (("10", 1), ("12", 2))]

        commit = tables.merge_new(
            spark.sql(" union all ".join(copies)),
            "silver",
            "copies",
            same=same_row(["k"]),
            txn=Txn("test", 2),
        )

        assert commit.rows == 1


class TestStops:
    """A batch that stopped between its commits is finished with the same bounds."""

    GOOD, BAD = f"2,{AT},7,3,1,false", f"3,{AT},7,3,x,false"

    @pytest.fixture
    def stopped(self, spark: SparkSession, disk: Environment, tmp_path: Path) -> Pipeline:
        pipeline = open_pipeline(spark, disk, tmp_path)
        pipeline.put("a.csv", f"1,{AT},7,3,1,false", f"9,{AT},7,3,x,false")
        pipeline.run("ingest", "refine")
        pipeline.put("b.csv", self.GOOD, self.BAD, self.GOOD)
        pipeline.run("ingest")
        return pipeline

    @pytest.mark.parametrize("commits", ["quarantine", "quarantine and silver"])
    def test_the_tables_end_as_without_the_stop(self, stopped: Pipeline, commits: str) -> None:
        begin_batch(stopped, and_silver=commits.endswith("silver"))
        stopped.put("c.csv", f"4,{AT},7,3,1,false")

        stopped.run("ingest", "refine")

        assert (
            stopped.rows("silver", "transactions", "transaction_id", "_batch"),
            [identity(raw) for (raw,) in stopped.rows("quarantine", "transactions", RAW)],
            sorted(row[1:] for row in stopped.rows("ops", "ledger", *LEDGER)),
            stopped.plan().of("refine").to_run,
        ) == (
            [(1, 0), (2, 1), (4, 2)],
            ["3", "9"],
            [(1, 1, 0, 0), (2, 1, 1, 0), (3, 1, 1, 1)],
            (),
        )


class TestWhatABatchSpares:
    """Commits and reading that a batch has no need of."""

    @pytest.fixture
    def loaded(self, spark: SparkSession, disk: Environment, tmp_path: Path) -> Pipeline:
        pipeline = open_pipeline(spark, disk, tmp_path)
        pipeline.put("a.csv", f"5,{AT},7,3,1,false", f"6,{AT},7,3,x,false")
        pipeline.run("ingest", "refine")
        return pipeline

    def test_where_nothing_was_refused_quarantine_has_no_commit(self, loaded: Pipeline) -> None:
        before = loaded.version("quarantine", "transactions")
        loaded.put("b.csv", f"7,{AT},7,3,1,false")
        loaded.run("ingest", "refine")
        between = loaded.version("quarantine", "transactions")
        loaded.put("c.csv", f"8,{AT},7,3,x,false")
        loaded.run("ingest", "refine")

        assert (between, loaded.plan().of("refine").to_run) == (before, ())
        raw = loaded.rows("quarantine", "transactions", RAW)
        assert [identity(one) for (one,) in raw] == ["6", "8"]

    @pytest.mark.parametrize(("lines", "operation"), [((7, 8), "WRITE"), ((7, 5, 2), "MERGE")])
    def test_silver_is_looked_into_only_where_it_may_hold_a_key(
        self, loaded: Pipeline, lines: tuple[int, ...], operation: str
    ) -> None:
        loaded.put("b.csv", *[f"{number},{AT},7,3,1,false" for number in lines])
        loaded.run("ingest", "refine")

        version = loaded.version("silver", "transactions")
        commit = loaded.tables.commit("silver", "transactions", version)
        assert commit.operation == operation
        assert [
            one for (one,) in loaded.rows("silver", "transactions", "transaction_id")
        ] == sorted({5, *lines})


def test_a_value_that_moves_to_another_column_makes_another_row(spark: SparkSession) -> None:
    rows = spark.createDataFrame(
        [(1, 7, None), (1, None, 7), (1, None, None)], "a int, b int, c int"
    )

    hashes = rows.select(content_hash(["a", "b", "c"]).alias("hash")).distinct()

    assert hashes.count() == 3


def begin_batch(pipeline: Pipeline, *, and_silver: bool) -> None:
    """The commits of the next batch up to a point, as ``refine`` makes them."""
    tables, table = pipeline.tables, pipeline.graph.table("transactions")
    step = next(one for one in pipeline.plan().to_run if isinstance(one, RefineStep))
    upstream = Upstream(table, tables)
    upto = upstream.version()
    txn = Txn(cursor("refine", table.name, step.generation), upto)
    rows = checked_rows(upstream.rows(after=step.after, upto=upto), table)
    failed = rows.where(F.size(REASONS) > 0).select(*QUARANTINE_COLUMNS)
    tables.append(failed, "quarantine", table.name, txn=txn)
    if and_silver:
        valid = rows.where(F.size(REASONS) == 0).select(*silver_columns(rows, table))
        unique = first_known(valid, table.spec.key)
        tables.merge_new(unique, "silver", table.name, same=same_row(table.spec.key), txn=txn)


class TestChangedDefinition:
    TEXT = FILES[TABLE].replace("terminal_id: bigint", "terminal_id: string")
    STRICTER = FILES[TABLE].replace("between: [0, 1000]", "between: [0, 5]")

    @pytest.fixture
    def built(self, spark: SparkSession, disk: Environment, tmp_path: Path) -> Pipeline:
        pipeline = open_pipeline(spark, disk, tmp_path)
        pipeline.put("a.csv", f"1,{AT},7,3,9,false")
        pipeline.run("ingest", "refine", "features")
        return pipeline

    def test_a_breaking_one_waits_and_is_then_rebuilt_with_what_reads_it(
        self, built: Pipeline
    ) -> None:
        changed = built.with_files({TABLE: self.TEXT})
        blocked = [step.name for step in changed.plan().blocked]

        changed.run("refine", "features", accept=True)

        assert (
            blocked,
            changed.rows("silver", "transactions", "transaction_id", "terminal_id"),
            changed.rows("gold", "customer_spend", "_event_id", "customer_id"),
            [one.status for one in changed.plan().of("refine").steps],
            [one.status for one in changed.plan().of("features").steps],
        ) == (
            ["silver.transactions"],
            [(1, "3")],
            [(1, 7)],
            [Status.NOTHING],
            [Status.NOTHING] * 2,
        )

    def test_a_check_holds_from_now_on_and_is_recorded_without_rows(self, built: Pipeline) -> None:
        changed = built.with_files({TABLE: self.STRICTER})

        result = changed.run("refine")["silver.transactions"]

        assert (result.rows_in, changed.rows("silver", "transactions", "amount")) == (0, [(9.0,)])

    def test_a_recorded_change_leaves_nothing_to_do(self, built: Pipeline) -> None:
        changed = built.with_files({TABLE: self.STRICTER})
        changed.run("refine")

        assert changed.plan().of("refine").to_run == ()


def test_rows_that_bronze_lost_are_found_and_nothing_is_confirmed(
    spark: SparkSession, disk: Environment, tmp_path: Path
) -> None:
    pipeline = open_pipeline(spark, disk, tmp_path)
    pipeline.put("a.csv", f"1,{AT},7,3,9,false")
    pipeline.run("ingest", "refine")
    pipeline.put("b.csv", f"2,{AT},7,3,9,false", f"3,{AT},7,3,9,false")
    pipeline.run("ingest")
    lose_a_row(Path(pipeline.lake.uri("bronze", "payments")))

    with pytest.raises(LedgerError, match="2 rows came in from payments, but 1 are valid"):
        pipeline.run("refine")

    assert len(pipeline.rows("ops", "ledger", *LEDGER)) == 1


def lose_a_row(bronze: Path) -> None:
    """The newest data file with one row less than its commit says."""
    newest = max(bronze.glob("*.parquet"), key=lambda file: file.stat().st_mtime_ns)
    rows: pa.Table = pq.read_table(newest)
    assert rows.num_rows == 2
    pq.write_table(rows.slice(1), newest, coerce_timestamps="us")
    # where Spark wrote it
    (bronze / f".{newest.name}.crc").unlink(missing_ok=True)

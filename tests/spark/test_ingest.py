"""files -> bronze on a real lake: each file once, the broken ones aside, nothing lost."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from feldspar.errors import InputError
from feldspar.graph.steps import IngestStep, Status
from feldspar.ingest.columns import FILE, INGESTED_AT
from feldspar.ingest.frames import read_files, together
from feldspar.ingest.probe import probe_files
from feldspar.ingest.result import IngestResult
from feldspar.names import BATCH, POSITION, cursor
from feldspar.spec.environment import Environment
from feldspar.stores.tables.log import Txn
from support.pipeline import HEADER, NOW, Pipeline, open_pipeline

LINE = "1,2018-04-01T10:00:00Z,7,3,12.5,false"
ODD_NAME = "k\u00e4ufe + 100% [m\u00e4rz].csv"


@pytest.fixture
def pipeline(spark: SparkSession, disk: Environment, tmp_path: Path) -> Pipeline:
    return open_pipeline(spark, disk, tmp_path)


def by_name(pairs: list[tuple[Any, ...]]) -> dict[str, Any]:
    return {Path(uri).name: value for uri, value in pairs}


def aside(result: IngestResult) -> dict[str, str]:
    return {Path(one.file.uri).name: one.error for one in result.set_aside}


@pytest.fixture(scope="module")
def texts(
    spark: SparkSession, disk: Environment, tmp_path_factory: pytest.TempPathFactory
) -> Pipeline:
    pipeline = open_pipeline(spark, disk, tmp_path_factory.mktemp("text"))
    write_texts(pipeline)
    pipeline.run("ingest")
    return pipeline


class TestText:
    """CSV and JSON lines, good and bad, of one load."""

    def test_rows_of_every_readable_file_are_there(self, texts: Pipeline) -> None:
        files = [Path(uri).name for (uri,) in texts.rows("bronze", "payments", FILE)]

        assert {name: files.count(name) for name in files} == {
            "a.csv": 2,
            ODD_NAME: 1,
            "c.csv.gz": 1,
            "d.jsonl": 3,
            "e.ndjson": 2,
        }

    def test_files_that_cannot_be_used_are_set_aside_with_their_error(
        self, texts: Pipeline
    ) -> None:
        errors = by_name(texts.rows("ops", "files", "uri", "error"))

        assert {name: error for name, error in errors.items() if error} == {
            "blank.csv": "column 'customer id' has a blank or one of ,;{}()= in its name",
            "case.csv": "column Amount is spelled amount in what was read before",
            "cut.csv.gz": "cannot be read: java.io.EOFException: Unexpected end of input stream",
            "empty.csv": "the file is empty (0 bytes)",
            "names.csv": "a column is named _file, which the platform uses itself",
            "notes.txt": "no known format; names end in "
            ".parquet, .csv, .jsonl, .ndjson, .json (and .gz for text)",
            "twice.csv": "cannot be read as csv: its first line is no header of distinct names: "
            "'transaction_id,transaction_id'",
        }

    def test_the_list_and_bronze_spell_a_file_the_same(self, texts: Pipeline) -> None:
        listed = {
            uri for uri, status in texts.rows("ops", "files", "uri", "status") if status == "loaded"
        }

        assert {uri for (uri,) in texts.rows("bronze", "payments", FILE)} == listed

    def test_nothing_is_left_to_do(self, texts: Pipeline) -> None:
        assert texts.plan().of("ingest").to_run == ()

    def test_positions_name_the_rows_of_a_load(self, texts: Pipeline) -> None:
        rows = texts.rows("bronze", "payments", BATCH, POSITION, "_ingested_at")

        assert (len(set(rows)), {row[0] for row in rows}, {row[2] for row in rows}) == (
            9,
            {0},
            {NOW},
        )

    def test_nested_values_are_kept_as_text(self, texts: Pipeline) -> None:
        rows = texts.rows("bronze", "payments", "transaction_id", "device")

        assert ("21", '{"os": "x", "sizes": [1, 2.50]}') in rows

    def test_a_key_with_a_dot_is_a_column(self, texts: Pipeline) -> None:
        assert ("22", "1e5") in texts.rows("bronze", "payments", "transaction_id", "x.y")

    def test_lines_that_cannot_be_parsed_are_kept_whole(self, texts: Pipeline) -> None:
        lines = [line for (line,) in texts.rows("bronze", "payments", "_corrupt") if line]

        assert lines == ["neither is this", "not json", '{"transaction_id": 23, "amount']

    def test_quoted_text_may_have_quotes_and_line_ends(self, texts: Pipeline) -> None:
        assert ("2", 'a "b"\nc') in texts.rows("bronze", "payments", "transaction_id", "note")


def write_texts(pipeline: Pipeline) -> None:
    header = HEADER.strip() + ",note\n"
    pipeline.put(
        "a.csv", LINE + ",x", '2,2018-04-01T10:00:00Z,7,3,1,false,"a ""b""\nc"', header=header
    )
    pipeline.put(ODD_NAME, "3,2018-04-01T10:00:00Z,7,3,1,false")
    text = gzip.compress((HEADER + LINE + "\n").encode())
    (pipeline.inbox / "c.csv.gz").write_bytes(text)
    (pipeline.inbox / "cut.csv.gz").write_bytes(
        gzip.compress((HEADER + f"{LINE}\n" * 5000).encode())[:-200]
    )
    (pipeline.inbox / "d.jsonl").write_text(
        '{"transaction_id": 21, "device": {"os": "x", "sizes": [1, 2.50]}}\n'
        '{"transaction_id": 22, "x.y": 1e5}\n'
        '{"transaction_id": 23, "amount\n'
    )
    (pipeline.inbox / "e.ndjson").write_text("not json\nneither is this\n")
    (pipeline.inbox / "empty.csv").touch()
    (pipeline.inbox / "notes.txt").write_text("not data")
    pipeline.put("twice.csv", "1,2", header="transaction_id,transaction_id\n")
    pipeline.put("blank.csv", "1,2", header="transaction_id,customer id\n")
    pipeline.put("case.csv", "1,2", header="transaction_id,Amount\n")
    pipeline.put("names.csv", "1,2", header="transaction_id,_file\n")


@pytest.fixture(scope="module")
def parquets(
    spark: SparkSession, disk: Environment, tmp_path_factory: pytest.TempPathFactory
) -> Pipeline:
    pipeline = open_pipeline(spark, disk, tmp_path_factory.mktemp("parquet"))
    write_parquets(pipeline.inbox)
    pipeline.run("ingest")
    return pipeline


class TestParquet:
    """Parquet files of several makers, good and bad, of one load."""

    def test_rows_of_every_readable_file_are_there(self, parquets: Pipeline) -> None:
        assert parquets.rows("bronze", "payments", "transaction_id", "customer_id", "amount") == [
            (1, 7, 1.5),
            (2, 7, 1.5),
            (3, 7, 1.5),
            (4, 7, None),
        ]

    def test_what_a_column_is_does_not_change(self, parquets: Pipeline) -> None:
        types = dict(parquets.tables.read("bronze", "payments").dtypes)

        assert (types["customer_id"], types["amount"]) == ("bigint", "double")

    def test_nanoseconds_are_read_to_the_microsecond(self, parquets: Pipeline) -> None:
        rows = dict(parquets.rows("bronze", "payments", "transaction_id", "seen_at"))

        assert rows[2].isoformat() == "1969-12-31T23:59:59.999998+00:00"

    def test_files_that_cannot_be_used_are_set_aside(self, parquets: Pipeline) -> None:
        errors = by_name(parquets.rows("ops", "files", "uri", "error"))

        assert sorted(name for name, error in errors.items() if error) == [
            "cut.parquet",
            "page.parquet",
            "text.parquet",
        ]

    def test_a_clash_of_types_names_both(self, parquets: Pipeline) -> None:
        errors = by_name(parquets.rows("ops", "files", "uri", "error"))

        assert errors["text.parquet"] == (
            "column amount is string here, double in what was read before"
        )

    def test_a_broken_page_is_found_behind_a_good_footer(self, parquets: Pipeline) -> None:
        errors = by_name(parquets.rows("ops", "files", "uri", "error"))

        assert errors["page.parquet"].startswith("cannot be read: ")


def write_parquets(folder: Path) -> None:
    def table(number: int, customer: pa.DataType, amount: pa.Array) -> pa.Table:
        columns = {
            "transaction_id": pa.array([number], pa.int64()),
            "customer_id": pa.array([7], customer),
            "amount": amount,
        }
        return pa.table(columns)

    amount = pa.array([1.5])
    pq.write_table(table(1, pa.int64(), amount), folder / "a.parquet")
    seen = pa.array([-1500], pa.timestamp("ns", "UTC"))
    nanos = table(2, pa.int64(), amount).append_column("seen_at", seen)
    pq.write_table(nanos, folder / "nanos.parquet")
    pq.write_table(table(3, pa.int32(), amount), folder / "narrow.parquet")
    pq.write_table(table(4, pa.int64(), pa.array([None])), folder / "nulls.parquet")
    pq.write_table(table(5, pa.int64(), pa.array(["much"])), folder / "text.parquet")
    (folder / "cut.parquet").write_bytes((folder / "a.parquet").read_bytes()[:-20])
    break_page(table(6, pa.int64(), amount), folder / "page.parquet")


def break_page(table: pa.Table, path: Path) -> None:
    """A file whose footer is good and whose first page is not."""
    pq.write_table(table, path, use_dictionary=False)
    start = pq.ParquetFile(path).metadata.row_group(0).column(0).data_page_offset
    content = bytearray(path.read_bytes())
    content[start : start + 16] = b"\xff" * 16
    path.write_bytes(bytes(content))


def test_only_a_new_file_is_taken(pipeline: Pipeline) -> None:
    pipeline.put("a.csv", LINE)
    pipeline.run("ingest")
    pipeline.put("b.csv", "2,2018-04-01T10:00:00Z,7,3,1,false")

    result = pipeline.run("ingest")["bronze.payments"]

    assert (result.batch, result.files, result.rows) == (1, 1, 1)


def test_a_folder_that_is_not_there_is_said(pipeline: Pipeline) -> None:
    pipeline.inbox.rmdir()

    with pytest.raises(InputError, match=r"data/payments: there is no such file or folder"):
        pipeline.plan()


def test_nothing_but_unusable_files_is_an_error_that_names_one(pipeline: Pipeline) -> None:
    (pipeline.inbox / "a.csv").touch()

    with pytest.raises(InputError, match=r"none of 1 files can be used; .*a.csv: the file is emp"):
        pipeline.run("ingest")


def test_unusable_files_are_listed_though_the_run_ends(pipeline: Pipeline) -> None:
    (pipeline.inbox / "a.csv").touch()

    with pytest.raises(InputError):
        pipeline.run("ingest")

    assert pipeline.plan().of("ingest").to_run == ()


def test_a_file_that_was_set_aside_is_tried_again_when_mended(pipeline: Pipeline) -> None:
    pipeline.put("a.csv", LINE)
    (pipeline.inbox / "b.csv").touch()
    pipeline.run("ingest")
    pipeline.put("b.csv", "2,2018-04-01T10:00:00Z,7,3,1,false")

    result = pipeline.run("ingest")["bronze.payments"]

    assert (result.files, aside(result)) == (1, {})


def test_a_load_of_unusable_files_alone_stops_nothing_after_it(pipeline: Pipeline) -> None:
    pipeline.put("a.csv", LINE)
    pipeline.run("ingest", "refine", "features")
    (pipeline.inbox / "b.csv").touch()

    results = pipeline.run("ingest", "refine", "features")

    assert (results["silver.transactions"].rows_in, aside(results["bronze.payments"])) == (
        0,
        {"b.csv": "the file is empty (0 bytes)"},
    )


class TestInterrupted:
    """Bronze has committed a load, and the list of files has not."""

    @pytest.fixture
    def stopped(self, pipeline: Pipeline) -> Pipeline:
        pipeline.put("a b.csv", LINE)
        pipeline.run("ingest")
        pipeline.put("\u00e9 %20.csv", "2,2018-04-01T10:00:00Z,7,3,1,false")
        pipeline.put("z.csv", "3,2018-04-01T10:00:00Z,7,3,1,false")
        append_alone(pipeline, "\u00e9 %20.csv")
        return pipeline

    def test_the_next_plan_completes_the_list_first(self, stopped: Pipeline) -> None:
        found = [one for one in stopped.plan().steps if isinstance(one, IngestStep)]
        steps = [one for one in found if one.source == "payments"]

        assert [(one.status, one.batch, one.resume) for one in steps] == [
            (Status.RUN, 1, True),
            (Status.RUN, 2, False),
        ]

    def test_no_file_is_loaded_twice_and_none_is_forgotten(self, stopped: Pipeline) -> None:
        stopped.run("ingest")

        assert stopped.rows("bronze", "payments", "transaction_id", BATCH) == [
            ("1", 0),
            ("2", 1),
            ("3", 2),
        ]

    def test_nothing_is_left_to_do_afterwards(self, stopped: Pipeline) -> None:
        stopped.run("ingest")

        assert stopped.plan().of("ingest").to_run == ()


def append_alone(pipeline: Pipeline, name: str) -> None:
    """The commit to bronze of load 1, with one of the files that wait; not that to the list."""
    tables = pipeline.tables
    waiting = [file for file in pipeline.waiting() if file.uri.endswith(name)]
    readable, _ = probe_files(waiting, tables.lake.storage)
    rows = together(read_files(tables.spark, readable)).withColumns(
        {
            BATCH: F.lit(1).cast("bigint"),
            POSITION: F.monotonically_increasing_id(),
            INGESTED_AT: F.lit(NOW).cast("timestamp"),
        }
    )
    stored = tables.read("bronze", "payments").columns
    tables.append(
        rows.select(stored), "bronze", "payments", txn=Txn(cursor("ingest", "payments"), 1)
    )

"""Finished tables against what their definitions promise: rows in a table, and Data Docs."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from feldspar.compute.checks.leftovers import MARK
from feldspar.monitor.quality import QualityResult
from feldspar.names import BATCH
from feldspar.spec.environment import Environment
from feldspar.stores.tables.log import Txn
from support.pipeline import TO_GOLD, Pipeline, open_pipeline
from support.places import REPOSITORY

FINDINGS = ("table", "version", "expectation", "column", "success")


@pytest.fixture(scope="module")
def checked(
    spark: SparkSession, disk: Environment, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Pipeline, dict[str, QualityResult]]:
    """A good lake and what was found."""
    pipeline = open_pipeline(spark, disk, tmp_path_factory.mktemp("quality"))
    pipeline.put("a.csv", "1,2018-04-01T10:00:00Z,7,3,10,false")
    pipeline.run(*TO_GOLD)
    return pipeline, pipeline.run("quality")


@pytest.fixture(scope="module")
def broken(
    checked: tuple[Pipeline, dict[str, QualityResult]],
) -> tuple[Pipeline, dict[str, QualityResult]]:
    """The same lake after somebody wrote to silver by hand."""
    pipeline, _ = checked
    rows = pipeline.tables.read("silver", "transactions").withColumn("amount", F.lit(-5.0))
    again = rows.withColumn(BATCH, F.lit(99).cast("bigint"))
    pipeline.tables.append(again, "silver", "transactions", txn=Txn("by hand", 1))
    return pipeline, pipeline.run("quality")


def test_every_silver_and_gold_table_is_checked(
    checked: tuple[Pipeline, dict[str, QualityResult]],
) -> None:
    assert {result.table: result.failed for result in checked[1].values()} == {
        "silver.transactions": (),
        "gold.customer_spend": (),
        "gold.last_payment": (),
    }


def test_findings_are_rows(checked: tuple[Pipeline, dict[str, QualityResult]]) -> None:
    pipeline, results = checked
    version = results["expectations of silver.transactions"].version

    assert (
        "silver.transactions",
        version,
        "expect_column_values_to_be_between",
        "amount",
        True,
    ) in pipeline.rows("ops", "validations", *FINDINGS)


def test_data_docs_are_a_page(checked: tuple[Pipeline, dict[str, QualityResult]]) -> None:
    page = Path(checked[1]["expectations of silver.transactions"].docs)

    assert "silver.transactions" in page.read_text(encoding="utf-8")


def test_a_broken_promise_names_column_and_expectation(
    broken: tuple[Pipeline, dict[str, QualityResult]],
) -> None:
    result = broken[1]["expectations of silver.transactions"]

    assert [(one.expectation, one.column) for one in result.failed] == [
        ("expect_column_values_to_be_between", "amount")
    ]


def test_a_broken_promise_is_a_row_of_its_version(
    broken: tuple[Pipeline, dict[str, QualityResult]],
) -> None:
    pipeline, results = broken
    version = results["expectations of silver.transactions"].version

    failed = [row for row in pipeline.rows("ops", "validations", *FINDINGS) if not row[4]]

    assert failed == [
        (
            "silver.transactions",
            version,
            "expect_column_values_to_be_between",
            "amount",
            False,
        )
    ]


SUITE = """
import sys
from pathlib import Path
import great_expectations.expectations as gxe
from pyspark.sql import SparkSession
from feldspar.compute.checks.suites import validate

spark = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").getOrCreate()
promised = [gxe.ExpectColumnValuesToNotBeNull(column="id")]
found = validate(spark.range(3), promised, name="silver.t", folder=Path(sys.argv[1]))
spark.stop()
sys.exit(0 if found[0].success else 1)
"""


def test_a_suite_calls_nobody(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as outside:
        proxy = f"http://127.0.0.1:{outside.getsockname()[1]}"
        proxies = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), proxy)
        done = subprocess.run(
            [sys.executable, "-c", SUITE, str(tmp_path)],
            env={
                **os.environ,
                **proxies,
                "PYTHONPATH": str(REPOSITORY / "lib"),
                "NO_PROXY": "localhost",
            },
            check=False,
            capture_output=True,
            timeout=240,
        )
        outside.setblocking(False)
        with pytest.raises(BlockingIOError):
            outside.accept()

    assert done.returncode == 0, done.stderr[-2000:]


KILLED = """\
import sys
from pathlib import Path
from feldspar.compute.checks.leftovers import marked
with marked(Path(sys.argv[1])):
    print("writing", flush=True)
    sys.stdin.read()
"""


def test_files_that_a_killed_run_left_half_written_stop_no_later_one(
    spark: SparkSession, disk: Environment, tmp_path: Path
) -> None:
    pipeline = open_pipeline(spark, disk, tmp_path)
    pipeline.put("a.csv", "1,2018-04-01T10:00:00Z,7,3,10,false")
    pipeline.run(*TO_GOLD)
    folder = pipeline.environment.folder / "quality"
    pipeline.run("quality")
    _kill_a_writer(folder)
    cut = folder / "gx" / "great_expectations.yml"
    cut.write_bytes(cut.read_bytes()[:700])
    (folder / "gx" / "expectations" / "silver.transactions.json").write_text("")
    pipeline.put("b.csv", "2,2018-04-01T10:00:00Z,7,3,10,false")
    pipeline.run(*TO_GOLD)

    found = pipeline.run("quality")["expectations of silver.transactions"]

    assert (found.failed, (folder / MARK).exists()) == ((), False)


def _kill_a_writer(folder: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY / "lib")},
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"writing\n"
        writer.kill()

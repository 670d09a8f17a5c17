"""``feldspar rescued``: what came in columns that no table declares, and what may become of it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from support.console import feldspar
from support.small_project import FILES, write_project

ENVIRONMENT = """\
namespace: test
storage: {root: lake}
redis: {url: "redis://127.0.0.1:1/0"}
mlflow: {tracking_uri: "sqlite:///mlflow.db"}
"""
TABLE = "tables/transactions.yaml"
MORNING = datetime(2018, 4, 1, tzinfo=UTC)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    write_project(tmp_path, {"environments/local.yaml": ENVIRONMENT})
    texts = ['{"tip":"2.5"}', None, '{"a b":"x","tip":"11"}']
    rows = pa.table(
        {
            "_rescued": pa.array(texts),
            "_known_time": pa.array([MORNING] * 3, pa.timestamp("us", "UTC")),
        }
    )
    write_deltalake(tmp_path / "lake" / "test" / "silver" / "transactions", rows)
    return tmp_path


def test_columns_are_listed_with_how_many_rows_and_what_they_are_like(project: Path) -> None:
    done = feldspar(project, "rescued", "list", "--json")

    assert [
        (one["table"], one["column"], one["rows"], one["least"], one["greatest"])
        for one in json.loads(done.stdout)["columns"]
    ] == [("transactions", "tip", 2, "11", "2.5"), ("transactions", "a b", 1, "x", "x")]


def test_the_next_command_is_said(project: Path) -> None:
    done = feldspar(project, "rescued", "list")

    assert "rescued promote TABLE COLUMN TYPE" in done.stdout + done.stderr


def test_tables_without_such_values_are_passed_over(tmp_path: Path) -> None:
    write_project(tmp_path, {"environments/local.yaml": ENVIRONMENT})

    done = feldspar(tmp_path, "rescued", "list", "--json")

    assert json.loads(done.stdout) == {"columns": []}


def test_a_column_that_is_declared_as_another_type_is_not_promoted(project: Path) -> None:
    done = feldspar(project, "rescued", "promote", "transactions", "amount", "string")

    said = "conf/tables/transactions.yaml declares amount as double, not string\n"
    hint = "  feldspar rescued promote transactions amount double\n"
    assert (done.returncode, done.stderr) == (2, said + hint)
    assert (project / "conf" / TABLE).read_text(encoding="utf-8") == FILES[TABLE]


def test_a_column_of_change_events_cannot_come_by_itself(tmp_path: Path) -> None:
    source = FILES["sources/payments.yaml"] + "envelope: debezium\n"
    table = FILES[TABLE] + "unknown_columns: evolve\n"
    write_project(tmp_path, {"sources/payments.yaml": source, TABLE: table})

    done = feldspar(tmp_path, "validate")

    assert done.stderr.startswith("conf/tables/transactions.yaml:12  a feed of change events")


def test_a_misspelt_column_is_not_declared(project: Path) -> None:
    done = feldspar(project, "rescued", "promote", "transactions", "tpi", "double")

    said = "no value of a column 'tpi' of transactions was rescued; nearest: tip\n"
    assert (done.returncode, done.stderr) == (2, f"{said}  feldspar rescued list\n")
    assert (project / "conf" / TABLE).read_text(encoding="utf-8") == FILES[TABLE]

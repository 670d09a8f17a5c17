"""``feldspar vacuum`` as a command, over a lake in a folder and a real Redis-protocol server."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake

from feldspar.times import utc_now
from support.console import feldspar
from support.small_project import write_project
from support.valkey import valkey

ENVIRONMENT = """\
namespace: test
storage: {{root: lake}}
redis: {{url: "{url}"}}
mlflow: {{tracking_uri: "sqlite:///mlflow.db"}}
"""
REFINED = "refine:transactions#0"


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    """Bronze whose three small files were merged ten days ago; silver has read all of it."""
    with valkey(tmp_path / "valkey") as server:
        folder = tmp_path / "project"
        write_project(folder, {"environments/local.yaml": ENVIRONMENT.format(url=server.url)})
        bronze = folder / "lake" / "test" / "bronze" / "payments"
        for number in range(3):
            append(bronze, number)
        DeltaTable(bronze).optimize.compact()
        append(folder / "lake" / "test" / "ops" / "ledger", 0, read=3)
        aged(bronze)
        yield folder


def append(path: Path, number: int, *, read: int | None = None) -> None:
    done = [] if read is None else [Transaction(REFINED, read)]
    write_deltalake(
        path,
        pa.table({"number": [number]}),
        mode="append",
        commit_properties=CommitProperties(app_transactions=done),
    )


def aged(path: Path) -> None:
    seconds = (utc_now() - timedelta(days=10)).timestamp()
    for file in path.rglob("*"):
        if file.is_file():
            os.utime(file, (seconds, seconds))


def files(project: Path) -> int:
    return len(list((project / "lake" / "test" / "bronze" / "payments").glob("*.parquet")))


def lag(project: Path) -> None:
    """Silver has read only the first of the three."""
    ledger = project / "lake" / "test" / "ops" / "ledger"
    for file in sorted(ledger.rglob("*"), reverse=True):
        file.rmdir() if file.is_dir() else file.unlink()
    append(ledger, 0, read=0)


def test_it_deletes_what_was_replaced_before_the_retention(project: Path) -> None:
    done = feldspar(project, "vacuum", "--json")

    (table,) = json.loads(done.stdout)["tables"]
    assert (table["table"], table["files"], files(project)) == ("bronze.payments", 3, 1)


def test_a_dry_run_only_says_so(project: Path) -> None:
    done = feldspar(project, "vacuum", "--dry-run")

    assert (done.returncode, files(project)) == (0, 4)
    assert "would be deleted; what was a version in the last 7d stays readable" in done.stdout


def test_a_longer_retention_keeps_it(project: Path) -> None:
    done = feldspar(project, "vacuum", "--retain", "11d")

    assert (done.returncode, files(project)) == (0, 4), done.stderr


def test_it_refuses_to_outrun_a_reader_and_deletes_nothing(project: Path) -> None:
    lag(project)

    done = feldspar(project, "vacuum")

    assert (done.returncode, files(project)) == (2, 4)
    assert "silver.transactions has read bronze.payments up to version 0 of 3" in done.stderr
    assert "feldspar refine, then vacuum again; or --retain 11d, which spares them" in done.stderr


def test_the_retention_that_it_names_is_taken(project: Path) -> None:
    lag(project)

    assert feldspar(project, "vacuum", "--retain", "11d").returncode == 0


@pytest.mark.parametrize(
    ("retain", "said"),
    [
        ("12h", "--retain 12h is too short: a write that is on its way may be as old"),
        ("soon", "'soon' is not a duration"),
    ],
)
def test_a_retention_that_cannot_be_is_wrong_use(retain: str, said: str, tmp_path: Path) -> None:
    done = feldspar(tmp_path, "vacuum", "--retain", retain)

    assert (done.returncode, done.stderr.splitlines()[0]) == (2, said)

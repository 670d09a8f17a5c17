"""``feldspar status``: what it shows of a lake, of a part of it, and of none; its exit codes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pytest
from deltalake import CommitProperties, Transaction, write_deltalake
from prometheus_client.parser import text_string_to_metric_families

from feldspar.names import cursor
from feldspar.spec.environment import load_environment
from feldspar.stores.tables import steps
from feldspar.stores.tables.lake import Lake
from feldspar.stores.tables.steps import StepRow
from support.console import feldspar
from support.places import new_project
from support.small_project import FILES, write_project

ENVIRONMENT = """\
namespace: test
clock: {clock}
storage: {{root: lake}}
redis: {{url: "redis://127.0.0.1:1/0"}}
mlflow: {{tracking_uri: "sqlite:///mlflow.db"}}
"""
AT = datetime(2018, 4, 1, tzinfo=UTC)
DAY = timedelta(days=1)
REFINED = StepRow(1, 0, "refine", "silver.transactions", AT, 2.5, 60, 58, 2, 0)


def write(folder: Path, files: Mapping[str, str] | None = None, *, clock: str = "data") -> Path:
    """The small project in a lake that is a folder, with a folder for its files."""
    write_project(
        folder, {"environments/local.yaml": ENVIRONMENT.format(clock=clock), **(files or {})}
    )
    (folder / "data" / "payments").mkdir(parents=True)
    return folder


def with_targets(table: str, view: str) -> dict[str, str]:
    return {
        name: FILES[name] + f"freshness: {target}\n"
        for name, target in (
            ("tables/transactions.yaml", table), ("views/last_payment.yaml", view)
        )
    }  # fmt: skip


def put(folder: Path, layer: str, name: str, *, app: str, newest: datetime = AT) -> None:
    """Sixty rows in one version, which took version 0 of its source."""
    rows = pa.table(
        {
            "customer_id": pa.array(range(60), pa.int64()),
            "_event_time": pa.array([newest] * 60, pa.timestamp("us", "UTC")),
        }
    )
    properties = CommitProperties(app_transactions=[Transaction(app, 0)])
    write_deltalake(folder / "lake/test" / layer / name, rows, commit_properties=properties)


def built(folder: Path) -> Path:
    """Everything but Redis is made; gold's last_payment is two days behind the clock."""
    put(folder, "bronze", "payments", app=cursor("ingest", "payments"))
    put(folder, "silver", "transactions", app=cursor("refine", "transactions"))
    put(folder, "gold", "customer_spend", app=cursor("features", "customer_spend"))
    old = AT - 2 * DAY
    put(folder, "gold", "last_payment", app=cursor("features", "last_payment"), newest=old)
    return folder


def enter(folder: Path, *rows: StepRow) -> None:
    environment = load_environment(folder / "conf", "local", {})
    for row in rows:
        steps.append(Lake.of(environment), [row])


def answer(folder: Path, *words: str) -> Any:
    return json.loads(feldspar(folder, "status", "--json", *words).stdout)


def table(folder: Path, name: str) -> Any:
    (found,) = (one for one in answer(folder)["tables"] if one["name"] == name)
    return found


class TestWithoutALake:
    def test_it_says_what_to_run_first(self, tmp_path: Path) -> None:
        done = feldspar(write(tmp_path), "status")

        assert (done.returncode, done.stderr) == (0, "")
        assert "namespace test, clock no events yet" in done.stdout
        assert "Redis at redis://127.0.0.1:1/0 does not answer" in done.stdout

    def test_files_that_wait_are_shown(self, tmp_path: Path) -> None:
        folder = write(tmp_path)
        (folder / "data/payments/a.csv").write_text("1\n", encoding="utf-8")

        done = feldspar(folder, "status")

        assert "behind   bronze.payments lacks 1 file (0.0 MB) of source payments" in done.stdout
        assert done.stdout.endswith("next: feldspar doctor; feldspar apply\n")

    def test_a_source_that_is_not_there_hides_nothing_else(self, tmp_path: Path) -> None:
        folder = built(write(tmp_path))
        (folder / "data/payments").rmdir()

        done = feldspar(folder, "status")

        assert "source payments: " in done.stdout
        assert "gold.customer_spend" in done.stdout


class TestFreshness:
    def test_age_is_by_the_environments_clock(self, tmp_path: Path) -> None:
        built(write(tmp_path, with_targets("1d", "1d")))

        assert [table(tmp_path, name)["freshness_seconds"] for name in
                ("silver.transactions", "gold.last_payment")] == [0, 2 * 86_400]  # fmt: skip

    def test_by_the_wall_clock_rows_of_2018_are_old(self, tmp_path: Path) -> None:
        built(write(tmp_path, with_targets("365d", "365d"), clock="wall"))

        assert table(tmp_path, "silver.transactions")["verdict"] == "late"

    EXITS: ClassVar = {("1d", "2d"): 0, ("1d", "1d"): 1}

    @pytest.mark.parametrize("targets", EXITS)
    def test_a_missed_target_fails_where_it_is_checked(
        self, targets: tuple[str, str], tmp_path: Path
    ) -> None:
        folder = built(write(tmp_path, with_targets(*targets)))

        # Redis is away here, which is not known to be well either
        late = [one for one in answer(folder)["findings"] if one["kind"] == "late"]

        assert len(late) == self.EXITS[targets]


class TestExitCodes:
    def test_without_check_the_look_alone_counts(self, tmp_path: Path) -> None:
        assert feldspar(built(write(tmp_path, with_targets("1d", "1h"))), "status").returncode == 0

    def test_with_check_a_missed_target_is_a_failure(self, tmp_path: Path) -> None:
        folder = built(write(tmp_path, with_targets("1d", "1h")))

        assert feldspar(folder, "status", "--check").returncode == 1

    def test_wrong_definitions_are_wrong_use(self, tmp_path: Path) -> None:
        folder = write(tmp_path, {"tables/transactions.yaml": "from: nowhere\n"})

        done = feldspar(folder, "status", "--check")

        assert (done.returncode, "conf/tables/transactions.yaml:" in done.stderr) == (2, True)

    def test_a_stack_that_is_down_is_shown_with_what_to_do(self, tmp_path: Path) -> None:
        new_project(tmp_path)
        write_project(tmp_path)

        done = feldspar(tmp_path, "status")

        shown = [line.split()[:2] for line in done.stdout.splitlines()]
        assert (done.returncode, shown) == (
            1,
            [["s3", "down"], ["redis", "down"], ["mlflow", "down"]],
        )
        assert done.stderr == (
            "conf/environments/local.yaml takes its addresses from the local stack, "
            "which is not running\n  make up\n"
        )


class TestLastRuns:
    def test_rows_seconds_and_outcome_are_shown(self, tmp_path: Path) -> None:
        folder = built(write(tmp_path))
        enter(folder, REFINED)

        assert table(folder, "silver.transactions")["last"] == {
            "run": 1, "round": 0, "verb": "refine", "step": "silver.transactions",
            "started_at": "2018-04-01T00:00:00+00:00", "seconds": 2.5, "rows_in": 60,
            "rows_out": 58, "refused": 2, "version": 0, "outcome": "done", "error": "",
        }  # fmt: skip

    def test_a_failure_that_a_later_run_mended_is_no_finding(self, tmp_path: Path) -> None:
        folder = built(write(tmp_path))
        failed = replace(REFINED, outcome="failed", error="no space left")
        enter(folder, failed, replace(REFINED, run=2, started_at=AT + DAY))

        assert "failed" not in [one["kind"] for one in answer(folder)["findings"]]


class TestPrometheus:
    def test_it_is_the_same_in_prometheus_text(self, tmp_path: Path) -> None:
        folder = built(write(tmp_path))
        enter(folder, REFINED)

        text = feldspar(folder, "status", "--prometheus").stdout

        rows = {
            sample.labels["table"]: sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == "feldspar_table_rows"
        }
        assert rows == {
            "bronze.payments": 60,
            "silver.transactions": 60,
            "gold.customer_spend": 60,
            "gold.last_payment": 60,
        }

"""The whole loop on real servers: source, bronze, silver, gold, Redis, model, score; and the
notebooks over what it made."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from redis import Redis

from feldspar.serving.app import create_app
from feldspar.serving.main import build_backend
from feldspar.stores.online import OnlineStore, Patience
from feldspar.stores.tables import arrow
from feldspar.stores.tables.lake import Lake
from feldspar.times import from_micros
from support.http import serving
from support.places import REPOSITORY
from support.whole_project import STAGES, Finished, WholeProject

pytestmark = pytest.mark.stack
UNSCORED = {
    *("bronze.scoring_results", "silver.scoring_results"),
    *("gold.last_scoring", "online last_scoring"),
    *("bronze.served_credit_scoring_service", "bronze.served_payment_fraud_service"),
}
"""What holds the answers that were given: tables of it appear when a test has asked for one."""
NOTEBOOKS = sorted((REPOSITORY / "notebooks").glob("*.py"))


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_runs_alone_by_spark_submit(stages: dict[str, Finished], stage: str) -> None:
    finished = stages[stage]
    assert finished.code == 0, f"{finished.out[-2000:]}\n{finished.err[-4000:]}"


def test_after_a_run_the_plan_has_nothing_to_do(small_lake: WholeProject) -> None:
    assert small_lake.answer("plan")["summary"] == "nothing to do"


def test_a_second_run_changes_nothing_and_says_so(small_lake: WholeProject) -> None:
    before = _state(small_lake)
    again = small_lake.console("apply")
    assert again.code == 0, again.err
    assert "nothing to do" in f"{again.out}{again.err}"
    assert "not due" in f"{again.out}{again.err}"
    assert _state(small_lake) == before


def _state(project: WholeProject) -> dict[str, Any]:
    """Versions of all tables, everything in the registry, the cursors of Redis."""
    tables = {one["table"]: one["version"] for one in project.answer("show", "tables")["tables"]}
    with OnlineStore.of(project.environment) as store:
        names = ("customer_spend", "terminal_risk", "customer_features")
        cursors = {name: store.definitions(name) for name in names}
    registry = project.answer("registry", "dump")
    return {"tables": tables, "registry": registry, "cursors": cursors}


def test_the_ledger_adds_up(small_lake: WholeProject) -> None:
    rows = arrow.read(Lake.of(small_lake.environment), "ops", "ledger").to_pylist()
    for row in rows:
        assert row["rows_in"] == row["valid"] + row["quarantined"] + row["duplicates"], row


def test_what_the_generator_broke_is_in_quarantine_with_reasons(small_lake: WholeProject) -> None:
    manifest = json.loads(
        (small_lake.folder / ".feldspar" / "generated" / "whole" / "manifest.json").read_text()
    )
    rows = arrow.read(Lake.of(small_lake.environment), "quarantine", "transactions").to_pylist()
    assert len(rows) == sum(manifest["malformed"]["payments"].values())
    assert all(row["_reasons"] and row["_raw"] for row in rows)


def test_status_shows_that_everything_is_up_to_date(small_lake: WholeProject) -> None:
    found = small_lake.answer("status")
    lines = {one["name"]: one for one in found["tables"]}
    assert {name for name, one in lines.items() if one["version"] is None} <= UNSCORED
    lines = {name: one for name, one in lines.items() if name not in UNSCORED}
    assert {server["condition"] for server in found["servers"]} == {"well"}
    assert [
        name for name, one in lines.items() if one["lag"] is None or one["lag"]["is_behind"]
    ] == []
    assert {one["last"]["outcome"] for one in lines.values()} == {"done"}
    assert {one["kind"] for one in found["findings"]} == {"refused"}
    assert {one["verb"] for one in found["steps"]} == set(STAGES)


def test_redis_that_lost_everything_is_rebuilt_and_equals_gold_three_days_later(
    small_lake: WholeProject,
) -> None:
    with OnlineStore.of(small_lake.environment, Patience.JOB) as store:
        clock = store.clock()
        assert clock is not None
        later = (from_micros(clock) + timedelta(days=3)).isoformat()
        Redis.from_url(small_lake.environment.redis.url).flushall()
        rebuilt = small_lake.job("online", "rebuild")
    assert rebuilt.code == 0, rebuilt.err
    verified = small_lake.job("online", "verify", "--at", later, "--json")
    assert verified.code == 0, f"{verified.out}\n{verified.err}"
    views = json.loads(verified.out.splitlines()[-1])["views"]
    assert sum(view["different"] for view in views) == 0
    assert sum(view["compared"] for view in views) > 1_000


def test_batch_scores_equal_what_the_service_answers(
    small_lake: WholeProject, tmp_path: Path
) -> None:
    with OnlineStore.of(small_lake.environment) as store:
        clock = store.clock()
    assert clock is not None
    customers = list(range(1, 21))
    spine = tmp_path / "customers.parquet"
    times = pa.array([clock] * len(customers), pa.timestamp("us", "UTC"))
    pq.write_table(pa.table({"customer_id": customers, "at": times}), spine)
    out = tmp_path / "scores.parquet"
    words = ("credit_scoring_service", "--spine", str(spine), "--out", str(out), "--time", "at")
    finished = small_lake.job("score", *words)
    assert finished.code == 0, finished.err
    expected = {row["customer_id"]: row["credit_score"] for row in pq.read_table(out).to_pylist()}
    with serving(create_app(build_backend(small_lake.environ))) as client:
        for customer in customers:
            at = from_micros(clock).isoformat()
            answer = client.post("/score", json={"customer_id": customer, "at": at})
            if answer.status_code == 200:
                assert answer.json()["credit_score"] == expected[customer], customer
    # the answers were logged: what other tests look at is a project that is up to date
    taken = small_lake.console("apply")
    assert taken.code == 0, taken.err


def test_a_training_set_keeps_every_row_and_column_of_its_spine(
    small_lake: WholeProject, tmp_path: Path
) -> None:
    payments = arrow.read(
        Lake.of(small_lake.environment),
        "silver",
        "transactions",
        columns=["transaction_id", "tx_datetime", "customer_id", "terminal_id"],
    ).slice(0, 500)
    spine = tmp_path / "spine.parquet"
    marked = payments.append_column("mark", pa.array(range(payments.num_rows)))
    pq.write_table(marked, spine)
    out = tmp_path / "set.parquet"
    words = ("payment_fraud_service", "--spine", str(spine), "--out", str(out))
    finished = small_lake.job("training_set", *words)
    assert finished.code == 0, finished.err
    rows = pq.read_table(out)
    assert sorted(rows["mark"].to_pylist()) == list(range(payments.num_rows))
    assert "customer_spend__avg_amount_7d" in rows.column_names


def test_the_published_table_is_printed_beside_ours(small_lake: WholeProject) -> None:
    finished = small_lake.job("handbook")
    # generated payments are not the published ones: the figures may differ, the table is there
    assert finished.code in (0, 1)
    assert "logistic regression" in f"{finished.out}{finished.err}"


def test_every_run_leaves_a_page_and_one_that_did_something_has_pictures(
    small_lake: WholeProject,
) -> None:
    runs = small_lake.folder / ".feldspar" / "runs"
    latest = (runs / "latest").read_text(encoding="utf-8").strip()
    pages = {page.parent.name: page.read_text(encoding="utf-8") for page in runs.glob("*/*.html")}
    assert len(pages) >= len(STAGES)
    assert latest == max(pages)
    assert any("data:image/svg+xml" in page for page in pages.values())


def test_the_notebooks_run_as_plain_python(small_lake: WholeProject) -> None:
    # one process for all of them: each opens its project, and with it a session, and closes it
    finished = small_lake.python(*NOTEBOOKS)
    assert finished.code == 0, f"{finished.out[-2000:]}\n{finished.err[-4000:]}"

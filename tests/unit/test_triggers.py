"""``trigger:`` of tables and views: what a round of a stream leaves for a later one."""

from __future__ import annotations

from pathlib import Path

import pytest

from feldspar.errors import DefinitionError
from feldspar.graph.compile import compile_graph
from feldspar.graph.graph import Graph
from feldspar.graph.observed import Observed, SourceState, TableState, WaitingFile
from feldspar.graph.plan import plan
from feldspar.graph.steps import Status
from feldspar.names import cursor
from feldspar.run.triggers import Triggers
from feldspar.spec.loading import load_definitions
from support.small_project import FILES, write_project

TABLE, VIEW = "tables/transactions.yaml", "views/customer_spend.yaml"


def graph(folder: Path, *, table: str = "", view: str = "") -> Graph:
    files = {TABLE: FILES[TABLE], VIEW: FILES[VIEW]}
    files[TABLE] += f"trigger: {table}\n" if table else ""
    files[VIEW] += f"trigger: {view}\n" if view else ""
    return compile_graph(load_definitions(write_project(folder, files), {}))


def behind(found: Graph) -> Observed:
    """Bronze has a version that silver has not read."""
    key = cursor("refine", "transactions")
    definition = found.table("transactions").definition
    return Observed(
        tables={
            ("bronze", "payments"): TableState(4),
            ("silver", "transactions"): TableState(3, definition, {key: 3}),
            ("ops", "ledger"): TableState(1, cursors={key: 3}),
        }
    )


def test_the_first_round_takes_all_and_the_next_ones_wait(tmp_path: Path) -> None:
    triggers = Triggers.of(graph(tmp_path, table="every 10m"))
    first = triggers.resting(100.0)
    triggers.note(["bronze.payments", "silver.transactions"], 100.0)

    assert (first, set(triggers.resting(699.0)), triggers.resting(700.0)) == (
        {},
        {"silver.transactions", "history.transactions"},
        {},
    )


def test_a_stream_takes_served_logs_every_five_minutes(tmp_path: Path) -> None:
    found = graph(tmp_path)
    triggers = Triggers.of(found)
    triggers.note(["bronze.served_fraud"], 100.0)
    waiting = {"served_fraud": SourceState((WaitingFile("a.parquet", 1, 1),))}
    observed = Observed(sources=waiting)
    [step] = [
        one
        for one in plan(found, observed, resting=triggers.resting(399.0)).steps
        if one.name == "bronze.served_fraud"
    ]

    assert (step.status, step.reason) == (Status.OFF, "trigger: every 5m, due in 1s")
    assert triggers.resting(400.0) == {}


def test_a_round_that_did_nothing_of_it_starts_no_wait(tmp_path: Path) -> None:
    triggers = Triggers.of(graph(tmp_path, view="every 10m"))
    triggers.note(["silver.transactions"], 100.0)

    assert triggers.resting(101.0) == {}


def test_what_waits_for_apply_is_never_due_in_a_stream(tmp_path: Path) -> None:
    triggers = Triggers.of(graph(tmp_path, view="apply"))

    assert triggers.resting(0.0) == dict.fromkeys(
        ("gold.customer_spend", "online customer_spend"), "trigger: apply; a stream leaves it alone"
    )


def test_a_step_that_rests_is_listed_with_the_reason_and_makes_nothing_dirty(
    tmp_path: Path,
) -> None:
    found = graph(tmp_path, table="every 1h")
    resting = {"silver.transactions": "due in an hour"}

    steps = {one.name: one for one in plan(found, behind(found), resting=resting).steps}

    silver = steps["silver.transactions"]
    assert (silver.status, silver.reason) == (Status.OFF, "due in an hour")
    assert plan(found, behind(found)).of("refine").to_run
    assert "gets new rows" not in steps["gold.last_payment"].reason


def test_a_trigger_is_no_part_of_what_a_table_is_made_from(tmp_path: Path) -> None:
    plain, timed = graph(tmp_path / "a"), graph(tmp_path / "b", table="every 1h", view="apply")

    assert plain.table("transactions").definition == timed.table("transactions").definition
    assert plain.view("customer_spend").definition == timed.view("customer_spend").definition


@pytest.mark.parametrize("text", ["hourly", "every", "every day", "10m"])
def test_another_word_is_told_with_what_may_be_written(tmp_path: Path, text: str) -> None:
    with pytest.raises(DefinitionError) as told:
        graph(tmp_path, table=text)

    assert str(told.value).startswith("conf/tables/transactions.yaml:12  trigger: ")

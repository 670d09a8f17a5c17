"""What is made of figures: ages and their targets, lag, what somebody should look at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from feldspar.graph.compile import compile_graph
from feldspar.graph.graph import Graph
from feldspar.graph.observed import Observed, PushState, SourceState, TableId, WaitingFile
from feldspar.graph.unread import Unread
from feldspar.monitor.findings import Finding, findings
from feldspar.monitor.standing import Freshness, Line, freshness, standing
from feldspar.spec.loading import load_definitions
from feldspar.stores.measured import Behind, Measured, Refusals
from feldspar.stores.tables.steps import Outcome, StepRow
from feldspar.stores.tables.summary import TableSummary
from support.small_project import FILES, write_project

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
TARGETS = {
    "tables/transactions.yaml": FILES["tables/transactions.yaml"] + "freshness: 1h\n",
    "views/last_payment.yaml": FILES["views/last_payment.yaml"] + "freshness: 2h\n",
}
GOLD = Unread("gold.last_payment", "silver", "transactions", after=1, upto=3)


@pytest.fixture
def graph(tmp_path: Path) -> Graph:
    return compile_graph(load_definitions(write_project(tmp_path, TARGETS), {}))


def summary(layer: str, name: str, *, age: timedelta) -> TableSummary:
    return TableSummary(layer, name, 3, 100, 2_000, 4, NOW - age, NOW, ())


@pytest.fixture
def measured() -> Measured:
    """Everything is built and fresh, and nothing waits."""
    named = (("bronze", "payments"), ("silver", "transactions"), ("gold", "customer_spend"))
    tables: Mapping[TableId, TableSummary] = {
        one: summary(*one, age=30 * MINUTE) for one in (*named, ("gold", "last_payment"))
    }
    views = ("customer_spend", "last_payment")
    return Measured(
        at=NOW,
        clock=NOW,
        observed=Observed(pushed={view: PushState(3, "") for view in views}),
        tables=tables,
        online=dict.fromkeys(views, NOW - 30 * MINUTE),
    )


def found(graph: Graph, measured: Measured) -> tuple[Finding, ...]:
    return findings(standing(graph, measured, namespace="tests"))


def kinds(graph: Graph, measured: Measured) -> list[tuple[str, str]]:
    return [(one.kind, one.name) for one in found(graph, measured)]


def lines(graph: Graph, measured: Measured) -> dict[str, Line]:
    return {one.name: one for one in standing(graph, measured, namespace="tests").lines}


def step(name: str, outcome: Outcome, *, error: str = "") -> StepRow:
    return StepRow(1, 2, "refine", name, NOW - HOUR, 4.5, outcome=outcome, error=error)


def with_newest(measured: Measured, layer: str, name: str, *, age: timedelta) -> Measured:
    changed = {(layer, name): summary(layer, name, age=age)}
    return replace(measured, tables={**(measured.tables or {}), **changed})


class TestFreshness:
    @pytest.mark.parametrize(
        ("age", "verdict"),
        [(HOUR, "ok"), (HOUR + timedelta(microseconds=1), "late"), (timedelta(0), "ok")],
    )
    def test_an_age_of_the_target_itself_is_fresh(self, age: timedelta, verdict: str) -> None:
        assert freshness(NOW - age, NOW, target=HOUR).verdict == verdict

    def test_an_event_of_the_future_is_not_old(self) -> None:
        assert freshness(NOW + HOUR, NOW, target=HOUR) == Freshness(NOW + HOUR, timedelta(0), HOUR)

    @pytest.mark.parametrize(("newest", "clock"), [(None, NOW), (NOW, None), (None, None)])
    def test_what_is_not_known_misses_its_target(
        self, newest: datetime | None, clock: datetime | None
    ) -> None:
        assert freshness(newest, clock, target=HOUR).verdict == "late"

    def test_without_a_target_there_is_no_verdict(self) -> None:
        assert freshness(NOW - HOUR, NOW, target=None).verdict is None


class TestLines:
    def test_each_table_and_view_has_one_in_the_order_of_a_run(
        self, graph: Graph, measured: Measured
    ) -> None:
        assert list(lines(graph, measured)) == [
            "bronze.payments",
            "bronze.served_fraud",
            "silver.transactions",
            "gold.customer_spend",
            "gold.last_payment",
            "online customer_spend",
            "online last_payment",
        ]

    def test_targets_are_those_of_conf(self, graph: Graph, measured: Measured) -> None:
        targets = {name: one.freshness.target for name, one in lines(graph, measured).items()}

        assert {name: one for name, one in targets.items() if one is not None} == {
            "silver.transactions": HOUR,
            "gold.last_payment": 2 * HOUR,
            "online last_payment": 2 * HOUR,
        }

    def test_nothing_is_said_of_what_nothing_is_known_of(self, graph: Graph) -> None:
        away = Measured(NOW, troubles=("nothing answers at http://127.0.0.1:1",))

        assert (lines(graph, away), kinds(graph, away)) == ({}, [("unknown", "")])

    def test_steps_that_conf_no_longer_has_are_left_out(
        self, graph: Graph, measured: Measured
    ) -> None:
        gone = {"gold.removed": step("gold.removed", "failed")}

        assert standing(graph, replace(measured, steps=gone), namespace="tests").steps == ()


class TestFindings:
    def test_there_are_none_when_all_is_well(self, graph: Graph, measured: Measured) -> None:
        assert found(graph, measured) == ()

    def test_before_the_first_run_the_next_command_is_said(self, graph: Graph) -> None:
        nothing = Measured(NOW, tables={}, online={})
        told = {(one.text, one.next) for one in found(graph, nothing) if one.kind == "behind"}

        assert told == {("no table is there yet", "feldspar apply")}

    def test_a_missed_target_is_told_with_both_ages(self, graph: Graph, measured: Measured) -> None:
        old = with_newest(measured, "silver", "transactions", age=26 * HOUR + 5 * MINUTE)
        text = "silver.transactions: the age of its newest event is 1d 2h, at most 1h is wanted"

        assert found(graph, old) == (
            Finding("late", "silver.transactions", text, "feldspar show sources"),
        )

    def test_what_is_late_because_it_is_behind_wants_a_run(
        self, graph: Graph, measured: Measured
    ) -> None:
        old = with_newest(measured, "gold", "last_payment", age=3 * HOUR)
        behind = replace(old, behind={"gold.last_payment": Behind(GOLD, 7)})

        assert [(one.kind, one.next) for one in found(graph, behind)] == [
            ("late", "feldspar apply"),
            ("behind", "feldspar apply"),
        ]

    @pytest.mark.parametrize(
        ("rows", "text"),
        [
            (7, "gold.last_payment is 7 rows behind silver.transactions (2 versions)"),
            (None, "gold.last_payment is 2 versions behind silver.transactions"),
        ],
    )
    def test_lag_is_told_in_rows_where_they_are_counted(
        self, rows: int | None, text: str, graph: Graph, measured: Measured
    ) -> None:
        behind = replace(measured, behind={"gold.last_payment": Behind(GOLD, rows)})

        assert [one.text for one in found(graph, behind)] == [text]

    def test_versions_without_rows_are_no_lag(self, graph: Graph, measured: Measured) -> None:
        assert kinds(graph, replace(measured, behind={"gold.last_payment": Behind(GOLD, 0)})) == []

    def test_files_that_wait_are_counted(self, graph: Graph, measured: Measured) -> None:
        waiting = SourceState((WaitingFile("a.csv", 1_500_000, 0),))
        observed = replace(measured.observed, sources={"payments": waiting})

        assert [one.text for one in found(graph, replace(measured, observed=observed))] == [
            "bronze.payments lacks 1 file (1.5 MB) of source payments"
        ]

    @pytest.mark.parametrize(("outcome", "what"), [("failed", "failed"), ("stuck", "was stuck")])
    def test_a_step_that_went_wrong_is_told_with_its_error(
        self, outcome: Outcome, what: str, graph: Graph, measured: Measured
    ) -> None:
        name = "silver.transactions"
        wrong = replace(measured, steps={name: step(name, outcome, error="no space left")})

        assert [(one.text, one.alarms) for one in found(graph, wrong)] == [
            (f"silver.transactions {what} 1h ago: no space left", True)
        ]

    @pytest.mark.parametrize("outcome", ["done", "nothing"])
    def test_a_step_that_went_well_is_not_told(
        self, outcome: Outcome, graph: Graph, measured: Measured
    ) -> None:
        name = "silver.transactions"

        assert kinds(graph, replace(measured, steps={name: step(name, outcome)})) == []

    @pytest.mark.parametrize(
        ("refused", "told"),
        [
            (Refusals(100, 9), []),
            (
                Refusals(100, 9, 50, 2),
                ["silver.transactions: 2 of 50 rows of the last day went to quarantine"],
            ),
        ],
    )
    def test_rows_refused_of_late_are_told_and_no_alarm(
        self, refused: Refusals, told: list[str], graph: Graph, measured: Measured
    ) -> None:
        given = found(graph, replace(measured, refusals={"transactions": refused}))

        assert ([one.text for one in given], any(one.alarms for one in given)) == (told, False)

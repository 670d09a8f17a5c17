"""What a run would do in the rarer states: stops, rebuilds, sources made anew, quality, training.

The common ones are in ``test_plan.py``, whose project and deployed state are those here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from feldspar.graph.compile import compile_graph
from feldspar.graph.graph import Graph
from feldspar.graph.observed import ModelState, Observed, SourceState, TableState, WaitingFile
from feldspar.graph.plan import plan
from feldspar.graph.steps import (
    FeaturesStep,
    HistoryStep,
    IngestStep,
    Mode,
    Plan,
    RefineStep,
    Status,
    Step,
    TrainStep,
)
from feldspar.names import GOLD_LAYOUT, cursor, fingerprint
from feldspar.spec.loading import load_definitions
from support.small_project import FILES, write_project

DAY = 86_400_000_000
CUT = 1_000 * DAY
TABLE, SPEND, SOURCE = (
    "tables/transactions.yaml",
    "views/customer_spend.yaml",
    "sources/payments.yaml",
)
NEW = (WaitingFile("data/payments/b.csv", 2_500_000, 0),)
REFINE, INGEST = cursor("refine", "transactions"), cursor("ingest", "payments")
Tables = Mapping[tuple[str, str], TableState]


def graph_of(folder: Path, files: Mapping[str, str] | None = None) -> Graph:
    return compile_graph(load_definitions(write_project(folder, dict(files or {})), {}))


@pytest.fixture
def graph(tmp_path: Path) -> Graph:
    return graph_of(tmp_path)


def tables_of(graph: Graph) -> dict[tuple[str, str], TableState]:
    """Bronze, silver, gold and the books, all equal to each other."""
    done, loaded = {REFINE: 4}, {INGEST: 0}
    table = graph.table("transactions")
    held = {cursor("quality", "silver.transactions"): 2}
    tables = {
        ("bronze", "payments"): TableState(4, cursors=loaded),
        ("ops", "files"): TableState(1, cursors=loaded),
        ("ops", "ledger"): TableState(1, cursors=done),
        ("quarantine", "transactions"): TableState(1, cursors=done),
        ("silver", "transactions"): TableState(2, table.definition, cursors=done),
    }
    for name, view in graph.views.items():
        built = {cursor("features", name): 2}
        tables["gold", name] = TableState(3, view.definition, cursors=built, layout=GOLD_LAYOUT)
        held[cursor("quality", f"gold.{name}")] = 3
    tables["ops", "validations"] = TableState(1, cursors=held)
    return tables


def observed(tables: Tables, **other: Any) -> Observed:
    told: dict[str, Any] = {"sources": {"payments": SourceState(known=1)}, "clock": CUT}
    return Observed(tables=tables, **(told | other))


def changed(tables: Tables, layer: str, name: str, **changes: Any) -> Tables:
    return {**tables, (layer, name): replace(tables[layer, name], **changes)}


def without(tables: Tables, *names: tuple[str, str]) -> Tables:
    return {key: state for key, state in tables.items() if key not in names}


def one(found: Plan, name: str) -> Step:
    return next(step for step in found.steps if step.name == name)


class TestIngest:
    def test_new_files_are_counted_in_the_reason(self, graph: Graph) -> None:
        sources = {"payments": SourceState(NEW, known=1)}

        found = plan(graph, observed(tables_of(graph), sources=sources))

        assert one(found, "bronze.payments").reason == "1 new files, 2.5 MB"

    def test_a_load_that_brought_nothing_still_counts(self, graph: Graph) -> None:
        tables = changed(tables_of(graph), "ops", "files", cursors={INGEST: 3})
        sources = {"payments": SourceState(NEW, known=1)}

        step = one(plan(graph, observed(tables, sources=sources)), "bronze.payments")

        assert isinstance(step, IngestStep)
        assert (step.batch, step.resume) == (4, False)

    def test_files_beside_those_of_a_stopped_load_are_the_load_after_it(self, graph: Graph) -> None:
        tables = changed(tables_of(graph), "bronze", "payments", cursors={INGEST: 1})
        sources = {"payments": SourceState(NEW, known=1)}

        found = plan(graph, observed(tables, sources=sources)).of("ingest").to_run

        assert [(s.batch, s.resume) for s in found if isinstance(s, IngestStep)] == [
            (1, True),
            (2, False),
        ]

    def test_a_stopped_load_and_no_other_file_is_completed_alone(self, graph: Graph) -> None:
        tables = changed(tables_of(graph), "bronze", "payments", cursors={INGEST: 1})

        found = plan(graph, observed(tables)).of("ingest").to_run

        assert [step.reason for step in found] == ["load 1 was interrupted: complete its file list"]


class TestHistory:
    FILE = FILES[TABLE] + "history: {kind: scd2}\n"

    @pytest.fixture
    def graph(self, tmp_path: Path) -> Graph:
        return graph_of(tmp_path, {TABLE: self.FILE})

    @pytest.fixture
    def tables(self, graph: Graph) -> Tables:
        """History equals version 2 of silver."""
        history = graph.table("transactions").history
        assert history is not None
        done = {cursor("history", "transactions"): 2}
        state = TableState(5, history.definition, cursors=done)
        return {**tables_of(graph), ("history", "transactions"): state}

    def step(self, graph: Graph, tables: Tables, *, accept: bool = False) -> HistoryStep:
        found = one(plan(graph, observed(tables), accept=accept), "history.transactions")
        assert isinstance(found, HistoryStep)
        return found

    def test_there_is_no_step_for_a_table_without_one(self, tmp_path: Path) -> None:
        graph = graph_of(tmp_path / "without")

        assert plan(graph, observed(tables_of(graph))).of("history").steps == ()

    def test_one_that_equals_silver_has_nothing_to_do(self, graph: Graph, tables: Tables) -> None:
        found = self.step(graph, tables)

        assert (found.status, found.reason) == (
            Status.NOTHING,
            "equals version 2 of silver.transactions",
        )

    def test_one_that_is_behind_goes_on_from_where_it_was(
        self, graph: Graph, tables: Tables
    ) -> None:
        found = self.step(graph, changed(tables, "silver", "transactions", version=7))

        assert (found.runs, found.after, found.mode) == (True, 2, Mode.APPEND)

    def test_one_that_is_missing_is_built_from_all_of_silver(
        self, graph: Graph, tables: Tables
    ) -> None:
        found = self.step(graph, without(tables, ("history", "transactions")))

        assert (found.runs, found.after) == (True, None)

    def test_another_kind_waits_for_accept_and_silver_does_not(
        self, tables: Tables, tmp_path: Path
    ) -> None:
        other = graph_of(tmp_path, {TABLE: self.FILE.replace("scd2", "scd1")})

        found = plan(other, observed(tables))

        assert [step.name for step in found.blocked] == ["history.transactions"]

    def test_an_accepted_one_is_rebuilt_under_a_new_generation(
        self, tables: Tables, tmp_path: Path
    ) -> None:
        other = graph_of(tmp_path, {TABLE: self.FILE.replace("scd2", "scd1")})

        found = self.step(other, tables, accept=True)

        assert (found.mode, found.after, found.generation) == (Mode.REBUILD, None, 1)

    def test_it_is_rebuilt_with_its_silver_table(self, graph: Graph, tables: Tables) -> None:
        rebuilt = changed(tables, "silver", "transactions", generation=1)

        found = self.step(graph, rebuilt)

        assert (found.mode, found.source_generation) == (Mode.REBUILD, 1)


class TestRefine:
    def test_nothing_to_refine_is_off_and_not_nothing_to_do(self, graph: Graph) -> None:
        step = one(plan(graph, observed({})), "silver.transactions")

        assert (step.status, step.reason) == (Status.OFF, "source payments has brought nothing")

    def test_a_batch_whose_ledger_row_is_missing_is_the_first_one_too(self, graph: Graph) -> None:
        tables = without(tables_of(graph), ("ops", "ledger"))

        found = plan(graph, observed(tables)).of("refine").to_run

        assert [(s.after, s.upto) for s in found if isinstance(s, RefineStep)] == [(None, 4)]

    def test_a_finished_batch_says_so(self, graph: Graph) -> None:
        step = one(plan(graph, observed(tables_of(graph))), "silver.transactions")

        assert step.reason == "up to version 4 of its source"

    def test_a_new_check_is_recorded_without_a_rebuild(self, tmp_path: Path) -> None:
        tables = tables_of(graph_of(tmp_path / "before"))
        strict = FILES[TABLE].replace("[0, 1000]", "[0, 5]")

        step = one(
            plan(graph_of(tmp_path / "after", {TABLE: strict}), observed(tables)),
            "silver.transactions",
        )

        assert isinstance(step, RefineStep)
        assert (step.status, step.mode, step.after) == (Status.RUN, Mode.APPEND, 4)

    def test_an_accepted_change_reads_everything_in_a_new_generation(self, tmp_path: Path) -> None:
        tables = tables_of(graph_of(tmp_path / "before"))
        text = FILES[TABLE].replace("terminal_id: bigint", "terminal_id: string")
        after = graph_of(tmp_path / "after", {TABLE: text})

        step = one(plan(after, observed(tables), accept=True), "silver.transactions")

        assert isinstance(step, RefineStep)
        assert (step.mode, step.after, step.generation) == (Mode.REBUILD, None, 1)

    def test_a_rebuild_that_stopped_goes_on_in_its_generation(self, graph: Graph) -> None:
        tables = changed(tables_of(graph), "silver", "transactions", generation=1, cursors={})

        step = one(plan(graph, observed(tables)), "silver.transactions")

        assert isinstance(step, RefineStep)
        assert (step.mode, step.after, step.generation) == (Mode.APPEND, None, 1)

    def test_a_source_that_was_made_anew_waits(self, graph: Graph) -> None:
        tables = changed(tables_of(graph), "bronze", "payments", version=1)

        step = one(plan(graph, observed(tables)), "silver.transactions")

        assert (step.status, step.reason) == (
            Status.BLOCKED,
            "payments was made anew: version 1, read up to 4: say --accept to rebuild",
        )

    def test_a_source_that_was_made_anew_is_read_from_its_start(self, graph: Graph) -> None:
        tables = changed(tables_of(graph), "bronze", "payments", version=1)

        step = one(plan(graph, observed(tables), accept=True), "silver.transactions")

        assert isinstance(step, RefineStep)
        assert (step.mode, step.after) == (Mode.REBUILD, None)


DELTA = {
    SOURCE: "kind: delta\npath: theirs\nevent_time: tx_datetime\nknown_time: ingested\nzone: UTC\n"
}


class TestDeltaSource:
    def test_it_has_no_bronze(self, tmp_path: Path) -> None:
        found = plan(graph_of(tmp_path, DELTA), observed({}))

        assert [step.name for step in found.of("ingest").steps] == ["bronze.served_fraud"]

    def test_its_version_is_what_silver_follows(self, tmp_path: Path) -> None:
        graph = graph_of(tmp_path, DELTA)
        sources = {"payments": SourceState(version=5)}

        step = one(plan(graph, observed(tables_of(graph), sources=sources)), "silver.transactions")

        assert step.reason == "behind its source: version 4 of 5"


class TestFeatures:
    def test_gold_of_a_silver_that_was_rebuilt_before_is_rebuilt(self, graph: Graph) -> None:
        tables = changed(
            tables_of(graph),
            "silver",
            "transactions",
            generation=1,
            cursors={cursor("refine", "transactions", 1): 4},
        )

        step = one(plan(graph, observed(tables)), "gold.customer_spend")

        assert isinstance(step, FeaturesStep)
        assert (step.mode, step.source_generation) == (Mode.REBUILD, 1)

    def test_gold_of_an_older_layout_is_rebuilt(self, graph: Graph) -> None:
        tables = changed(tables_of(graph), "gold", "customer_spend", layout=None)

        step = one(plan(graph, observed(tables)), "gold.customer_spend")

        assert isinstance(step, FeaturesStep)
        assert (step.mode, step.reason) == (
            Mode.REBUILD,
            "rebuilt: its files have an older layout",
        )

    def test_a_rebuild_that_stopped_goes_on_from_the_start(self, graph: Graph) -> None:
        tables = changed(tables_of(graph), "gold", "customer_spend", generation=1, cursors={})

        step = one(plan(graph, observed(tables)), "gold.customer_spend")

        assert isinstance(step, FeaturesStep)
        assert (step.mode, step.after, step.generation) == (Mode.APPEND, None, 1)

    def test_more_windows_fill_no_column(self, tmp_path: Path) -> None:
        tables = tables_of(graph_of(tmp_path / "before"))
        longer = FILES[SPEND].replace("[1d, 7d]", "[1d, 7d, 30d]")

        step = one(
            plan(graph_of(tmp_path / "after", {SPEND: longer}), observed(tables)),
            "gold.customer_spend",
        )

        assert isinstance(step, FeaturesStep)
        assert (step.mode, step.columns) == (Mode.BACKFILL, ())

    def test_without_silver_there_is_nothing_to_build(self, graph: Graph) -> None:
        assert one(plan(graph, observed({})), "gold.customer_spend").status is Status.OFF


class TestQuality:
    def test_a_changed_table_is_held_against_its_expectations_again(self, graph: Graph) -> None:
        tables = changed(tables_of(graph), "gold", "customer_spend", version=4)

        found = plan(graph, observed(tables)).of("quality").to_run

        assert [step.reason for step in found] == ["changed since version 3"]

    def test_a_table_that_was_never_checked_is(self, graph: Graph) -> None:
        tables = without(tables_of(graph), ("ops", "validations"))

        found = plan(graph, observed(tables)).of("quality").to_run

        assert {step.reason for step in found} == {"never held against its expectations"}


class TestTraining:
    def trained(self, graph: Graph, **changes: Any) -> dict[str, ModelState]:
        definition = fingerprint(graph.model("fraud").definition)
        return {"fraud": replace(ModelState(CUT, definition, "1"), **changes)}

    def test_a_changed_definition_trains_again(self, graph: Graph) -> None:
        models = self.trained(graph, definition="another")

        step = one(plan(graph, observed(tables_of(graph), models=models)), "model fraud")

        assert (step.status, step.reason) == (Status.RUN, "its definition changed")

    def test_without_gold_it_is_off(self, graph: Graph) -> None:
        tables = without(tables_of(graph), ("silver", "transactions"), ("bronze", "payments"))

        assert one(plan(graph, observed(tables)), "model fraud").status is Status.OFF

    def test_without_a_clock_it_is_not_due(self, graph: Graph) -> None:
        told = observed(tables_of(graph), models=self.trained(graph), clock=None)

        assert one(plan(graph, told), "model fraud").status is Status.NOTHING

    def test_new_rows_carry_the_time_from_which_it_is_due(self, graph: Graph) -> None:
        sources = {"payments": SourceState(NEW, known=1)}
        told = observed(tables_of(graph), models=self.trained(graph), sources=sources)

        step = one(plan(graph, told), "model fraud")

        assert isinstance(step, TrainStep)
        assert step.due_from == CUT + 7 * DAY


MADE = {
    "sources/example.yaml": "kind: generator\nhook: payments.generator:generate\n"
    "folder: data\noptions: {seed: 7}\nunless: mine.csv\n"
}


class TestGeneratorOff:
    def test_input_that_was_given_is_named(self, tmp_path: Path) -> None:
        found = plan(graph_of(tmp_path, MADE), observed({}))

        assert one(found, "files of example").reason == "input is given: mine.csv"

    def test_a_source_outside_its_folder_goes_on(self, tmp_path: Path) -> None:
        elsewhere = FILES[SOURCE].replace("data/payments", "mine.csv")
        graph = graph_of(tmp_path, {**MADE, SOURCE: elsewhere})
        sources = {"payments": SourceState(NEW)}

        step = one(plan(graph, observed({}, sources=sources)), "bronze.payments")

        assert step.status is Status.RUN

    def test_what_its_files_brought_before_stays(self, tmp_path: Path) -> None:
        graph = graph_of(tmp_path, MADE)

        found = plan(graph, observed(tables_of(graph)))

        assert [step.name for step in found.of("refine").to_run + found.of("features").to_run] == []

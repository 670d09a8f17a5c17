"""What a run would do, for every state that the outside can be in: pure, without any store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from feldspar.graph.compile import compile_graph
from feldspar.graph.graph import Graph
from feldspar.graph.observed import (
    ModelState,
    Observed,
    PushState,
    SourceState,
    TableState,
    WaitingFile,
)
from feldspar.graph.plan import plan
from feldspar.graph.steps import (
    FeaturesStep,
    IngestStep,
    Mode,
    OnlineStep,
    Plan,
    RefineStep,
    Status,
    Step,
)
from feldspar.names import GOLD_LAYOUT, cursor, fingerprint, value_fingerprint
from feldspar.spec.loading import load_definitions
from support.small_project import FILES, write_project

DAY = 86_400_000_000
CUT = 1_000 * DAY
FILE = WaitingFile("data/payments/b.csv", 1_000_000, 0)
TABLE, SPEND = "tables/transactions.yaml", "views/customer_spend.yaml"


def graph_of(folder: Path, files: Mapping[str, str] | None = None) -> Graph:
    return compile_graph(load_definitions(write_project(folder, dict(files or {})), {}))


@pytest.fixture
def graph(tmp_path: Path) -> Graph:
    return graph_of(tmp_path)


def deployed(graph: Graph) -> Observed:
    """Everything is built, pushed, checked and trained, and nothing waits."""
    refined = {cursor("refine", "transactions"): 4}
    tables: dict[tuple[str, str], TableState] = {
        ("bronze", "payments"): TableState(4, cursors={cursor("ingest", "payments"): 0}),
        ("ops", "files"): TableState(1, cursors={cursor("ingest", "payments"): 0}),
        ("ops", "ledger"): TableState(1, cursors=refined),
        ("quarantine", "transactions"): TableState(1, cursors=refined),
        ("silver", "transactions"): TableState(
            2, graph.tables["transactions"].definition, cursors=refined
        ),
    }
    held = {cursor("quality", "silver.transactions"): 2}
    for name, view in graph.views.items():
        built = {cursor("features", name): 2}
        tables["gold", name] = TableState(3, view.definition, cursors=built, layout=GOLD_LAYOUT)
        held[cursor("quality", f"gold.{name}")] = 3
    tables["ops", "validations"] = TableState(1, cursors=held)
    models = {
        name: ModelState(CUT, fingerprint(model.definition), "1")
        for name, model in graph.models.items()
    }
    pushed = {
        name: PushState(3, value_fingerprint(view.definition)) for name, view in graph.views.items()
    }
    return Observed(
        tables=tables,
        sources={"payments": SourceState(known=1)},
        pushed=pushed,
        models=models,
        clock=CUT + DAY,
    )


def with_table(observed: Observed, layer: str, name: str, **changes: Any) -> Observed:
    state = replace(observed.tables[layer, name], **changes)
    return replace(observed, tables={**observed.tables, (layer, name): state})


def running(found: Plan) -> list[str]:
    return [step.name for step in found.to_run]


def step(found: Plan, name: str) -> Step:
    return next(one for one in found.steps if one.name == name)


def test_with_nothing_deployed_and_files_waiting_everything_runs(graph: Graph) -> None:
    observed = Observed(sources={"payments": SourceState(waiting=(FILE,))})

    assert running(plan(graph, observed)) == [
        "bronze.payments",
        "silver.transactions",
        "gold.customer_spend",
        "gold.last_payment",
        "expectations of silver.transactions",
        "expectations of gold.customer_spend",
        "expectations of gold.last_payment",
        "online customer_spend",
        "online last_payment",
        "model fraud",
    ]


def test_without_files_nothing_can_run(graph: Graph) -> None:
    found = plan(graph, Observed())

    assert {one.status for one in found.steps} == {Status.NOTHING, Status.OFF}


def test_with_everything_deployed_there_is_nothing_to_do(graph: Graph) -> None:
    assert running(plan(graph, deployed(graph))) == []


def test_how_fresh_rows_are_to_be_changes_nothing_that_is_stored(
    graph: Graph, tmp_path: Path
) -> None:
    targets = {name: f"{FILES[name]}freshness: 1h\n" for name in (TABLE, SPEND)}

    assert running(plan(graph_of(tmp_path / "wanted", targets), deployed(graph))) == []


def test_steps_that_do_not_run_are_listed_with_their_reason(graph: Graph) -> None:
    found = plan(graph, deployed(graph))

    assert step(found, "bronze.payments").reason == "no new files (1 known)"


def test_a_plan_is_a_function_of_what_is_observed(graph: Graph) -> None:
    assert plan(graph, deployed(graph)) == plan(graph, deployed(graph))


def test_a_new_file_goes_through_every_table_to_redis(graph: Graph) -> None:
    observed = replace(deployed(graph), sources={"payments": SourceState((FILE,), known=1)})

    found = plan(graph, observed)

    assert [one.verb for one in found.to_run] == [
        "ingest", "refine", "features", "features", "quality", "quality", "quality", "online",
        "online", "train",
    ]  # fmt: skip


def test_a_new_file_is_the_next_load(graph: Graph) -> None:
    observed = replace(deployed(graph), sources={"payments": SourceState((FILE,), known=1)})

    ingest = step(plan(graph, observed), "bronze.payments")

    assert isinstance(ingest, IngestStep)
    assert (ingest.files, ingest.batch, ingest.resume) == ((FILE,), 1, False)


def test_a_load_whose_file_list_is_missing_is_completed_and_not_loaded_again(graph: Graph) -> None:
    observed = with_table(
        deployed(graph), "bronze", "payments", cursors={cursor("ingest", "payments"): 1}
    )

    ingest = step(plan(graph, observed), "bronze.payments")

    assert isinstance(ingest, IngestStep)
    assert (ingest.files, ingest.batch, ingest.resume) == ((), 1, True)


def test_silver_that_is_behind_reads_on_from_where_the_ledger_is(graph: Graph) -> None:
    observed = with_table(deployed(graph), "bronze", "payments", version=6)

    refine = step(plan(graph, observed), "silver.transactions")

    assert isinstance(refine, RefineStep)
    assert (refine.status, refine.after, refine.upto) == (Status.RUN, 4, None)


@pytest.mark.parametrize("began", ["quarantine", "silver"])
def test_an_interrupted_batch_is_finished_with_the_same_bounds(graph: Graph, began: str) -> None:
    ahead = {cursor("refine", "transactions"): 6}
    observed = with_table(deployed(graph), began, "transactions", cursors=ahead)
    observed = with_table(observed, "bronze", "payments", version=9)

    found = [one for one in plan(graph, observed).steps if isinstance(one, RefineStep)]

    assert [(one.after, one.upto) for one in found] == [(4, 6), (6, None)]


def test_gold_that_is_behind_reads_on_from_its_cursor(graph: Graph) -> None:
    observed = with_table(deployed(graph), "silver", "transactions", version=5)

    features = step(plan(graph, observed), "gold.customer_spend")

    assert isinstance(features, FeaturesStep)
    assert (features.status, features.after, features.mode) == (Status.RUN, 2, Mode.APPEND)


def test_an_emptied_redis_gets_every_entity(graph: Graph) -> None:
    found = plan(graph, replace(deployed(graph), pushed={}))

    assert running(found) == ["online customer_spend", "online last_payment"]


def test_a_redis_that_may_have_lost_values_gets_every_entity_and_the_plan_says_why(
    graph: Graph,
) -> None:
    observed = deployed(graph)
    lost = replace(observed.pushed["customer_spend"], lost="Redis failed over")

    found = plan(graph, replace(observed, pushed={**observed.pushed, "customer_spend": lost}))

    online = step(found, "online customer_spend")
    assert isinstance(online, OnlineStep)
    assert (online.status, online.after) == (Status.RUN, None)
    assert online.reason == "Redis failed over: push every entity"


class TestChangedDefinitions:
    ADDED = FILES[SPEND] + "  max_amount: max(amount)\n"
    BREAKING = FILES[SPEND].replace("avg(amount)", "avg(amount * 2)")
    TYPE = FILES[TABLE].replace("terminal_id: bigint", "terminal_id: int")

    def planned(self, folder: Path, files: dict[str, str], *, accept: bool = False) -> Plan:
        before = deployed(graph_of(folder / "before"))
        return plan(graph_of(folder / "after", files), before, accept=accept)

    def test_an_added_feature_backfills_itself_alone(self, tmp_path: Path) -> None:
        found = self.planned(tmp_path, {SPEND: self.ADDED})

        features = step(found, "gold.customer_spend")

        assert isinstance(features, FeaturesStep)
        assert (features.mode, features.columns) == (Mode.BACKFILL, ("max_amount",))

    def test_other_views_are_left_alone(self, tmp_path: Path) -> None:
        found = self.planned(tmp_path, {SPEND: self.ADDED})

        assert step(found, "gold.last_payment").status is Status.NOTHING

    def test_a_breaking_change_waits(self, tmp_path: Path) -> None:
        found = self.planned(tmp_path, {SPEND: self.BREAKING})

        assert [one.name for one in found.blocked] == ["gold.customer_spend"]

    def test_a_blocked_step_names_what_breaks(self, tmp_path: Path) -> None:
        found = self.planned(tmp_path, {SPEND: self.BREAKING})

        assert step(found, "gold.customer_spend").reason == (
            "definition changed, breaking: view.features.avg_amount.value: say --accept to rebuild"
        )

    def test_an_accepted_change_rebuilds_in_a_new_generation(self, tmp_path: Path) -> None:
        found = self.planned(tmp_path, {SPEND: self.BREAKING}, accept=True)

        features = step(found, "gold.customer_spend")

        assert isinstance(features, FeaturesStep)
        assert (features.mode, features.generation) == (Mode.REBUILD, 1)

    def test_views_of_a_rebuilt_table_are_rebuilt(self, tmp_path: Path) -> None:
        found = self.planned(tmp_path, {TABLE: self.TYPE}, accept=True)

        modes = {one.view: one.mode for one in found.steps if isinstance(one, FeaturesStep)}

        assert modes == {"customer_spend": Mode.REBUILD, "last_payment": Mode.REBUILD}

    def test_a_longer_ttl_builds_nothing_and_pushes_again(self, tmp_path: Path) -> None:
        longer = FILES["views/last_payment.yaml"].replace("ttl: 90d", "ttl: 120d")

        found = self.planned(tmp_path, {"views/last_payment.yaml": longer})

        assert step(found, "online last_payment").status is Status.RUN

    def test_a_description_changes_nothing(self, tmp_path: Path) -> None:
        described = FILES[SPEND] + "description: What a customer pays\n"

        assert running(self.planned(tmp_path, {SPEND: described})) == []


class TestTraining:
    def test_it_is_not_due_before_its_time(self, graph: Graph) -> None:
        found = step(plan(graph, deployed(graph)), "model fraud")

        assert (found.status, found.reason) == (
            Status.NOTHING,
            "not due: last cut 1972-09-27, due from 1972-10-04",
        )

    def test_it_is_due_when_the_clock_has_passed(self, graph: Graph) -> None:
        observed = replace(deployed(graph), clock=CUT + 7 * DAY)

        assert step(plan(graph, observed), "model fraud").status is Status.RUN

    def test_new_rows_may_make_it_due(self, graph: Graph) -> None:
        observed = with_table(deployed(graph), "bronze", "payments", version=6)

        assert step(plan(graph, observed), "model fraud").reason.startswith("if due once new rows")

    def test_a_model_never_trained_is_trained(self, graph: Graph) -> None:
        observed = replace(deployed(graph), models={})

        assert step(plan(graph, observed), "model fraud").reason == "never trained"


class TestGenerator:
    MADE: ClassVar = {
        "sources/example.yaml": "kind: generator\nhook: payments.generator:generate\n"
        "folder: data\noptions: {seed: 7}\n"
    }

    def test_its_files_are_made_and_read_in_one_run(self, tmp_path: Path) -> None:
        found = plan(graph_of(tmp_path, self.MADE), Observed())

        assert running(found)[:2] == ["files of example", "bronze.payments"]

    def test_it_is_off_when_input_is_given(self, tmp_path: Path) -> None:
        off = {name: f"{text}unless: mine.csv\n" for name, text in self.MADE.items()}

        found = plan(graph_of(tmp_path, off), Observed())

        assert step(found, "bronze.payments").reason == "its generator is off"

    def test_it_makes_nothing_twice(self, tmp_path: Path) -> None:
        observed = Observed(generated={"example": '{"seed":7}'})

        found = plan(graph_of(tmp_path, self.MADE), observed)

        assert step(found, "files of example").status is Status.NOTHING

    def test_other_options_do_not_mix_with_files_that_are_there(self, tmp_path: Path) -> None:
        observed = Observed(generated={"example": '{"seed":8}'})

        found = plan(graph_of(tmp_path, self.MADE), observed)

        assert step(found, "files of example").status is Status.BLOCKED

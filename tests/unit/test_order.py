"""What a step waits for: pure, over the plan of the payments example."""

from __future__ import annotations

import pytest

from feldspar.graph.compile import compile_graph
from feldspar.graph.graph import Graph
from feldspar.graph.observed import Observed
from feldspar.graph.order import needs
from feldspar.graph.plan import plan
from feldspar.graph.steps import Step
from feldspar.spec.loading import load_definitions
from support.places import REPOSITORY


@pytest.fixture(scope="module")
def graph() -> Graph:
    return compile_graph(load_definitions(REPOSITORY / "conf", {}))


@pytest.fixture(scope="module")
def steps(graph: Graph) -> tuple[Step, ...]:
    """Of a first run: everything is to be made."""
    return plan(graph, Observed()).to_run


def waits_for(name: str, steps: tuple[Step, ...], graph: Graph) -> set[str]:
    (step,) = (one for one in steps if one.name == name)
    return {one.name for one in needs(steps, graph)[step]}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("files of generated", set()),
        ("bronze.payments", {"files of generated"}),
        ("silver.transactions", {"bronze.payments"}),
        ("gold.customer_spend", {"silver.transactions"}),
        ("expectations of silver.transactions", {"silver.transactions"}),
        ("expectations of gold.customer_spend", {"gold.customer_spend"}),
    ],
)
def test_a_step_waits_for_what_makes_its_input(
    name: str, expected: set[str], steps: tuple[Step, ...], graph: Graph
) -> None:
    assert waits_for(name, steps, graph) == expected


@pytest.mark.parametrize("name", ["online customer_spend", "model payment_fraud"])
def test_what_depends_on_the_clock_waits_for_all_of_silver(
    name: str, steps: tuple[Step, ...], graph: Graph
) -> None:
    silver = {one.name for one in steps if one.name.startswith("silver.")}
    assert silver <= waits_for(name, steps, graph)


def test_a_model_waits_for_the_views_of_its_service_alone(
    steps: tuple[Step, ...], graph: Graph
) -> None:
    views = {f"gold.{view.name}" for view in graph.model("credit_scoring").service.views}
    waited = waits_for("model credit_scoring", steps, graph)
    assert {one for one in waited if one.startswith("gold.")} == views


def test_two_batches_of_one_table_follow_each_other(graph: Graph) -> None:
    first = plan(graph, Observed()).to_run
    (batch,) = (one for one in first if one.name == "silver.transactions")
    other = type(batch)(**{**vars(batch), "reason": "the next one"})
    assert needs((batch, other), graph)[other] == {batch}

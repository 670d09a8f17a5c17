"""How far behind each table is, for every state that a plan can be told: pure."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from feldspar.graph.compile import compile_graph
from feldspar.graph.graph import Graph
from feldspar.graph.observed import Observed, PushState, SourceState, TableState
from feldspar.graph.unread import Unread, unread
from feldspar.names import cursor, value_fingerprint
from feldspar.spec.loading import load_definitions
from support.small_project import FILES, write_project

HISTORY = {
    "tables/transactions.yaml": FILES["tables/transactions.yaml"] + "history: {kind: scd1}\n"
}


@pytest.fixture
def graph(tmp_path: Path) -> Graph:
    return compile_graph(load_definitions(write_project(tmp_path, HISTORY), {}))


@pytest.fixture
def observed(graph: Graph) -> Observed:
    """Bronze is at 6, of which silver has 4; silver is at 3, of which all but one have it all."""
    spend = value_fingerprint(graph.views["customer_spend"].definition)
    return Observed(
        tables={
            ("bronze", "payments"): TableState(6),
            ("ops", "ledger"): TableState(1, cursors={cursor("refine", "transactions"): 4}),
            ("silver", "transactions"): TableState(3),
            ("history", "transactions"): TableState(
                1, cursors={cursor("history", "transactions"): 3}
            ),
            ("gold", "customer_spend"): TableState(
                5, cursors={cursor("features", "customer_spend"): 3}
            ),
            ("gold", "last_payment"): TableState(
                2, cursors={cursor("features", "last_payment"): 1}
            ),
        },
        pushed={"customer_spend": PushState(4, spend)},
    )


def with_table(observed: Observed, layer: str, name: str, **changes: Any) -> Observed:
    state = replace(observed.tables[layer, name], **changes)
    return replace(observed, tables={**observed.tables, (layer, name): state})


def after(graph: Graph, observed: Observed) -> dict[str, int | None]:
    return {one.target: one.after for one in unread(graph, observed)}


def test_what_is_left_is_told_for_every_table_and_view(graph: Graph, observed: Observed) -> None:
    found = {one.target: (one.source, one.versions) for one in unread(graph, observed)}

    assert found == {
        "silver.transactions": ("bronze.payments", 2),
        "history.transactions": ("silver.transactions", 0),
        "gold.customer_spend": ("silver.transactions", 0),
        "gold.last_payment": ("silver.transactions", 2),
        "online customer_spend": ("gold.customer_spend", 1),
        "online last_payment": ("gold.last_payment", 3),
    }


def test_nothing_is_behind_what_is_not_there(graph: Graph) -> None:
    assert unread(graph, Observed()) == ()


def test_a_table_that_is_not_there_lacks_all_of_its_source(graph: Graph) -> None:
    only_bronze = Observed(tables={("bronze", "payments"): TableState(6)})

    assert unread(graph, only_bronze) == (
        Unread("silver.transactions", "bronze", "payments", after=None, upto=6),
    )


@pytest.mark.parametrize("target", ["history.transactions", "gold.customer_spend"])
def test_what_was_built_from_rows_that_were_rebuilt_lacks_all(
    target: str, graph: Graph, observed: Observed
) -> None:
    rebuilt = with_table(observed, "silver", "transactions", generation=1)

    assert after(graph, rebuilt)[target] is None


def test_the_ledger_counts_for_the_present_generation_alone(
    graph: Graph, observed: Observed
) -> None:
    rebuilt = with_table(observed, "silver", "transactions", generation=1)

    assert after(graph, rebuilt)["silver.transactions"] is None


@pytest.mark.parametrize("pushed", [PushState(4, "another definition"), None])
def test_a_view_in_redis_of_another_definition_lacks_all(
    pushed: PushState | None, graph: Graph, observed: Observed
) -> None:
    views = {} if pushed is None else {"customer_spend": pushed}

    assert after(graph, replace(observed, pushed=views))["online customer_spend"] is None


def test_a_view_in_redis_of_a_gold_that_was_rebuilt_lacks_all(
    graph: Graph, observed: Observed
) -> None:
    rebuilt = with_table(observed, "gold", "customer_spend", generation=1)

    assert after(graph, rebuilt)["online customer_spend"] is None


def test_somebody_elses_delta_table_is_a_source_like_another(tmp_path: Path) -> None:
    source = (
        "kind: delta\npath: lake/theirs\nevent_time: tx_datetime\nknown_time: event_time + 0s\n"
    )
    conf = write_project(tmp_path, {"sources/payments.yaml": source})
    graph = compile_graph(load_definitions(conf, {}))

    (found,) = unread(graph, Observed(sources={"payments": SourceState(version=2)}))

    assert (found.source, found.versions, found.layer) == ("source payments", 3, "")

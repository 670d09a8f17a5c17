"""Manifests of training sets: they come back as they were written, and name what changed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from feldspar.errors import InputError
from feldspar.graph.compile import compile_graph
from feldspar.graph.view import Service
from feldspar.spec.loading import load_definitions
from feldspar.training.causes import Arrivals, feature_causes, set_causes
from feldspar.training.makings import Made, makings
from feldspar.training.manifest import Manifest
from support.places import REPOSITORY
from support.small_project import FILES, write_project

SPEND, LAST = "views/customer_spend.yaml", "views/last_payment.yaml"
MANIFEST = Manifest(
    service="fraud",
    definition="d",
    features={"spend__count_7d": Made("1", ("gold.spend",))},
    keys=("customer_id",),
    code="0.1.0+1",
    as_of="known",
    time="tx_datetime",
    event_id=None,
    spine_rows=3,
    spine_hash="fffffffffffffffe",
    tables={"gold.spend": 4},
    created="2026-01-02T03:04:05+00:00",
).whole()
NEWER = replace(MANIFEST, spine_rows=2, spine_hash="0000000000000005", tables={"gold.spend": 7})


def fraud(folder: Path, **files: str) -> Service:
    changed = {"/".join(name.split("__")) + ".yaml": text for name, text in files.items()}
    return compile_graph(load_definitions(write_project(folder, changed), {})).service("fraud")


def made(service: Service) -> dict[str, Made]:
    return makings(service, [one.name for one in service.outputs])


def changed(folder: Path, file: str, old: str, new: str) -> set[str]:
    """Features of the small project that are made differently once a file is changed."""
    assert old in FILES[file]
    before = made(fraud(folder / "a"))
    name = file.removesuffix(".yaml").replace("/", "__")
    after = made(fraud(folder / "b", **{name: FILES[file].replace(old, new)}))
    return {name for name in before if before[name] != after.get(name)}


def test_a_manifest_comes_back_as_it_was_written() -> None:
    assert Manifest.from_json(MANIFEST.as_json(), name="training.a@0") == MANIFEST


@pytest.mark.parametrize("text", ["", "small lake", "[1]", '{"model": "fraud"}'])
def test_another_note_is_no_manifest(text: str) -> None:
    with pytest.raises(InputError, match=r"training\.a@0 has no manifest"):
        Manifest.from_json(text, name="training.a@0")


def test_an_extension_adds_rows_and_hashes_and_a_part() -> None:
    whole = MANIFEST.extended(NEWER.whole())

    assert (whole.spine_rows, whole.spine_hash, whole.tables, len(whole.parts)) == (
        5,
        "0000000000000003",
        {"gold.spend": 7},
        2,
    )


def test_one_function_changed_changes_its_feature_and_what_is_derived_from_it(
    tmp_path: Path,
) -> None:
    assert changed(tmp_path, SPEND, "avg(amount)", "max(amount)") == {
        "customer_spend__avg_amount_1d",
        "customer_spend__avg_amount_7d",
        "last_payment__ratio",
    }


def test_a_ttl_changes_the_features_of_its_view_alone(tmp_path: Path) -> None:
    assert changed(tmp_path, LAST, "ttl: 90d", "ttl: 30d") == {
        "last_payment__last_amount",
        "last_payment__last_amount_twice",
        "last_payment__ratio",
    }


def test_a_description_and_blanks_change_nothing(tmp_path: Path) -> None:
    assert changed(tmp_path, SPEND, "avg(amount)", "avg( amount )\ndescription: paid") == set()


def test_what_is_computed_on_demand_reads_the_tables_of_its_inputs() -> None:
    graph = compile_graph(load_definitions(REPOSITORY / "conf", {}))
    service = graph.service("credit_scoring_service")

    found = makings(service, ["credit_scoring_features__combined_risk_score"])

    assert found["credit_scoring_features__combined_risk_score"].tables == (
        "gold.customer_features",
        "gold.real_time_features",
        "gold.transaction_features",
    )


def test_causes_name_what_differs() -> None:
    arrivals = {"gold.spend": Arrivals("gold.spend", 4, 7, 1_200)}
    other = replace(NEWER, features={"spend__count_7d": Made("2", ("gold.spend",))}, code="0.1.0+2")

    assert set_causes(MANIFEST, other, arrivals) == (
        "defined differently: spend__count_7d",
        "1,200 new rows arrived in gold.spend between version 4 and 7",
        "code: 0.1.0+1 and 0.1.0+2",
        "spine: 3 and 2 rows, not the same ones",
    )


def test_a_feature_is_explained_by_its_own_tables_alone() -> None:
    arrivals = {
        "gold.spend": Arrivals("gold.spend", 7, 4, None),
        "gold.other": Arrivals("gold.other", 1, 2, 5),
    }

    assert feature_causes(MANIFEST, NEWER, "spend__count_7d", arrivals) == (
        "gold.spend was rewritten between version 4 and 7",
    )

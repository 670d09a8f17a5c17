"""What a changed definition means for what is stored: added, free, or breaking."""

from __future__ import annotations

import json
from typing import Any

import pytest

from feldspar.graph.changes import Change, compare

VIEW: dict[str, Any] = {
    "entity": "customer",
    "features": {"count": {"value": "count()", "windows": ["1d", "7d"]}},
    "windows": ["1d", "7d"],
    "ttl": None,
}
TABLE: dict[str, Any] = {
    "key": ["id"],
    "columns": {"id": {"type": "bigint"}, "path": {"type": "string"}},
    "checks": {"id": [{"kind": "not_null"}]},
}


def changed(before: dict[str, Any], **after: Any) -> Change:
    return compare(json.dumps({"it": before}), json.dumps({"it": before | after}))


def test_equal_definitions_do_not_differ() -> None:
    assert not changed(VIEW)


@pytest.mark.parametrize(
    "after",
    [
        {"features": VIEW["features"] | {"sum": {"value": "sum(amount)"}}},
        {"windows": ["1d", "7d", "30d"]},
        {"derive": {"twice": "count_1d * 2"}, "ttl": None},
    ],
)
def test_more_features_and_windows_are_additions(after: dict[str, Any]) -> None:
    before = VIEW | {"derive": {}}

    change = changed(before, **after)

    assert (bool(change.added), change.free, change.breaking) == (True, (), ())


@pytest.mark.parametrize(
    "after",
    [
        {"features": {}},
        {"features": {"count": {"value": "count(amount)", "windows": ["1d", "7d"]}}},
        {"windows": ["7d"]},
        {"entity": "terminal"},
        {"delay": "7d"},
    ],
)
def test_what_is_stored_otherwise_or_no_longer_breaks(after: dict[str, Any]) -> None:
    assert changed(VIEW, **after).breaking


@pytest.mark.parametrize(
    "after", [{"ttl": "90d"}, {"description": "New"}, {"checks": {}}, {"unknown_columns": "ignore"}]
)
def test_what_holds_from_now_on_is_free(after: dict[str, Any]) -> None:
    change = changed(VIEW, **after)

    assert (change.added, bool(change.free), change.breaking) == ((), True, ())


def test_a_column_may_be_named_like_a_key_that_is_free() -> None:
    columns = TABLE["columns"] | {"path": {"type": "bigint"}}

    assert changed(TABLE, columns=columns).breaking == ("it.columns.path.type",)


def test_a_feature_may_be_named_like_a_key_that_is_free() -> None:
    features = VIEW["features"] | {"description": {"value": "max(amount)"}}

    assert changed(VIEW, features=features).added == ("it.features.description",)


def test_a_column_that_goes_breaks_whatever_its_name() -> None:
    columns = {"id": {"type": "bigint"}}

    assert changed(TABLE, columns=columns).breaking == ("it.columns.path",)


def test_a_change_says_what_it_is() -> None:
    text = str(changed(VIEW, ttl="90d", entity="terminal"))

    assert text == "breaking: it.entity; changed: it.ttl"


def test_a_key_that_a_newer_release_knows_and_nobody_wrote_says_nothing() -> None:
    feature = {"value": "count()", "windows": ["1d", "7d"], "where": None}

    assert not changed(VIEW, hop=None, features={"count": feature})


def test_a_hop_breaks() -> None:
    assert changed(VIEW, hop="1h").breaking

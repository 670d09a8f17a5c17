"""Which cause an audit names, and the words for it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from feldspar.monitor.audit.findings import (
    LATE,
    UNKNOWN,
    Count,
    FeatureFindings,
    ServiceAudit,
    cause_text,
    feature_findings,
    lines,
)

Marks = dict[tuple[str, str, str], Count]


def of(found: Marks, *names: str) -> dict[str, FeatureFindings]:
    outputs = [(name, "spend") for name in names]
    return {one.feature: one for one in feature_findings(found, outputs, audited=100)}


def different(name: str, rows: int, **causes: int) -> Marks:
    found = {(name, "different", ""): Count(rows, ("x",)), (name, "diagnosed", ""): Count(rows)}
    labels = {label.replace("_", " "): count for label, count in causes.items()}
    return {**found, **{(name, "cause", label): Count(rows) for label, rows in labels.items()}}


def test_without_marks_all_is_well() -> None:
    found = of({}, "a")["a"]

    assert (found.compared, found.different, found.cause, found.fails) == (100, 0, "", False)


def test_what_explains_most_is_the_cause() -> None:
    found = of(different("a", 10, window_6d=10, reordered_write=7), "a")["a"]

    assert (found.cause, found.different, found.fails) == ("window 6d", 10, True)


def test_of_two_that_explain_as_much_it_is_the_one_that_explains_more_features() -> None:
    marks = {
        **different("a", 10, **{"window_22h": 10, "time zone +2:00": 10}),
        **different("b", 8, **{"time zone +2:00": 8}),
    }

    assert {one.cause for one in of(marks, "a", "b").values()} == {"time zone +2:00"}


def test_a_chance_hit_is_no_cause() -> None:
    assert of(different("a", 10, window_6d=2), "a")["a"].cause == UNKNOWN


@pytest.mark.parametrize(("stale", "fails"), [(1, False), (2, True)])
def test_more_than_a_hundredth_of_stale_values_is_too_much(stale: int, fails: bool) -> None:
    found = of({("a", "stale", ""): Count(stale), ("a", "age", "1m"): Count(stale)}, "a")["a"]

    assert (found.cause, found.late, found.fails) == (LATE, timedelta(minutes=1), fails)


def test_values_whose_gold_is_gone_are_not_compared() -> None:
    found = of({("spend", "gone", "4"): Count(30), ("spend", "gone", "5"): Count(10)}, "a")["a"]

    assert found.compared == 60


def test_people_are_told_what_differs_and_why() -> None:
    features = feature_findings(different("a", 10, ttl=10), [("a", "spend")], audited=100)

    assert list(
        lines(ServiceAudit("fraud", served=101, audited=100, other=1, features=features))
    ) == [
        "fraud: 101 answers, 100 replayed, 0 without Redis, 1 by another definition",
        "  a: 10 of 100 differ, 0 stale (0.00%)",
        "    ttl: rows that had run out were served, or others taken for run out",
        "    x",
    ]


@pytest.mark.parametrize(
    ("cause", "text"),
    [
        ("time zone +2:00", "time zone: the values are those of +2:00 hours from T"),
        ("inputs", "inputs: features that it is made of differ"),
        (
            "late row",
            "late row: known by T, and not pushed by then; up to 5s later than serving_delay says",
        ),
    ],
)
def test_a_cause_is_told_in_words(cause: str, text: str) -> None:
    late = timedelta(seconds=5)

    assert cause_text(FeatureFindings("a", "", 1, 1, cause, late=late)) == text

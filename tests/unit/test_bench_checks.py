"""The benchmark of checks asks every rival the same: its rows, its rules, and their two forms."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
import pytest

from bench import checks_data
from bench.checks_rules import COLUMNS, Among, Matching, NotBelow, NotNull, Rule, Within, rules
from bench.inputs import as_document, from_document
from bench.rivals.feldspar_checks import table_of

ROWS = 3_000


def fails(rule: Rule, row: dict[str, Any]) -> bool:
    """Whether a row breaks a rule; a missing value breaks none but ``NotNull``."""
    value = row[rule.column]
    if isinstance(rule, NotNull) or value is None:
        return isinstance(rule, NotNull) and value is None
    match rule:
        case Within(low=low, high=high):
            return (low is not None and value < low) or (high is not None and value > high)
        case Among(values=values):
            return value not in values
        case Matching(pattern=pattern):
            return re.fullmatch(pattern, value) is None
        case NotBelow(other=other):
            return row[other] is not None and value < row[other]
    raise TypeError(rule)


def failing(folder: Path, broken: float) -> tuple[int, set[str]]:
    """How many rows break something, and which rules are broken."""
    data = checks_data.generated(ROWS, folder, broken=broken)
    rows = ds.dataset(data.events).to_table().to_pylist()
    found = [[name for name, rule in rules().items() if fails(rule, row)] for row in rows]
    return sum(1 for one in found if one), {name for names in found for name in names}


def test_there_are_a_hundred_rules_ten_of_them_patterns() -> None:
    asked = rules()

    assert len(asked) == 100
    assert sum(isinstance(rule, Matching) for rule in asked.values()) == 10
    assert {rule.column for rule in asked.values()} == set(COLUMNS)


@pytest.mark.parametrize(("broken", "low", "high"), [(0.0, 0, 0), (0.5, 1_300, 1_700)])
def test_the_share_of_broken_rows_is_what_was_asked_for(
    tmp_path: Path, broken: float, low: int, high: int
) -> None:
    count, reasons = failing(tmp_path, broken)

    assert low <= count <= high
    assert len(reasons) > 80 or not broken


def test_data_are_the_same_each_time_and_travel_as_json(tmp_path: Path) -> None:
    made = [checks_data.generated(ROWS, tmp_path / name, broken=0.1) for name in ("one", "two")]
    tables = [ds.dataset(one.events).to_table() for one in made]

    assert tables[0].equals(tables[1])
    assert from_document(as_document(made[0])) == made[0]


def test_the_definition_says_every_rule(tmp_path: Path) -> None:
    table = table_of(tmp_path)

    named = [f"{name}:{one.kind}" for name, checks in table.spec.checks.items() for one in checks]
    assert {*named, *(f"rule:{name}" for name, _ in table.rules)} == set(rules())

"""What the benchmark prints, keeps and draws of what was measured."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from bench.contest import Entry, Measured
from bench.inputs import PaymentData
from bench.plots import draw
from bench.processes import Usage
from bench.report import CaseReport, Claim, show

DATA = PaymentData("some", "some.parquet")
SIZES = [1_000_000, 2_000_000, 4_000_000]


def usage(seconds: float) -> Usage:
    return Usage(seconds, seconds, int(seconds * (1 << 20)), 1 << 20, int(seconds * (1 << 20)))


def measured(label: str, *seconds: float, ended: str = "") -> Measured:
    entry = Entry(label, label.partition(",")[0], DATA, question="q")
    return Measured(entry, first=usage(9), runs=[usage(one) for one in seconds], ended=ended)


def printed(case: CaseReport) -> str:
    text = io.StringIO()
    show(case, Console(file=text, width=200, highlight=False))
    return text.getvalue()


@pytest.mark.parametrize(
    ("bound", "said"),
    [(2.0, "<= 2.0: 1.50 (1.50-2.00) reached"), (1.4, "<= 1.4: 1.50 (1.50-2.00) NOT reached")],
)
def test_a_claim_is_held_against_the_rounds(bound: float, said: str) -> None:
    both = [measured("duckdb", 1, 2, 4), measured("feldspar", 2, 3, 6)]
    case = CaseReport("small", "a case", both, [Claim("ours", "feldspar", "duckdb", bound)])

    assert f"ours {said}" in printed(case)


def test_a_rival_that_was_stopped_is_said_to_be() -> None:
    both = [measured("duckdb", 1), measured("range", ended="stopped at 300 s")]
    case = CaseReport("small", "a case", both, [Claim("x", "range", "duckdb", at_least=4)])

    assert "x >= 4: stopped at 300 s" in printed(case)


def test_a_claim_about_who_was_not_asked_is_left_out() -> None:
    case = CaseReport("small", "a case", [measured("duckdb", 1)], [Claim("x", "feast", "duckdb")])

    assert case.as_document()["claims"] == []


def test_a_trend_is_a_line_and_what_is_off_it() -> None:
    sizes = [measured(f"feldspar, {rows}", 1 + rows / 1e6) for rows in SIZES]
    case = CaseReport("trend", "sizes", sizes, sizes=SIZES)

    assert "cpu_seconds: 1.0 + 1.0 a million rows, at most 0 % off the line" in printed(case)


@pytest.mark.parametrize("sizes", [[], SIZES])
def test_every_case_has_its_charts(tmp_path: Path, sizes: list[int]) -> None:
    runs = [measured(f"feldspar, {rows}", 1 + rows / 1e6) for rows in SIZES]
    draw(CaseReport("some", "a case", runs, sizes=sizes), tmp_path, prefix="pit")

    assert sorted(path.name for path in tmp_path.iterdir()) == ["pit-some.png", "pit-some.svg"]

"""``make bench-windows``: the six payment windows of Feldspar beside its rivals."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from bench import payments_data
from bench.contest import Contest, Entry
from bench.inputs import PaymentData
from bench.options import chosen, make_place, read_options
from bench.plots import draw
from bench.report import CaseReport, Claim, save, show
from bench.rivals.catalogue import WINDOWS

ROWS = 20_000_000
TOLERANCE = 1e-9
FULL, WHOLE = "feldspar", "feldspar, gold and values of all"
NEWEST, LATE = "feldspar, newest 1 %", "feldspar, late 1 %"


@dataclass(frozen=True)
class Case:
    """One contest: its entries are made from the number of generated payments and a folder."""

    about: str
    entries: Callable[[int, Path], Sequence[Entry]]
    claims: Sequence[Claim]


def _full(rival: str, data: PaymentData, *, label: str = "") -> Entry:
    return Entry(label or rival, rival, data, question=data.name, tolerance=TOLERANCE)


def _published(rows: int, folder: Path) -> Sequence[Entry]:
    data = payments_data.published(folder)
    return [_full(rival, data) for rival in ("duckdb", "feldspar", "spark")] if data else []


def _generated(rows: int, folder: Path) -> Sequence[Entry]:
    data = payments_data.generated(rows, folder)
    return [_full(rival, data) for rival in ("duckdb", "feldspar", "spark")]


def _increments(rows: int, folder: Path) -> Sequence[Entry]:
    """What an increment does is write gold and answer for what is new.

    The same done for everything is one measure of it; the other, a harder one, is the full run
    that answers from plain files and leaves no gold for the next.
    """
    data = payments_data.generated(rows, folder)
    splits = {NEWEST: payments_data.newest(data, folder), LATE: payments_data.late(data, folder)}
    added = [
        Entry(
            label,
            "feldspar",
            split.new,
            do="extend",
            layout_of=split.stored,
            question=data.name,
            tolerance=TOLERANCE,
        )
        for label, split in splits.items()
    ]
    whole = replace(_full("feldspar", data, label=WHOLE), do="extend")
    return [_full("feldspar", data), whole, *added]


CASES = {
    "published": Case(
        "the published payments, 1.75 M",
        _published,
        [Claim("ours / DuckDB", "feldspar", "duckdb", at_most=2)],
    ),
    "generated": Case(
        f"{ROWS:,} generated payments",
        _generated,
        [Claim("ours / DuckDB", "feldspar", "duckdb", at_most=1.3)],
    ),
    "increment": Case(
        f"1 % more events of {ROWS:,} and their values, and the full run",
        _increments,
        [
            Claim("newest 1 % / gold and values of all", NEWEST, WHOLE, at_most=0.1),
            Claim("late 1 % / gold and values of all", LATE, WHOLE, at_most=0.25),
            Claim("newest 1 % / values of all alone", NEWEST, FULL, at_most=0.1),
            Claim("late 1 % / values of all alone", LATE, FULL, at_most=0.25),
        ],
    ),
}


def main() -> None:
    """Runs the chosen cases; the JSON file grows with each."""
    console = Console(width=160, highlight=False, log_path=False)
    options = read_options(__doc__ or "", CASES, WINDOWS)
    place = make_place(options, WINDOWS, console, python=Path(sys.executable))
    for name in options.cases:
        case = CASES[name]
        rows = round(ROWS * options.scale)
        place.progress(f"{name}  data")
        entries = case.entries(rows, place.folder / "data")
        if not entries:
            console.print(f"{name}: left out, the payments are not in ../shared/data/payments")
            continue
        measured = Contest(name, chosen(entries, options.rivals), place).hold()
        scaled = "" if options.scale == 1 or name == "published" else f"; ROWS x {options.scale:g}"
        report = CaseReport(name, case.about + scaled, measured, case.claims)
        show(report, console)
        save(place.folder / "windows.json", report, place, vars(options))
        draw(report, place.folder, prefix="windows")
    console.print(f"written: {place.folder / 'windows.json'} and a chart a case beside it")


if __name__ == "__main__":
    main()

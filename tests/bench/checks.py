"""``make bench-checks``: a hundred rules in the writing pass, beside rivals and a bare write."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from bench import checks_data
from bench.contest import Contest, Entry
from bench.inputs import CheckData
from bench.options import chosen, make_place, read_options
from bench.plots import draw
from bench.report import CaseReport, Claim, save, show
from bench.rivals.catalogue import CHECKS

ROWS = 5_000_000
BARE, OURS, SPARK, GX = "bare write", "feldspar", "one Spark expression", "Great Expectations"
CLAIMS = (
    Claim("ours / bare write", OURS, BARE, at_most=2.5),
    Claim("Great Expectations / ours", GX, OURS, at_least=10),
)


@dataclass(frozen=True)
class Case:
    """One contest; ``broken`` is the share of rows that break some rule."""

    about: str
    broken: float


CASES = {
    "some": Case(f"100 rules on {ROWS:,} rows x 20 columns, 1 % of the rows broken", 0.01),
    "none": Case("the same, no row broken", 0.0),
}


def main() -> None:
    """Runs the chosen cases; the JSON file grows with each."""
    console = Console(width=160, highlight=False, log_path=False)
    options = read_options(__doc__ or "", CASES, CHECKS)
    place = make_place(options, CHECKS, console, python=Path(sys.executable))
    for name in options.cases:
        case = CASES[name]
        place.progress(f"{name}  data")
        rows = round(ROWS * options.scale)
        data = checks_data.generated(rows, place.folder / "data", broken=case.broken)
        measured = Contest(f"checks-{name}", chosen(_entries(data), options.rivals), place).hold()
        scaled = "" if options.scale == 1 else f"; ROWS x {options.scale:g}"
        report = CaseReport(name, case.about + scaled, measured, CLAIMS)
        show(report, console)
        save(place.folder / "checks.json", report, place, vars(options))
        draw(report, place.folder, prefix="checks")
    console.print(f"written: {place.folder / 'checks.json'} and a chart a case beside it")


def _entries(data: CheckData) -> Sequence[Entry]:
    """Only the bare write has nothing to answer."""
    rivals = {SPARK: "spark", OURS: "feldspar", GX: "gx"}
    asked = [Entry(label, rival, data, question="counts") for label, rival in rivals.items()]
    return [Entry(BARE, "bare", data), *asked]


if __name__ == "__main__":
    main()

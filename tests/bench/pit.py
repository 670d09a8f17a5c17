"""``make bench-pit``: point-in-time joins of Feldspar beside its rivals, Parquet to Parquet."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path

from rich.console import Console

from bench.contest import Contest, Place
from bench.inputs import PitData
from bench.options import chosen, make_place, read_options
from bench.pit_cases import CASES, Case
from bench.pit_data import PitShape, make
from bench.plots import draw
from bench.report import CaseReport, save, show
from bench.rivals.catalogue import PIT


def main() -> None:
    """Runs the chosen cases; the JSON file grows with each."""
    console = Console(width=160, highlight=False, log_path=False)
    options = read_options(__doc__ or "", CASES, PIT)
    place = make_place(options, PIT, console, python=Path(sys.executable))
    for name in options.cases:
        report = _measure(name, CASES[name], place, options.rivals, scale=options.scale)
        show(report, console)
        save(place.folder / "pit.json", report, place, vars(options))
        draw(report, place.folder, prefix="pit")
    console.print(f"written: {place.folder / 'pit.json'} and a chart a case beside it")


def _measure(name: str, case: Case, place: Place, rivals: list[str], *, scale: float) -> CaseReport:
    @cache
    def data(shape: PitShape) -> PitData:
        sized = shape.scaled(scale) if scale != 1 else shape
        place.progress(f"{name}  data: {sized.views} x {sized.view_rows:,} rows")
        return make(sized, place.folder / "data")

    contest = Contest(name, chosen(case.entries(data), rivals), place, apart=case.kind == "trend")
    measured = contest.hold_fresh() if case.kind == "fresh" else contest.hold()
    about = case.about if scale == 1 else f"{case.about}; ALL ROWS x {scale:g}"
    sizes = [round(rows * scale) for rows in case.sizes] if measured else []
    return CaseReport(name, about, measured, case.claims, sizes)


if __name__ == "__main__":
    main()

"""What is printed and kept: a table a case, what is claimed beside what was reached, JSON."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from bench.contest import Measured, Place
from bench.figures import Line, Spread, line, ratio, spread
from bench.processes import Usage

_MIB = 1 << 20
_WORTH_TELLING = 0.05
_PACKAGES = ("duckdb", "feldspar", "numpy", "pyarrow", "pyspark")


@dataclass(frozen=True)
class Claim:
    """A ratio of two entries of one case, and what it is to be.

    Attributes:
        text: says it in words.
        over, under: labels of the entries.
        at_most, at_least: the bound; one of them.
    """

    text: str
    over: str
    under: str
    at_most: float | None = None
    at_least: float | None = None

    def verdict(self, measured: Sequence[Measured]) -> dict[str, Any] | None:
        """None where one of the entries was not asked for."""
        by_label = {one.entry.label: one for one in measured}
        if self.over not in by_label or self.under not in by_label:
            return None
        over, under = by_label[self.over], by_label[self.under]
        found = ratio(over.seconds, under.seconds)
        bound = f"<= {self.at_most}" if self.at_most is not None else f">= {self.at_least}"
        if found is None:
            ended = over.ended or under.ended or "not measured"
            return {
                "claim": self.text,
                "bound": bound,
                "ratio": None,
                "reached": None,
                "why": ended,
            }
        reached = (
            found.median <= self.at_most
            if self.at_most is not None
            else found.median >= (self.at_least or 0)
        )
        document = found.as_document()
        return {"claim": self.text, "bound": bound, "ratio": document, "reached": reached}


@dataclass(frozen=True)
class CaseReport:
    """One case: its entries, its claims, and the sizes of a trend."""

    name: str
    about: str
    measured: Sequence[Measured]
    claims: Sequence[Claim] = ()
    sizes: Sequence[int] = ()

    def as_document(self) -> dict[str, Any]:
        return {
            "case": self.name,
            "about": self.about,
            "entries": [_entry_document(one, self.measured) for one in self.measured],
            "claims": [found for claim in self.claims if (found := claim.verdict(self.measured))],
            "trend": {name: asdict(fit) for name, fit in self.trend().items()},
        }

    def trend(self) -> dict[str, Line]:
        """Lines through CPU seconds, shuffled MiB and peak MiB against rows."""
        if not self.sizes or any(not one.runs for one in self.measured):
            return {}
        columns = {
            "seconds": [_median(one.runs, "seconds") for one in self.measured],
            "cpu_seconds": [_median(one.runs, "cpu_seconds") for one in self.measured],
            "shuffled_mib": [_median(one.runs, "shuffled_bytes") / _MIB for one in self.measured],
            "peak_mib": [_median(one.runs, "peak_bytes") / _MIB for one in self.measured],
            "worker_mib": [_median(one.runs, "worker_bytes") / _MIB for one in self.measured],
        }
        fits = {name: line(self.sizes, values) for name, values in columns.items()}
        return {name: fit for name, fit in fits.items() if fit is not None}


def show(case: CaseReport, console: Console) -> None:
    """Prints a case."""
    table = Table(title=f"{case.name}: {case.about}", title_justify="left")
    heads = ("", "first s", "median s (range)", "x feldspar", "x duckdb", "CPU s", "shuffle MiB")
    for head in (*heads, "peak MiB", "worker MiB", "answer"):
        table.add_column(head, justify="left" if head in ("", "answer") else "right")
    for one in case.measured:
        table.add_row(*_row(one, case.measured))
    console.print(table)
    for claim in case.claims:
        found = claim.verdict(case.measured)
        if found:
            console.print(_sentence(found))
    for name, fit in case.trend().items():
        console.print(
            f"  {name}: {fit.base:.1f} + {fit.per_million:.1f} a million rows,"
            f" at most {100 * fit.deviation:.0f} % off the line (20 % is the bound)"
        )
    starts = {one.entry.rival: one.start.seconds for one in case.measured if one.start}
    listed = ", ".join(f"{rival} {seconds:.1f} s" for rival, seconds in starts.items())
    console.print(f"  process and session up after: {listed}")
    for one in case.measured:
        if one.prepared and one.prepared.seconds >= _WORTH_TELLING:
            console.print(f"  {one.entry.label}: layout written in {one.prepared.seconds:.1f} s")


def save(path: Path, case: CaseReport, place: Place, options: Mapping[str, Any]) -> None:
    """Puts the case into the JSON file, in place of an earlier measurement of it."""
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    asked = {name: value for name, value in options.items() if name != "out"}
    about = {"machine": _machine(place), "options": asked}
    document = known | {case.name: about | case.as_document()}
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def _row(one: Measured, others: Sequence[Measured]) -> list[str]:
    row = [one.entry.label, f"{one.first.seconds:.2f}" if one.first else ""]
    if one.ended or not one.runs:
        ended = one.ended.partition(":")[0] or "not measured"
        return [*row, ended, *[""] * 6, one.answer]
    against = [_text(_ratio_to(one, others, rival)) for rival in ("feldspar", "duckdb")]
    return [
        *row,
        _text(spread(one.seconds)),
        *against,
        f"{_median(one.runs, 'cpu_seconds'):.1f}",
        f"{_median(one.runs, 'shuffled_bytes') / _MIB:.0f}",
        f"{_peak(one, 'peak_bytes') / _MIB:.0f}",
        f"{_peak(one, 'worker_bytes') / _MIB:.0f}",
        one.answer,
    ]


def _ratio_to(one: Measured, others: Sequence[Measured], rival: str) -> Spread | None:
    """To the first entry of a rival that was asked the same."""
    for other in others:
        if other.entry.rival == rival and _asks(other) == _asks(one):
            return ratio(one.seconds, other.seconds)
    return None


def _asks(one: Measured) -> tuple[str, str, str]:
    return one.entry.question, one.entry.do, one.entry.turn


def _entry_document(one: Measured, others: Sequence[Measured]) -> dict[str, Any]:
    ratios = {rival: _ratio_to(one, others, rival) for rival in ("feldspar", "duckdb")}
    found = spread(one.seconds)
    return {
        "label": one.entry.label,
        "rival": one.entry.rival,
        "do": one.entry.do,
        "data": one.entry.data.name,
        "options": dict(one.entry.options),
        "start_seconds": one.start.seconds if one.start else None,
        "prepared": asdict(one.prepared) if one.prepared else None,
        "first": asdict(one.first) if one.first else None,
        "runs": [asdict(run) for run in one.runs],
        "seconds": found.as_document() if found else None,
        "ratio_to": {rival: item.as_document() for rival, item in ratios.items() if item},
        "answer": one.answer,
        "ended": one.ended,
    }


def _sentence(found: Mapping[str, Any]) -> str:
    if found["ratio"] is None:
        return f"  {found['claim']} {found['bound']}: {found['why']}"
    reached = "reached" if found["reached"] else "NOT reached"
    return f"  {found['claim']} {found['bound']}: {Spread(**found['ratio'])} {reached}"


def _machine(place: Place) -> dict[str, Any]:
    return {
        "cores": place.cores,
        "memory_gib": round(psutil.virtual_memory().total / (1 << 30), 1),
        "load_before": os.getloadavg(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "packages": {name: metadata.version(name) for name in _PACKAGES},
        "spark_memory": place.memory,
    }


def _median(runs: Sequence[Usage], name: str) -> float:
    found = spread([getattr(run, name) for run in runs])
    return found.median if found else 0.0


def _peak(one: Measured, name: str) -> int:
    first = [one.first] if one.first else []
    return max(int(getattr(run, name)) for run in [*first, *one.runs])


def _text(found: Spread | None) -> str:
    return str(found) if found else ""

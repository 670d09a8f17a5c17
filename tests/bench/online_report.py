"""What the serving benchmark prints and keeps: tables, verdicts, JSON, a chart a case."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from bench.load import Load

_COLOURS = {"feldspar": "#c8553d", "feast": "#8a9ba8"}
_AIMS_MS = {1: 2.0, 100: 10.0}
_HALF = 0.5
_MIB = 1 << 20
_SAMPLES_A_MINUTE = 60


@dataclass(frozen=True)
class Compared:
    """Contestants at the same rates.

    Attributes:
        size: customers in a request.
        different: values that were not those put in, of all contestants' answers.
        most: what each answers at most.
        points: contestant, share of Feast's most, what came.
    """

    size: int
    different: int
    most: Mapping[str, Load]
    points: Sequence[tuple[str, float, Load]]

    def verdicts(self) -> list[dict[str, Any]]:
        """Of each rate: our p99 over Feast's, and whether it is at most half."""
        found = []
        for share in sorted({share for _, share, _ in self.points}):
            p99 = {name: load.p99 for name, at, load in self.points if at == share}
            ratio = p99["feldspar"] / p99["feast"]
            aim = _AIMS_MS.get(self.size)
            found.append(
                {
                    "share": share,
                    "ratio": ratio,
                    "reached": ratio <= _HALF,
                    "p99_ms": p99["feldspar"],
                    "aim_ms": aim,
                    "aim_reached": aim is None or p99["feldspar"] < aim,
                }
            )
        return found


@dataclass(frozen=True)
class Scored:
    """Scores: the rates asked for, memory at the first of them, rates on the way to the highest."""

    loads: Sequence[Load]
    memory: Sequence[int]
    tried: Sequence[Load]

    def growth(self) -> float | None:
        """Memory of the last minute over that of the first, less one; medians."""
        if len(self.memory) < 2:
            return None
        size = min(_SAMPLES_A_MINUTE, len(self.memory) // 2)
        first, last = self.memory[:size], self.memory[-size:]
        return statistics.median(last) / statistics.median(first) - 1

    def drift(self) -> float:
        """The p99 of the last minute over that of the first, less one."""
        minutes = self.loads[0].minutes
        return minutes[-1] / minutes[0] - 1

    def highest(self, limit: float) -> Load | None:
        """The highest rate that held the limit, milliseconds."""
        held = [one for one in (*self.loads, *self.tried) if holds(one, limit)]
        return max(held, key=lambda one: one.rate, default=None)


def holds(load: Load, limit: float) -> bool:
    """Whether nothing failed and the p99 stayed under ``limit`` milliseconds."""
    return not load.errors and load.p99 < limit


def sentence(what: str, load: Load) -> str:
    """One line while it runs."""
    return (
        f"{what}: {load.rate:.0f}/s, p50 {load.p50:.2f} p99 {load.p99:.2f} "
        f"p99.9 {load.p999:.2f} ms, {load.errors} errors"
    )


class Report:
    """Collects, prints and saves; a case that is measured again replaces its entry."""

    def __init__(self, folder: Path, options: argparse.Namespace, console: Console) -> None:
        self._folder = folder
        self._console = console
        self._firsts: list[float] = []
        asked = {name: value for name, value in vars(options).items() if name != "out"}
        self._about = {"machine": _machine(), "options": asked}

    def first(self, milliseconds: float) -> None:
        """The first request after ready, of one start."""
        self._firsts.append(milliseconds)
        self._console.log(f"first request after ready: {milliseconds:.1f} ms")

    def compared(self, found: Compared) -> None:
        """A comparison with Feast."""
        title = f"{found.size} of 10,000 customers a request, 3 views, 50 features"
        loads = [(f"{name}, {share:.0%}", load) for name, share, load in found.points]
        loads += [(f"{name}, at most", load) for name, load in found.most.items()]
        self._print(title, loads)
        for one in found.verdicts():
            self._console.print(
                f"  {one['share']:.0%}: p99 ours / Feast {one['ratio']:.2f} (at most 0.5),"
                f" ours {one['p99_ms']:.2f} ms (aim < {one['aim_ms']:.0f})"
            )
        self._console.print(f"  values that differ from those put in: {found.different}")
        document = {
            "different": found.different,
            "most": {name: asdict(load) for name, load in found.most.items()},
            "points": [
                {"who": name, "share": share, **asdict(load)} for name, share, load in found.points
            ],
            "verdicts": found.verdicts(),
        }
        self._save(f"features-{found.size}", document, _curves(found))

    def scored(self, found: Scored) -> None:
        """Scores, the starts with them."""
        loads = [("score", load) for load in found.loads]
        loads += [("on the way to the highest", load) for load in found.tried]
        self._print("/score, 3 views, 50 features, boosted model", loads)
        highest, growth = found.highest(50.0), found.growth()
        said = [
            f"highest rate with p99 < 50 ms: {highest.rate:.0f}/s" if highest else "no rate holds",
            f"last minute's p99 against the first's: {found.drift():+.1%} (at most +10 %)",
            "memory: " + ("not sampled" if growth is None else f"{growth:+.2%} (less than +2 %)"),
            "first request after ready, ms: " + ", ".join(f"{one:.1f}" for one in self._firsts),
        ]
        for line in said:
            self._console.print(f"  {line}")
        document = {
            "loads": [asdict(load) for load in found.loads],
            "tried": [asdict(load) for load in found.tried],
            "highest": highest.rate if highest else None,
            "drift": found.drift(),
            "memory_growth": growth,
            "memory_mib": [one / _MIB for one in found.memory],
            "first_ms": self._firsts,
        }
        self._save("score", document, _minutes(found))

    def _print(self, title: str, loads: Sequence[tuple[str, Load]]) -> None:
        table = Table(title=title)
        names = ("asked/s", "answered", "requests", "p50 ms", "p99", "p99.9", "worst", "errors")
        for name in ("", *names, "late p99", "load", "server", "Redis"):
            table.add_column(name, justify="right" if name else "left")
        for what, load in loads:
            times = (load.p50, load.p99, load.p999, load.worst)
            table.add_row(
                what,
                f"{load.rate:.0f}" if load.rate else "",
                f"{load.answered:.0f}",
                f"{load.requests}",
                *(f"{one:.2f}" for one in times),
                f"{load.errors}",
                f"{load.late_p99:.2f}",
                *(f"{one:.2f}" for one in (load.generator, load.server, load.store)),
            )
        table.caption = "late: how late requests left; load, server, Redis: processors kept busy"
        self._console.print(table)
        for what, load in loads:
            if load.said:
                self._console.print(f"  {what} {load.rate:.0f}/s: {dict(load.said)}")

    def _save(self, case: str, document: Mapping[str, Any], figure: Figure) -> None:
        path = self._folder / "online.json"
        known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        found = known | {case: {**self._about, **document}}
        path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        mpl.rcParams["svg.hashsalt"] = "online"
        for ending in ("svg", "png"):
            figure.savefig(self._folder / f"online-{case}.{ending}", bbox_inches="tight")


def _curves(found: Compared) -> Figure:
    figure = Figure(figsize=(7, 4))
    axes = figure.subplots()
    for name, colour in _COLOURS.items():
        points = [(load.rate, load) for who, _, load in found.points if who == name]
        for kind, line in (("p50", ":"), ("p99", "-"), ("p999", "--")):
            rates = [rate for rate, _ in points]
            times = [getattr(load, kind) for _, load in points]
            axes.plot(rates, times, line, marker="o", color=colour, label=f"{name} {kind}")
    axes.set_yscale("log")
    axes.set_xlabel("requests a second, constant arrivals")
    axes.set_ylabel("milliseconds from when due")
    axes.set_title(f"{found.size} customers x 3 views x 50 features", loc="left", fontsize=9)
    axes.legend(fontsize=7)
    return figure


def _minutes(found: Scored) -> Figure:
    figure = Figure(figsize=(9, 4))
    left, right = figure.subplots(1, 2)
    first = found.loads[0]
    left.plot(range(1, len(first.minutes) + 1), first.minutes, "-o", color=_COLOURS["feldspar"])
    left.set_xlabel(f"minute at {first.rate:.0f} requests a second")
    left.set_ylabel("p99, milliseconds")
    left.set_ylim(bottom=0)
    loads = sorted([*found.loads, *found.tried], key=lambda one: one.rate)
    right.plot([one.rate for one in loads], [one.p99 for one in loads], "-o", color="#c8553d")
    right.set_yscale("log")
    right.set_xlabel("requests a second")
    right.set_title("p99, milliseconds", loc="left", fontsize=9)
    figure.tight_layout()
    return figure


def _machine() -> dict[str, Any]:
    return {
        "cores": os.cpu_count(),
        "load_before": os.getloadavg(),
        "system": platform.platform(),
        "python": platform.python_version(),
    }

"""Charts of the cases: seconds a run with their range, and figures against rows for a trend."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from bench.figures import spread
from bench.report import CaseReport

_OURS, _OTHERS = "#c8553d", "#8a9ba8"


def draw(case: CaseReport, folder: Path, *, prefix: str) -> None:
    """An SVG and a PNG of the case, in ``folder``."""
    mpl.rcParams["svg.hashsalt"] = prefix
    figure = _trend(case) if case.sizes else _bars(case)
    for ending in ("svg", "png"):
        figure.savefig(folder / f"{prefix}-{case.name}.{ending}", bbox_inches="tight")


def _bars(case: CaseReport) -> Figure:
    found = [(one, seconds) for one in case.measured if (seconds := spread(one.seconds))]
    figure = Figure(figsize=(8, 1.2 + 0.4 * max(1, len(found))))
    axes = figure.subplots()
    for place, (one, seconds) in enumerate(reversed(found)):
        colour = _OURS if one.entry.rival == "feldspar" else _OTHERS
        axes.barh(place, seconds.median, color=colour)
        axes.plot([seconds.low, seconds.high], [place, place], color="black", linewidth=1)
        axes.text(seconds.high, place, f" {seconds.median:.1f}", va="center")
    axes.set_yticks(range(len(found)), [one.entry.label for one, _ in reversed(found)])
    axes.set_xlabel("seconds, median and range")
    axes.set_title(f"{case.name}: {case.about}", loc="left", fontsize=9)
    return figure


def _trend(case: CaseReport) -> Figure:
    figure = Figure(figsize=(9, 6))
    names = ("cpu_seconds", "shuffled_bytes", "peak_bytes", "worker_bytes")
    fits = case.trend()
    for axes, name in zip(figure.subplots(2, 2).flat, names, strict=True):
        unit = 1 if name == "cpu_seconds" else 1 << 20
        points = [
            (rows / 1e6, found.median / unit)
            for rows, one in zip(case.sizes, case.measured, strict=True)
            if (found := spread([getattr(run, name) for run in one.runs]))
        ]
        for point in points:
            axes.plot(*point, "o", color=_OURS)
        fit = fits.get(name.replace("_bytes", "_mib"))
        if fit:
            ends = (0.0, max(case.sizes) / 1e6)
            axes.plot(ends, [fit.base + fit.per_million * end for end in ends], color=_OTHERS)
        axes.set_title(name.replace("_bytes", " MiB").replace("_", " "), loc="left", fontsize=9)
        axes.set_xlabel("million rows")
        axes.set_ylim(bottom=0)
    figure.tight_layout()
    return figure

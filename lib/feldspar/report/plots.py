"""The plots of the page as SVG text, drawn without a display; equal data give equal text."""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, PercentFormatter

from feldspar.report.record import DailyVolume, Day, Reason, TrainingSummary

FEATURES_SHOWN = 15
_BLUE, _RED, _GREY = "#2b6cb0", "#c05621", "#a0aec0"
_STYLE: dict[Any, Any] = {
    "svg.hashsalt": "feldspar",
    "font.size": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#718096",
    "axes.labelcolor": "#2d3748",
    "xtick.color": "#4a5568",
    "ytick.color": "#4a5568",
    "axes.grid": True,
    "grid.color": "#edf2f7",
    "axes.axisbelow": True,
    "legend.frameon": False,
}


def volume(daily: DailyVolume) -> str:
    """Rows a day."""
    with _styled():
        figure, axes = _axes(width=10.2, height=2.2)
        axes.bar(_days(daily.days), np.array([one.rows for one in daily.days]), color=_BLUE)
        axes.set_ylabel("rows a day")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        _dates(axes)
        return _svg(figure)


def share(daily: DailyVolume) -> str:
    """Share of rows a day whose label is true; days without known labels are left out."""
    known = [one for one in daily.days if one.share is not None]
    shares = np.array([one.share for one in known], dtype=np.float64)
    with _styled():
        figure, axes = _axes(width=10.2, height=2.2)
        axes.plot(_days(known), shares, color=_RED)
        axes.set_ylabel(f"share of {daily.label}")
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=1))
        _dates(axes)
        return _svg(figure)


def precision_recall(training: TrainingSummary) -> str:
    """Precision over recall on the test window, beside a constant answer."""
    with _styled():
        figure, axes = _axes(width=4.9, height=3.3)
        recall, precision = zip(*training.precision_recall, strict=True)
        axes.plot(recall, precision, color=_BLUE)
        if "prevalence" in training.metrics:
            constant = training.metrics["prevalence"]
            axes.axhline(constant, linestyle="--", color=_GREY, label="constant answer")
            axes.legend()
        axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))
        return _svg(figure)


def calibration(training: TrainingSummary) -> str:
    """Share of true labels over mean probability, bin by bin; the diagonal is honest."""
    with _styled():
        figure, axes = _axes(width=4.9, height=3.3)
        mean, true, _ = zip(*training.calibration, strict=True)
        limit = max(*mean, *true, 1e-6) * 1.05
        axes.plot([0, limit], [0, limit], linestyle="--", color=_GREY, label="calibrated")
        axes.plot(mean, true, marker="o", markersize=4, color=_BLUE)
        axes.set(xlabel="mean probability", ylabel="share of true labels")
        axes.legend()
        return _svg(figure)


def importance(training: TrainingSummary) -> str:
    """Loss of the model's figure when a feature is shuffled, the greatest few."""
    return _bars(
        training.importance[:FEATURES_SHOWN],
        label=f"loss of {training.optimised.replace('_', ' ')} when shuffled",
        color=_BLUE,
    )


def quarantine(reasons: Sequence[Reason]) -> str:
    """Quarantined rows by table and reason."""
    ranked = sorted(reasons, key=lambda one: -one.rows)
    pairs = [(f"{one.table}: {one.reason}", float(one.rows)) for one in ranked]
    return _bars(pairs, label="rows", color=_RED)


def _bars(pairs: Sequence[tuple[str, float]], *, label: str, color: str) -> str:
    with _styled():
        figure, axes = _axes(width=9.6, height=0.7 + 0.24 * len(pairs))
        names = [name for name, _ in pairs][::-1]
        axes.barh(names, [value for _, value in pairs][::-1], color=color, height=0.7)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel(label)
        return _svg(figure)


def _styled() -> AbstractContextManager[None]:
    return rc_context(_STYLE)


def _axes(*, width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()


def _days(days: Sequence[Day]) -> npt.NDArray[np.datetime64]:
    return np.array([one.day for one in days], dtype="datetime64[D]")


def _dates(axes: Axes) -> None:
    locator = AutoDateLocator()  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]


def _svg(figure: Figure) -> str:
    FigureCanvasSVG(figure)
    target = io.StringIO()
    # without a date: the same run gives the same page
    figure.savefig(target, format="svg", transparent=True, metadata={"Date": None})
    return target.getvalue()

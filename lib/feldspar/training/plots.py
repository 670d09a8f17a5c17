"""Curves as PNG files, drawn without a display."""

from __future__ import annotations

import io
from collections.abc import Mapping

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from feldspar.training.evaluate import Curves, Metrics

_SHOWN_FEATURES = 20


def draw(metrics: Metrics, curves: Curves) -> Mapping[str, bytes]:
    """File name to PNG: precision-recall, calibration, importance."""
    return {
        "precision_recall.png": _precision_recall(metrics, curves),
        "calibration.png": _calibration(metrics, curves),
        "importance.png": _importance(curves),
    }


def _precision_recall(metrics: Metrics, curves: Curves) -> bytes:
    figure = Figure(figsize=(5, 4), layout="constrained")
    axes = figure.add_subplot()
    recall, precision = zip(*curves.precision_recall, strict=True)
    axes.plot(recall, precision)
    axes.axhline(metrics.prevalence, linestyle="--", color="grey", label="constant answer")
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))
    axes.set_title(f"average precision {metrics.average_precision:.3f}")
    axes.legend()
    return _png(figure)


def _calibration(metrics: Metrics, curves: Curves) -> bytes:
    figure = Figure(figsize=(5, 4), layout="constrained")
    axes = figure.add_subplot()
    mean, share, _ = zip(*curves.calibration, strict=True)
    limit = max(*mean, *share, 1e-6) * 1.05
    axes.plot([0, limit], [0, limit], linestyle="--", color="grey", label="honest")
    axes.plot(mean, share, marker="o")
    axes.set(xlabel="mean probability", ylabel="share of true labels")
    axes.set_title(f"calibration, Brier {metrics.brier:.4f}")
    axes.legend()
    return _png(figure)


def _importance(curves: Curves) -> bytes:
    shown = curves.importance[:_SHOWN_FEATURES][::-1]
    figure = Figure(figsize=(7, 1 + 0.25 * len(shown)), layout="constrained")
    axes = figure.add_subplot()
    axes.barh([name for name, _ in shown], [loss for _, loss in shown])
    axes.set(xlabel="loss of the metric when the column is shuffled")
    return _png(figure)


def _png(figure: Figure) -> bytes:
    FigureCanvasAgg(figure)
    target = io.BytesIO()
    figure.savefig(target, format="png", dpi=100)
    return target.getvalue()

"""Figures of a model on one period: ranking, cards found a day, calibration, importance.

The protocol of card precision is that of the Fraud Detection Handbook (ULB Machine Learning
Group), chapter 4: cards that an investigator confirmed on a day are not shown to him again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score

from feldspar.compute.columns import Bools, Doubles, Longs
from feldspar.compute.scoring import Classifier, probabilities
from feldspar.errors import InputError
from feldspar.training.periods import Span
from feldspar.training.samples import Sample

CARDS_A_DAY = 100
_BINS = 10
_CURVE_POINTS = 200
_IMPORTANCE_ROWS = 10_000

Metric = Literal["average_precision", "auc"]


@dataclass(frozen=True)
class Metrics:
    """How well a model ranks and how honest its probabilities are.

    Attributes:
        auc: area under the ROC curve.
        average_precision: step-wise area under the precision-recall curve.
        card_precision_100: see ``card_precision``; None without a card column or with a
            test period that is a sample.
        brier: mean squared error of the probabilities, 0 is best.
        prevalence: share of true labels, what a constant's average precision is.
        rows: rows judged.
        positives: those whose label is true.
    """

    auc: float
    average_precision: float
    card_precision_100: float | None
    brier: float
    prevalence: float
    rows: int
    positives: int

    def of(self, metric: Metric) -> float:
        """The figure that a model is optimised for."""
        return self.auc if metric == "auc" else self.average_precision

    def as_floats(self) -> dict[str, float]:
        """Name to figure, without those that have no answer."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {name: float(value) for name, value in values.items() if value is not None}


@dataclass(frozen=True)
class Curves:
    """Data of plots.

    Attributes:
        precision_recall: (recall, precision), at most some 200 points, recall rising.
        calibration: (mean probability, share of true labels, weight) per bin of equal count.
        importance: feature to the loss of the model's metric when its column is shuffled,
            greatest first.
    """

    precision_recall: tuple[tuple[float, float], ...]
    calibration: tuple[tuple[float, float, float], ...]
    importance: tuple[tuple[str, float], ...]


def measure(sample: Sample, scores: Doubles, *, span: Span, complete: bool) -> Metrics:
    """All figures of scores on one period.

    Args:
        sample: rows of the period, known cards already removed.
        scores: P(label), shape (n,).
        span: the period; its days count from its start.
        complete: whether ``sample`` holds all rows of the period, not a choice of them.

    Raises:
        InputError: the rows hold one class only.
    """
    cards = None
    if sample.card is not None and complete:
        day = span.day(sample.time)
        cards = card_precision(day, sample.card, sample.label, scores=scores)
    error = np.average((scores - sample.label) ** 2, weights=sample.weight) if len(sample) else 0.0
    return Metrics(
        auc=metric_of("auc", sample, scores),
        average_precision=metric_of("average_precision", sample, scores),
        card_precision_100=cards,
        brier=float(error),
        prevalence=sample.prevalence,
        rows=len(sample),
        positives=sample.positives,
    )


def metric_of(metric: Metric, sample: Sample, scores: Doubles) -> float:
    """One figure of scores, shape (n,).

    Raises:
        InputError: the rows hold one class only.
    """
    if not 0 < sample.positives < len(sample):
        text = f"{len(sample)} rows to judge by, {sample.positives} with the label true"
        raise InputError(text, hint="both classes are needed: longer periods, or more data")
    rank = roc_auc_score if metric == "auc" else average_precision_score
    return float(rank(sample.label, scores, sample_weight=sample.weight))


def card_precision(
    day: Longs, card: Longs, label: Bools, *, scores: Doubles, cards_a_day: int = CARDS_A_DAY
) -> float:
    """Mean over days of the share of the day's ``cards_a_day`` most suspicious that are bad.

    A card has the highest score of its day; one found bad is not looked at on later days.
    Equal scores are taken in the order of card codes. All arrays have the shape (n,).
    """
    rows = pd.DataFrame({"day": day, "card": card, "label": label, "score": scores})
    found: set[int] = set()
    shares = []
    for _, of_day in rows.groupby("day", sort=True):
        cards = of_day[~of_day["card"].isin(found)].groupby("card").max()
        top = cards.sort_values("score", ascending=False, kind="stable").head(cards_a_day)
        bad = top.index[top["label"]]
        shares.append(len(bad) / cards_a_day)
        found.update(int(one) for one in bad)
    return float(np.mean(shares)) if shares else 0.0


def curves(estimator: Classifier, sample: Sample, scores: Doubles, *, metric: Metric) -> Curves:
    """Data of the plots on one period."""
    return Curves(
        precision_recall=_precision_recall(sample, scores),
        calibration=_calibration(sample, scores),
        importance=_importance(estimator, sample, metric=metric),
    )


def _precision_recall(sample: Sample, scores: Doubles) -> tuple[tuple[float, float], ...]:
    weight = sample.weight
    precision, recall, _ = precision_recall_curve(sample.label, scores, sample_weight=weight)
    step = max(1, len(recall) // _CURVE_POINTS)
    points = zip(recall[::-1][::step], precision[::-1][::step], strict=True)
    return tuple((float(one), float(other)) for one, other in points)


def _calibration(sample: Sample, scores: Doubles) -> tuple[tuple[float, float, float], ...]:
    bins = []
    for rows in np.array_split(np.argsort(scores, kind="stable"), _BINS):
        if len(rows):
            weight = sample.weight[rows]
            mean = float(np.average(scores[rows], weights=weight))
            share = float(np.average(sample.label[rows], weights=weight))
            bins.append((mean, share, float(weight.sum())))
    return tuple(bins)


def _importance(
    estimator: Classifier, sample: Sample, *, metric: Metric
) -> tuple[tuple[str, float], ...]:
    """Permutation importance (Breiman 2001), one seeded shuffle of each column."""
    random = np.random.default_rng(0)
    few = _some(sample, random)
    base = metric_of(metric, few, probabilities(estimator, few.features))
    losses: dict[str, float] = {}
    for name in few.features.columns:
        shuffled = few.features.copy()
        shuffled[name] = random.permutation(shuffled[name].to_numpy())
        losses[str(name)] = base - metric_of(metric, few, probabilities(estimator, shuffled))
    return tuple(sorted(losses.items(), key=lambda pair: -pair[1]))


def _some(sample: Sample, random: np.random.Generator) -> Sample:
    """At most some ten thousand rows, with all of the rarer class."""
    if len(sample) <= _IMPORTANCE_ROWS:
        return sample
    rare = sample.label == (sample.positives * 2 <= len(sample))
    room = max(_IMPORTANCE_ROWS - int(rare.sum()), _IMPORTANCE_ROWS // 10)
    return sample.where(rare | (random.random(len(sample)) < room / int((~rare).sum())))


def constant_baseline(metric: Metric, prevalence: float) -> float:
    """What answering the same probability to everything scores."""
    return 0.5 if metric == "auc" else prevalence


def as_json(metrics: Metrics, data: Curves) -> Mapping[str, object]:
    """Figures and curves as JSON values."""
    return {
        "metrics": metrics.as_floats(),
        "precision_recall": data.precision_recall,
        "calibration": data.calibration,
        "importance": data.importance,
    }

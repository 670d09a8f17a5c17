"""The rows that scikit-learn sees, as columns: features, labels, weights, times, cards.

Rows are chosen by time and by when their label was known; see ``training.periods``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from feldspar.compute.columns import Bools, Doubles, Longs
from feldspar.training.periods import Periods, Span


@dataclass(frozen=True, eq=False)
class Sample:
    """n rows of a training set.

    Attributes:
        features: float64, n rows, one column per feature; missing is NaN.
        label: bool, shape (n,).
        weight: float64, shape (n,): how many rows of the spine each stands for.
        time: event times, int64 UTC microseconds, shape (n,).
        known: when each label was known, the same.
        card: codes of the card column, int64, shape (n,); None where the model names none.
    """

    features: pd.DataFrame
    label: Bools
    weight: Doubles
    time: Longs
    known: Longs
    card: Longs | None = None

    def __len__(self) -> int:
        return len(self.label)

    def where(self, rows: Bools) -> Sample:
        """Only the marked rows."""
        return Sample(
            features=self.features[rows],
            label=self.label[rows],
            weight=self.weight[rows],
            time=self.time[rows],
            known=self.known[rows],
            card=None if self.card is None else self.card[rows],
        )

    def within(self, span: Span, *, known_by: int) -> Sample:
        """Rows of a span whose label was known by then (UTC microseconds)."""
        return self.where(span.contains(self.time) & (self.known <= known_by))

    @property
    def positives(self) -> int:
        """Rows whose label is true."""
        return int(self.label.sum())

    @property
    def prevalence(self) -> float:
        """Weighted share of rows whose label is true; 0 without rows."""
        return float(np.average(self.label, weights=self.weight)) if len(self) else 0.0


def without_known_cards(judged: Sample, rows: Sample, *, learnt: Span, span: Span) -> Sample:
    """``judged`` without the cards that were known as compromised before each of its days.

    A bank blocks such a card, so finding it again proves nothing. Before day d of ``span``
    those are known which were compromised since ``learnt`` began and up to the label delay
    before that day, ``learnt`` itself included (the published protocol).

    Args:
        judged: rows of ``span``.
        rows: rows of ``learnt`` and of the delay after it; positives are enough.
        learnt: what the judged model was fitted on.
        span: the period judged; the delay lies between the two.
    """
    if judged.card is None or rows.card is None:
        return judged
    delay = span.start - learnt.end
    found = rows.label & (rows.time >= learnt.start)
    # a fraud of the learnt period counts from the first day on, a later one ``delay`` after it
    first_day = np.maximum(span.day(rows.time[found] + delay) + 1, 0)
    first_day[rows.time[found] < learnt.end] = 0
    cards = rows.card[found]
    size = int(max(judged.card.max(initial=-1), cards.max(initial=-1))) + 1
    known_from = np.full(size, np.iinfo(np.int64).max)
    np.minimum.at(known_from, cards, first_day)
    return judged.where(span.day(judged.time) < known_from[judged.card])


@dataclass(frozen=True, eq=False)
class Samples:
    """A training set by period; validation and test are as the published protocol judges."""

    search: Sample
    validate: Sample
    fit: Sample
    test: Sample


def by_period(rows: Sample, periods: Periods) -> Samples:
    """Splits rows; a label counts only where it was known when its period's model started."""
    at_validation, at_test = periods.validate.start, periods.test.start
    validate = rows.within(periods.validate, known_by=at_test)
    test = rows.within(periods.test, known_by=periods.cut)
    return Samples(
        search=rows.within(periods.search, known_by=at_validation),
        validate=without_known_cards(validate, rows, learnt=periods.search, span=periods.validate),
        fit=rows.within(periods.fit, known_by=at_test),
        test=without_known_cards(test, rows, learnt=periods.fit, span=periods.test),
    )


Progress = Callable[[str], None]
"""Told one line at a time how far a long step is."""

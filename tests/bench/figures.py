"""Medians with their range, ratios pair by pair, and whether growth follows the rows."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Spread:
    """Median, lowest and highest of some figures."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.low:.2f}-{self.high:.2f})"

    def as_document(self) -> dict[str, float]:
        return asdict(self)


def spread(values: Sequence[float]) -> Spread | None:
    """None where there is no figure.

    >>> str(spread([3.0, 1.0, 2.0]))
    '2.00 (1.00-3.00)'
    """
    if not values:
        return None
    return Spread(statistics.median(values), min(values), max(values))


def ratio(over: Sequence[float], under: Sequence[float]) -> Spread | None:
    """Ratios of runs of the same round: what the machine did to both falls out.

    >>> ratio([2.0, 4.0], [1.0, 2.0])
    Spread(median=2.0, low=2.0, high=2.0)
    """
    return spread([one / other for one, other in zip(over, under, strict=False) if other > 0])


@dataclass(frozen=True)
class Line:
    """Least-squares line through figures at some sizes.

    Attributes:
        base, per_million: the line; figures a million rows.
        deviation: the largest distance of a figure from the line, relative to the line.
    """

    base: float
    per_million: float
    deviation: float


def line(rows: Sequence[int], values: Sequence[float]) -> Line | None:
    """None where there are fewer than three sizes, or nothing to fit.

    >>> line([1_000_000, 2_000_000, 4_000_000], [3.0, 4.0, 6.0])
    Line(base=2.0, per_million=1.0, deviation=0.0)
    """
    if len(rows) < 3 or not any(values):
        return None
    millions = [count / 1e6 for count in rows]
    slope, base = statistics.linear_regression(millions, values)
    fitted = [base + slope * million for million in millions]
    deviation = max(
        abs(value - fit) / abs(fit) for value, fit in zip(values, fitted, strict=True) if fit
    )
    return Line(round(base, 6), round(slope, 6), round(deviation, 6))

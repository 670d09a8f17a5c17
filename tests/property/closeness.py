"""How near an engine's answer must be to the oracle's."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from feldspar.compute.windows.functions import AggregationPlan
from property.oracle import Value


def difference(
    item: AggregationPlan, answer: Value, expected: Value, rows: Sequence[Mapping[str, Value]]
) -> str:
    """Nothing, or what is wrong with ``answer``.

    Counts, first, last, groups, minima and maxima bit for bit; sums and means within 1e-9 of
    sum(|x|); variances within 1e-9 of their own size and the rounding of squares of deviations;
    approximate functions within the bounds that docs/time-and-windows.md states.
    """
    if answer is None or expected is None:
        same = answer is expected
    elif isinstance(expected, str) or item.by is not None:
        same = answer == expected or (answer != answer and expected != expected)  # noqa: PLR0124
    elif item.function == "approx_distinct":
        same = abs(answer - expected) <= 1 + 0.05 * expected
    elif math.isnan(expected) or not math.isfinite(expected):
        same = answer == expected or (math.isnan(answer) and math.isnan(expected))
    elif item.function == "approx_quantile":
        same = abs(answer - expected) <= abs(expected) / 128
    elif item.function in ("count", "min", "max", "first", "last"):
        same = answer == expected
    else:
        same = answer == expected or abs(answer - expected) <= tolerance(item, abs(expected), rows)
    return "" if same else f"{item}: {answer!r}, expected {expected!r}"


def tolerance(item: AggregationPlan, expected: float, rows: Sequence[Mapping[str, Value]]) -> float:
    """The greatest difference that rounding may make over the given rows."""
    values = [row[item.argument] for row in rows] if item.argument is not None else []
    sizes = [abs(value) for value in values if value is not None and math.isfinite(value)]
    if item.function in ("sum", "avg"):
        return 1e-9 * math.fsum(sizes)
    unit = max(sizes, default=0.0) * 2**-50
    if item.function == "var":
        return 1e-9 * expected + unit * unit * len(sizes) + unit * math.sqrt(expected)
    return 1e-9 * expected + unit * math.sqrt(len(sizes) + 1)

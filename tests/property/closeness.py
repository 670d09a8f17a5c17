"""How near an engine's answer must be to the oracle's."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pyarrow as pa

from feldspar.compute.windows.functions import AggregationPlan
from feldspar.compute.windows.plan import WindowPlan
from property import oracle
from property.oracle import Question, Value, Version


def wrong_answers(
    plan: WindowPlan, asked: Sequence[Question], rows: Sequence[Version], answers: pa.Table
) -> list[str]:
    """What differs from the oracle's in an engine's answers to these questions, in their order."""
    found = []
    for item in plan.aggregations:
        whole = answers[item.name].type == pa.int64()
        for question, answer in zip(asked, answers[item.name].to_pylist(), strict=True):
            expected = oracle.window(question, rows, item, plan.rule)
            pool = [row.values for row in rows] + [question.own]
            wrong = difference(item, answer, expected, pool)
            if item.function in ("first", "last") and item.argument == "risky":
                # a boolean stays one
                wrong = "" if answer is expected else f"{item}: {answer!r}, expected {expected!r}"
            elif not whole and item.function in ("min", "max") and isinstance(expected, int):
                wrong = difference(item, answer, float(expected), pool)
            found += [f"{question}: {wrong}"] if wrong else []
    return found


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

"""Functions of one window's values in plain Python: the last step of ``online``.

Values come in the order of their events, without nulls. For many windows at once: ``partial``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from math import isnan, nan, sqrt
from operator import add
from typing import Any

from feldspar.compute.windows import distinct, quantile
from feldspar.compute.windows.functions import AggregationPlan, Function

Values = Sequence[Any]


def answer(item: AggregationPlan, values: Values) -> Any:
    """The function's answer, or the default where there is none."""
    plain = _FUNCTIONS.get(item.function)
    found = _CHOSEN[item.function](values, item) if plain is None else plain(values)
    return item.default if found is None else found


def group_answer(item: AggregationPlan, values: Values, groups: Values) -> Any:
    """The ``place``-th greatest group, or its function's answer.

    Args:
        item: has a ``by``.
        values: of the events, None where the argument is null; for ``count()`` anything else.
        groups: of the events; those of None are left out.
    """
    held: dict[Any, list[Any]] = {}
    for value, group in zip(values, groups, strict=True):
        if group is not None:
            members = held.setdefault(group, [])
            if value is not None:
                members.append(value)
    found = [(group, _GROUPED[item.function](one)) for group, one in held.items()]
    ranked = sorted((one for one in found if one[1] is not None), key=_from_the_greatest)
    if len(ranked) < item.place:
        return item.default
    group, value = ranked[item.place - 1]
    return group if item.gives == "group" else value


def _from_the_greatest(found: tuple[Any, Any]) -> tuple[bool, Any, Any]:
    group, value = found
    text = group.encode() if isinstance(group, str) else group
    # NaN is greater than every other number, as in comparisons of the expression language
    return (False, 0, text) if isnan(value) else (True, -value, text)


def _sum(values: Values) -> float | None:
    return float(sum(values)) if values else None


def _avg(values: Values) -> float | None:
    return float(sum(values)) / len(values) if values else None


def _min(values: Values) -> Any:
    return _extreme(min, values)


def _max(values: Values) -> Any:
    return _extreme(max, values)


def _extreme(function: Callable[[Values], Any], values: Values) -> Any:
    if not values:
        return None
    # cheap where there is no NaN: only a sum that is NaN is looked into
    if isnan(sum(values)) and any(isnan(value) for value in values):
        return nan
    return function(values)


def _variance(values: Values) -> float | None:
    if len(values) < 2:
        return None
    mean = sum(values) / len(values)
    return float(sum((value - mean) ** 2 for value in values) / (len(values) - 1))


def _stddev(values: Values) -> float | None:
    variance = _variance(values)
    return None if variance is None else sqrt(variance)


_FUNCTIONS: Mapping[Function, Callable[[Values], Any]] = {
    "count": len,
    "sum": _sum,
    "avg": _avg,
    "min": _min,
    "max": _max,
    "var": _variance,
    "stddev": _stddev,
}


def _first(values: Values, item: AggregationPlan) -> Any:
    return values[item.place - 1] if len(values) >= item.place else None


def _last(values: Values, item: AggregationPlan) -> Any:
    return values[-item.place] if len(values) >= item.place else None


def _distinct(values: Values, _: AggregationPlan) -> int:
    return distinct.estimate(distinct.registers(values))


def _quantile(values: Values, item: AggregationPlan) -> float | None:
    return quantile.quantile_of(Counter(map(quantile.key_of, values)), item.quantile)


_CHOSEN: Mapping[Function, Callable[[Values, AggregationPlan], Any]] = {
    "first": _first,
    "last": _last,
    "approx_distinct": _distinct,
    "approx_quantile": _quantile,
}


def _total(values: Values) -> float:
    # one after the other: all engines must round alike, or they would rank groups differently
    return reduce(add, values, 0.0)


def _group_sum(values: Values) -> float | None:
    return _total(values) if values else None


def _group_avg(values: Values) -> float | None:
    return _total(values) / len(values) if values else None


def _group_variance(values: Values) -> float | None:
    if len(values) < 2:
        return None
    mean = _total(values) / len(values)
    return _total([(value - mean) * (value - mean) for value in values]) / (len(values) - 1)


def _group_stddev(values: Values) -> float | None:
    variance = _group_variance(values)
    return None if variance is None else sqrt(variance)


_GROUPED: Mapping[Function, Callable[[Values], Any]] = {
    "count": len,
    "sum": _group_sum,
    "avg": _group_avg,
    "min": _min,
    "max": _max,
    "var": _group_variance,
    "stddev": _group_stddev,
}

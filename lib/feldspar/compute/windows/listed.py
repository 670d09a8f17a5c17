"""First, last, approximate counts and quantiles, greatest groups: many windows at once.

They go through the members of each window (members.py). In plain Python for one: ``values``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, cast

import numpy as np

from feldspar.compute.columns import Column, Doubles, Longs, Numbers
from feldspar.compute.windows import distinct, quantile
from feldspar.compute.windows.functions import AggregationPlan, MergedFunction
from feldspar.compute.windows.members import Members

Columns = Callable[[str | None], Column]


def list_windows(
    items: Sequence[AggregationPlan], columns: Columns, parts: Iterable[Members]
) -> dict[str, Column]:
    """The answer of each item for every question, part after part.

    Args:
        items: what to answer.
        columns: an aggregated column by name, over all sources that members name.
        parts: the members of the windows.
    """
    groups: dict[tuple[str | None, str | None, str], list[AggregationPlan]] = {}
    for item in items:
        groups.setdefault((item.argument, item.by, item.function), []).append(item)
    made = [_maker(group, columns) for group in groups.values()]
    found: dict[str, list[Column]] = {item.name: [] for item in items}
    for part in parts:
        for make in made:
            for name, answer in make(part).items():
                found[name].append(answer)
    return {name: _joined(answers) for name, answers in found.items()}


Maker = Callable[[Members], Mapping[str, Column]]


def _maker(items: Sequence[AggregationPlan], columns: Columns) -> Maker:
    """What answers a group of items of one function, argument and ``by`` for a part."""
    first = items[0]
    column = columns(first.argument)
    if first.by is not None:
        by = columns(first.by)
        return lambda part: _greatest(part, items, column, by)
    if first.function == "approx_distinct":
        places = distinct.places(distinct.hashes(column))
        return lambda part: _distinct(part, items, column, places)
    if first.function == "approx_quantile":
        keys = quantile.keys_of(column.values.astype(np.float64))
        return lambda part: _quantiles(part, items, column, keys)
    return lambda part: _nth(part, items, column)


def _nth(part: Members, items: Sequence[AggregationPlan], column: Column) -> dict[str, Column]:
    target, source = part.having(column)
    count, start = _runs(target, part.size)
    answers = {}
    for item in items:
        there = count >= item.place
        offset = item.place - 1 if item.function == "first" else count - item.place
        values = _zeros(part.size, column.values)
        values[there] = column.values[source[(start + offset)[there]]]
        answers[item.name] = Column(values, there, column.texts)
    return answers


def _distinct(
    part: Members,
    items: Sequence[AggregationPlan],
    column: Column,
    places: tuple[Longs, Longs],
) -> dict[str, Column]:
    target, source = part.having(column)
    register = target * distinct.REGISTERS + places[0][source]
    held = np.sort(register * distinct.RANKS + places[1][source])
    last = np.diff(held // distinct.RANKS, append=-1) != 0
    question = held[last] // (distinct.RANKS * distinct.REGISTERS)
    slot = question * distinct.RANKS + held[last] % distinct.RANKS
    counts = np.bincount(slot, minlength=part.size * distinct.RANKS).reshape(-1, distinct.RANKS)
    counts[:, 0] = distinct.REGISTERS - counts.sum(axis=1)
    answer = Column(_estimates(counts))
    return {item.name: answer for item in items}


def _estimates(counts: Longs) -> Longs:
    known: dict[bytes, int] = {}
    found = np.zeros(len(counts), dtype=np.int64)
    for place, row in enumerate(counts):
        key = row.tobytes()
        if key not in known:
            known[key] = distinct.estimate_of(row.tolist())
        found[place] = known[key]
    return found


def _quantiles(
    part: Members, items: Sequence[AggregationPlan], column: Column, keys: Longs
) -> dict[str, Column]:
    target, source = part.having(column)
    key = keys[source]
    key = key[np.lexsort((key, target))]
    count, start = _runs(target, part.size)
    there = count > 0
    greatest = key[(start + count - 1)[there]]
    answers = {}
    for item in items:
        rank = np.floor(item.quantile * (count - 1)).astype(np.int64)
        chosen = key[(start + rank)[there]]
        chosen = np.where(greatest == quantile.NOT_A_NUMBER, greatest, chosen)
        values = np.zeros(part.size)
        values[there] = quantile.numbers_of(chosen)
        answers[item.name] = Column(values, there)
    return answers


def _greatest(
    part: Members, items: Sequence[AggregationPlan], column: Column, by: Column
) -> dict[str, Column]:
    """Groups of each question by their function's answer, descending, then by their text."""
    target, source = part.having(by)
    group, of = _groups(target, by.values[source])
    value, known = _group_values(items[0].function, column, source, of, len(group.target))
    group = _Groups(group.target[known], group.code[known])
    value = value[known]
    downwards = -value if value.dtype == np.float64 else ~value
    nan_first = ~np.isnan(value.astype(np.float64))
    order = np.lexsort((group.code, downwards, nan_first, group.target))
    value, code = value[order], group.code[order]
    count, start = _runs(group.target, part.size)
    answers = {}
    for item in items:
        there = count >= item.place
        chosen: Numbers = code if item.gives == "group" else value
        values = _zeros(part.size, chosen)
        values[there] = chosen[(start + item.place - 1)[there]]
        answers[item.name] = Column(values, there, by.texts if item.gives == "group" else None)
    return answers


class _Groups:
    """Groups, ascending by question and code."""

    def __init__(self, target: Longs, code: Longs) -> None:
        self.target, self.code = target, code


def _groups(target: Longs, codes: Numbers) -> tuple[_Groups, Longs]:
    """The groups that there are, and which one each member is in."""
    different, code = np.unique(codes, return_inverse=True)
    many = max(1, len(different))
    key, of = np.unique(target * many + code, return_inverse=True)
    return _Groups(key // many, different[key % many].astype(np.int64, copy=False)), of


def _group_values(
    function: Any, column: Column, source: Longs, of: Longs, size: int
) -> tuple[Numbers, Any]:
    """Each group's answer and whether there is one; added up in the order of the members."""
    if column.valid is not None:
        kept = column.valid[source]
        source, of = source[kept], of[kept]
    values = column.values[source]
    count = np.bincount(of, minlength=size)
    some = count > 0
    if function == "count":
        return count, np.ones(size, dtype=np.bool_)
    if function in ("min", "max"):
        return _extremes(function, values, of, size), some
    total = np.bincount(of, weights=values, minlength=size).astype(np.float64)
    if function == "sum":
        return total, some
    mean = total / np.maximum(count, 1)
    if function == "avg":
        return mean, some
    return _spread(function, values, of, mean, count), count > 1


def _extremes(function: MergedFunction, values: Numbers, of: Longs, size: int) -> Numbers:
    order = np.argsort(of, kind="stable")
    found = _zeros(size, values)
    first = np.flatnonzero(np.diff(of[order], prepend=-1))
    fold = np.minimum if function == "min" else np.maximum
    if len(first):
        found[of[order][first]] = fold.reduceat(values[order], first)
    return found


def _spread(
    function: MergedFunction, values: Numbers, of: Longs, mean: Doubles, count: Longs
) -> Doubles:
    off = values - mean[of]
    variance: Doubles = np.bincount(of, weights=off * off, minlength=len(mean)) / np.maximum(
        count - 1, 1
    )
    return variance if function == "var" else np.sqrt(variance)


def _runs(target: Longs, size: int) -> tuple[Longs, Longs]:
    """How many members each question has, and where they start."""
    count = np.bincount(target, minlength=size)
    return count, np.cumsum(count) - count


def _zeros(size: int, like: Numbers) -> Numbers:
    return cast(Numbers, np.zeros(size, dtype=like.dtype))


def _joined(parts: Sequence[Column]) -> Column:
    if not parts:
        return Column(np.zeros(0, dtype=np.int64))
    valid = [
        np.ones(len(one.values), np.bool_) if one.valid is None else one.valid for one in parts
    ]
    return Column(
        np.concatenate([one.values for one in parts]), np.concatenate(valid), parts[0].texts
    )

"""What windows and point-in-time joins mean, as slowly and plainly as it can be said.

It states docs/time-and-windows.md again as code and shares nothing with the engines but the
plans. A difference between it and an engine is a bug in one of the three.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from feldspar.compute.pit.plan import PitPlan
from feldspar.compute.windows.functions import AggregationPlan
from feldspar.compute.windows.rule import WindowRule

Key = tuple[object, ...]
Value = float | int | str | None


@dataclass(frozen=True)
class Version:
    """One stored row: a version of an event, or a row of a plain view."""

    key: Key
    event_time: int
    known_time: int
    batch: int
    position: int
    event_id: int | None = None
    values: Mapping[str, Value] = field(default_factory=dict)
    retracted: bool = False

    @property
    def age(self) -> tuple[int, int, int]:
        """The order of versions of one event."""
        return (self.known_time, self.batch, self.position)


@dataclass(frozen=True)
class Question:
    """One spine row."""

    key: Key
    time: int | None
    own_id: int | None = None
    own: Mapping[str, Value] = field(default_factory=dict)


def window(
    question: Question, versions: Sequence[Version], item: AggregationPlan, rule: WindowRule
) -> Value:
    """The answer of one aggregation for one spine row."""
    if None in question.key or question.time is None:
        return None
    old_edge, new_edge = edges(question.time, item, rule)
    counted = [
        version.values
        for version in sorted(_states(question, versions, rule), key=_order)
        if version.key == question.key
        and not version.retracted
        and old_edge < version.event_time <= new_edge
    ]
    own_in_window = old_edge < question.time <= new_edge
    if question.own_id is not None and rule.request_event == "include" and own_in_window:
        counted.append(question.own)
    answer = _of_groups(item, counted) if item.by is not None else aggregate(item, counted)
    return item.default if answer is None else answer


def edges(time: int, item: AggregationPlan, rule: WindowRule) -> tuple[int, int]:
    """The open old edge and the closed new one, in words of docs/time-and-windows.md."""
    if item.hop_micros == 0:
        return time - rule.delay - item.window_micros, time - rule.delay
    old_edge = _rounded_down(time - rule.delay - item.window_micros, item.hop_micros)
    if rule.delay == 0:
        return old_edge, time
    return old_edge, _rounded_down(time - rule.delay, item.hop_micros)


def aggregate(item: AggregationPlan, counted: Sequence[Mapping[str, Value]]) -> Value:
    """The function over the non-null values, exact where numbers are."""
    if item.argument is None:
        return len(counted)
    values = [row[item.argument] for row in counted if row[item.argument] is not None]
    if item.function in ("first", "last", "count", "approx_distinct"):
        return _of_any_type(item, values)
    if not values:
        return None
    if any(not math.isfinite(value) for value in values):
        return _not_finite(item, values)
    if item.function == "approx_quantile":
        return sorted(values)[math.floor(item.quantile * (len(values) - 1))]
    exact = [Fraction(value) for value in values]
    mean = sum(exact) / len(exact)
    if item.function in ("var", "stddev"):
        if len(exact) < 2:
            return None
        variance = float(sum((value - mean) ** 2 for value in exact) / (len(exact) - 1))
        return variance if item.function == "var" else math.sqrt(variance)
    return {"sum": float(sum(exact)), "avg": float(mean), "min": min(values), "max": max(values)}[
        item.function
    ]


def _of_any_type(item: AggregationPlan, values: Sequence[Value]) -> Value:
    """Counts, and what stands first or last."""
    if item.function == "count":
        return len(values)
    if item.function == "approx_distinct":
        return len({str(value) if value != 0 else "0.0" for value in values})
    in_order = values if item.function == "first" else values[::-1]
    return in_order[item.place - 1] if len(values) >= item.place else None


def _of_groups(item: AggregationPlan, counted: Sequence[Mapping[str, Value]]) -> Value:
    """The ``place``-th greatest group: by its value descending, then by its text."""
    assert item.by is not None
    groups = sorted({row[item.by] for row in counted if row[item.by] is not None}, key=str)
    answers = {
        group: in_doubles(item, [row for row in counted if row[item.by] == group])
        for group in groups
    }
    known = [group for group in groups if answers[group] is not None]
    # a NaN is the greatest number
    ranked = sorted(known, key=lambda one: _descending(answers[one]))
    if len(ranked) < item.place:
        return None
    group = ranked[item.place - 1]
    return group if item.gives == "group" else answers[group]


def _descending(answer: float) -> tuple[bool, float]:
    return (False, 0.0) if math.isnan(answer) else (True, -answer)


def in_doubles(item: AggregationPlan, rows: Sequence[Mapping[str, Value]]) -> Value:
    """A group's value, added up one row after the other, for near ties need the same rounding."""
    if item.argument is None or item.function in ("count", "min", "max"):
        return aggregate(item, rows)
    values = [row[item.argument] for row in rows if row[item.argument] is not None]
    if not values or (item.function in ("var", "stddev") and len(values) < 2):
        return None
    total = 0.0
    for value in values:
        total += value
    mean = total / len(values)
    if item.function in ("sum", "avg"):
        return total if item.function == "sum" else mean
    squares = 0.0
    for value in values:
        squares += (value - mean) * (value - mean)
    variance = squares / (len(values) - 1)
    return variance if item.function == "var" else math.sqrt(variance)


def _order(version: Version) -> tuple[int, int, int, int]:
    return (version.event_time, *version.age)


def _rounded_down(time: int, hop: int) -> int:
    return math.floor(Fraction(time, hop)) * hop


def newest(question: Question, rows: Sequence[Version], plan: PitPlan) -> int | None:
    """The place of the point-in-time row of one spine row, or None."""
    if None in question.key or question.time is None:
        return None
    visible = [
        place
        for place, row in enumerate(rows)
        if row.key == question.key
        and row.event_time <= question.time
        and (plan.as_of == "event" or row.known_time + plan.serving_delay <= question.time)
    ]
    if not visible:
        return None
    best = max(visible, key=lambda place: (rows[place].event_time, *rows[place].age))
    if rows[best].retracted:
        return None
    if plan.ttl is not None and question.time - rows[best].event_time > plan.ttl:
        return None
    return best


def _states(question: Question, versions: Sequence[Version], rule: WindowRule) -> Sequence[Version]:
    """The state at T of each event but the question's own one."""
    assert question.time is not None
    newest_version: dict[object, Version] = {}
    for place, version in enumerate(versions):
        if rule.as_of == "known" and not _visible(version, question.time, rule.serving_delay):
            continue
        if version.event_id is not None and version.event_id == question.own_id:
            continue
        name = ("no id", place) if version.event_id is None else version.event_id
        if name not in newest_version or newest_version[name].age < version.age:
            newest_version[name] = version
    return list(newest_version.values())


def _visible(version: Version, time: int, serving_delay: int) -> bool:
    return version.event_time <= time and version.known_time + serving_delay <= time


def _not_finite(item: AggregationPlan, values: Sequence[float]) -> float | None:
    """IEEE: a NaN spreads; infinities count in sums, minima and maxima."""
    if item.function in ("min", "max"):
        if any(math.isnan(value) for value in values):
            return math.nan
        return min(values) if item.function == "min" else max(values)
    if item.function in ("var", "stddev"):
        return math.nan if len(values) > 1 else None
    if item.function == "approx_quantile":
        in_order = sorted(values) if not any(math.isnan(value) for value in values) else [math.nan]
        return in_order[math.floor(item.quantile * (len(in_order) - 1))]
    return sum(values) if item.function == "sum" else sum(values) / len(values)

"""Windows from tiles: partial states of the older events, the newer ones event by event.

Tiles are absolute states, made anew by each push; a tile knows no known_time, so a tiled view
answers from the clock of its last push on. Which tiles stay good under another definition is said
in ``graph.tiling``.
"""

from __future__ import annotations

import json
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from math import sqrt
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from feldspar.compute.windows import distinct, quantile
from feldspar.compute.windows.functions import AggregationPlan
from feldspar.compute.windows.online import Current, Events, Nothing, OnlineFold, OwnEvent
from feldspar.compute.windows.rule import WindowRule
from feldspar.compute.windows.values import answer
from feldspar.graph.tiling import Part, PartKind, Series

Order = tuple[int, int, int, int]
_SUM = np.add.reduce
Many = Sequence[Any] | npt.NDArray[Any]
"""A short column, or a long one of numbers that is not decoded."""


class Rows(NamedTuple):
    """Events of one entity in their order, each its only version.

    Attributes:
        orders: event_time, known_time, batch and position of each.
        columns: the aggregated columns.
    """

    orders: Sequence[Order]
    columns: Mapping[str, Sequence[Any]]


class Tiles(NamedTuple):
    """The tiles of one series that have events, ascending, and a column for each part."""

    tiles: Sequence[int]
    columns: Sequence[Sequence[Any]]


class StoredTiles(Protocol):
    """The tiles of one series as they lie in the store."""

    def tiles(self) -> Many:
        """Which tiles, ascending."""

    def column(self, place: int) -> Many:
        """The states of a part."""

    def doubles(self, rows: int) -> npt.NDArray[np.float64]:
        """The states of the first ``rows`` parts, a row each."""


class Tiled(Protocol):
    """What the store holds of one entity: tiles of each series, and events that are in none."""

    @property
    def events(self) -> Events: ...

    def series(self, place: int) -> StoredTiles:
        """The tiles of a series, by ascending hop."""


def tile_of(event_time: int, hop: int) -> int:
    """The tile k of which (k hop, (k + 1) hop] holds the time."""
    return -(-event_time // hop) - 1


def make_tiles(rows: Rows, series: Series, clock: int) -> Tiles:
    """The states of every tile that has events and counts at some T from the clock on."""
    members: dict[int, list[int]] = {}
    first = series.first_edge(clock)
    for row, (time, *_) in enumerate(rows.orders):
        if time > first:
            members.setdefault(tile_of(time, series.hop), []).append(row)
    tiles = sorted(members)
    columns = [[_state(part, rows, members[tile]) for tile in tiles] for part in series.parts]
    return Tiles(tiles, columns)


def _state(part: Part, rows: Rows, members: Sequence[int]) -> Any:
    if part.argument is None:
        return len(members)
    column = rows.columns[part.argument]
    held = [row for row in members if column[row] is not None]
    if part.kind in ("first", "last"):
        kept = held[: part.places] if part.kind == "first" else held[-part.places :]
        return json.dumps([[*rows.orders[row], column[row]] for row in kept])
    return _MAKERS[part.kind]([column[row] for row in held])


def _low(values: Sequence[Any]) -> Any:
    return answer(_MIN, values)


def _high(values: Sequence[Any]) -> Any:
    return answer(_MAX, values)


def _total(values: Sequence[Any]) -> float:
    return float(sum(values))


def _mean(values: Sequence[Any]) -> float:
    return _total(values) / len(values) if values else 0.0


def _m2(values: Sequence[Any]) -> float:
    mean = _mean(values)
    # a product, not a power: that of a float raises where this is infinite
    return float(sum((value - mean) * (value - mean) for value in values))


def _registers(values: Sequence[Any]) -> str:
    return json.dumps(sorted(distinct.registers(values).items()))


def _buckets(values: Sequence[Any]) -> str:
    return json.dumps(sorted(Counter(map(quantile.key_of, values)).items()))


_MIN = AggregationPlan("low", "min", "x", 1)
_MAX = AggregationPlan("high", "max", "x", 1)
_MAKERS: Mapping[PartKind, Callable[[Sequence[Any]], Any]] = {
    "count": len,
    "total": _total,
    "low": _low,
    "high": _high,
    "mean": _mean,
    "m2": _m2,
    "registers": _registers,
    "buckets": _buckets,
}


class Head:
    """What of a window lies in no tile: states from ``start`` to ``stop``, and the own event."""

    def __init__(
        self, current: Current | Nothing, start: int, stop: int, own: Mapping[str, Any] | None
    ) -> None:
        self.current, self.start, self.stop, self.own = current, start, stop, own
        self._values: dict[str, Sequence[Any]] = {}

    def values(self, argument: str) -> Sequence[Any]:
        """The values that are not null, in the order of events."""
        found = self._values.get(argument)
        if found is None:
            found = self.current.values(argument, self.start, self.stop)
            if self.own is not None and self.own[argument] is not None:
                found = [*found, self.own[argument]]
            self._values[argument] = found
        return found

    def count(self) -> int:
        """How many events."""
        return self.stop - self.start + (self.own is not None)


class TiledFold:
    """Answers the windows of one tiled view; made once, used for every request.

    Args:
        aggregations: the output columns; each has a hop of one of the series.
        rule: what a window counts.
        series: the tiles that are kept, by ascending hop.
    """

    def __init__(
        self,
        aggregations: Sequence[AggregationPlan],
        rule: WindowRule,
        series: Sequence[Series],
    ) -> None:
        self.rule = rule
        self._events = OnlineFold(aggregations, rule)
        self._series = [(one.hop, one.added, _by_window(aggregations, one)) for one in series]
        self._places = [
            {(part.kind, part.argument): place for place, part in enumerate(one.parts)}
            for one in series
        ]

    def fold(self, tiled: Tiled | None, t: int, own: OwnEvent | None = None) -> dict[str, Any]:
        """Every aggregation at ``t`` (microseconds), no earlier than the push of the tiles."""
        return self.fold_with_newest(tiled, t, own)[0]

    @np.errstate(invalid="ignore", over="ignore")
    def fold_with_newest(
        self, tiled: Tiled | None, t: int, own: OwnEvent | None = None
    ) -> tuple[dict[str, Any], int | None]:
        """``fold``, and about when the newest event happened that is kept.

        Of an event in a tile only the tile is known: the time is where it ends, or the window.
        """
        current = self._events.current(None if tiled is None else tiled.events, t, own)
        if tiled is None:
            return self._events.answers(current, t, own), None
        latest = t - self.rule.delay
        last = bisect_right(current.times, latest)
        newest = list(current.times[last - 1 : last])
        folded = own.arguments if own is not None and self.rule.folds_own else None
        found: dict[str, Any] = {}
        for place, (hop, added, windows) in enumerate(self._series):
            reading = _Reading(tiled.series(place), self._places[place], added)
            if len(reading.tiles):
                newest.append(min((int(reading.tiles[-1]) + 1) * hop, latest))
            for window, items in windows:
                old, new = self.rule.edges(t, window, hop)
                reading.choose(old // hop, new // hop)
                start, stop = bisect_right(current.times, old), bisect_right(current.times, new)
                head = Head(current, start, stop, folded)
                for item in items:
                    value = _FINISH[item.function](item, reading, head)
                    found[item.name] = item.default if value is None else value
        return found, max(newest, default=None)


def _by_window(
    aggregations: Sequence[AggregationPlan], series: Series
) -> list[tuple[int, list[AggregationPlan]]]:
    found: dict[int, list[AggregationPlan]] = {}
    for item in aggregations:
        if item.hop_micros == series.hop:
            found.setdefault(item.window_micros, []).append(item)
    return list(found.items())


class _Reading:
    """Columns of one series, decoded once, and the tiles of one window among them."""

    __slots__ = ("_columns", "_doubles", "_part", "_places", "_stored", "_sums", "tiles")

    def __init__(
        self, stored: StoredTiles, places: Mapping[tuple[PartKind, str | None], int], added: int
    ) -> None:
        self._stored, self._places = stored, places
        self._doubles = stored.doubles(added)
        self._columns: dict[int, Many] = {}
        self._part = slice(0, 0)
        self._sums: list[float] = []
        self.tiles = stored.tiles()

    def choose(self, first: int, end: int) -> None:
        """The window of the tiles from ``first`` until before ``end``."""
        if isinstance(self.tiles, np.ndarray):
            self._part = slice(*self.tiles.searchsorted((first, end)).tolist())
        else:
            self._part = slice(bisect_left(self.tiles, first), bisect_left(self.tiles, end))
        self._sums = _SUM(self._doubles[:, self._part], axis=1).tolist()

    def added(self, kind: PartKind, argument: str | None) -> float:
        """The states of a part in the window, added up."""
        return self._sums[self._places[kind, argument]]

    def part(self, kind: PartKind, argument: str | None) -> Many:
        """The states of a part in the window."""
        place = self._places[kind, argument]
        column = self._columns.get(place)
        if column is None:
            column = self._columns[place] = self._stored.column(place)
        return column[self._part]


def _count(item: AggregationPlan, tiles: _Reading, head: Head) -> int:
    more = head.count() if item.argument is None else len(head.values(item.argument))
    return int(tiles.added("count", item.argument)) + more


def _sum(item: AggregationPlan, tiles: _Reading, head: Head) -> float | None:
    return _total_of(item, tiles, head) if _count(item, tiles, head) else None


def _avg(item: AggregationPlan, tiles: _Reading, head: Head) -> float | None:
    count = _count(item, tiles, head)
    return _total_of(item, tiles, head) / count if count else None


def _total_of(item: AggregationPlan, tiles: _Reading, head: Head) -> float:
    assert item.argument is not None
    return float(tiles.added("total", item.argument) + sum(head.values(item.argument)))


def _extreme(item: AggregationPlan, tiles: _Reading, head: Head) -> Any:
    assert item.argument is not None
    kept = tiles.part("low" if item.function == "min" else "high", item.argument)
    listed = kept.tolist() if isinstance(kept, np.ndarray) else kept
    known = [value for value in listed if value is not None]
    return answer(item, [*known, *head.values(item.argument)])


def _spread(item: AggregationPlan, tiles: _Reading, head: Head) -> float | None:
    """The merge of all tiles at once, and of each other event as a set of one."""
    assert item.argument is not None
    values = np.asarray(head.values(item.argument), dtype=np.float64)
    sizes = np.concatenate((tiles.part("count", item.argument), np.ones(len(values))))
    means = np.concatenate((tiles.part("mean", item.argument), values))
    count = sizes.sum()
    if count < 2:
        return None
    off = means - (sizes * means).sum() / count
    within = tiles.added("m2", item.argument)
    variance = (within + float((sizes * off * off).sum())) / (float(count) - 1)
    return sqrt(variance) if item.function == "stddev" else variance


def _distinct(item: AggregationPlan, tiles: _Reading, head: Head) -> int:
    assert item.argument is not None
    known = [dict(json.loads(text)) for text in tiles.part("registers", item.argument)]
    return distinct.estimate(
        distinct.merged([*known, distinct.registers(head.values(item.argument))])
    )


def _quantile(item: AggregationPlan, tiles: _Reading, head: Head) -> float | None:
    assert item.argument is not None
    buckets = Counter(map(quantile.key_of, head.values(item.argument)))
    for text in tiles.part("buckets", item.argument):
        buckets.update(dict(json.loads(text)))
    return quantile.quantile_of(buckets, item.quantile)


def _nth(item: AggregationPlan, tiles: _Reading, head: Head) -> Any:
    assert item.argument is not None
    kind: PartKind = "first" if item.function == "first" else "last"
    held: list[tuple[Order, Any]] = []
    for text in tiles.part(kind, item.argument):
        held += [((row[0], row[1], row[2], row[3]), row[4]) for row in json.loads(text)]
    values = head.current.with_nulls(item.argument, head.start, head.stop)
    orders = head.current.orders(head.start, head.stop)
    held += [one for one in zip(orders, values, strict=True) if one[1] is not None]
    # an event that becomes visible late may lie among older tiles
    held.sort(key=_by_order)
    found = [value for _, value in held]
    if head.own is not None and head.own[item.argument] is not None:
        found.append(head.own[item.argument])
    return answer(item, found)


def _by_order(held: tuple[Order, Any]) -> Order:
    return held[0]


_FINISH: Mapping[str, Callable[[AggregationPlan, _Reading, Head], Any]] = {
    "count": _count,
    "sum": _sum,
    "avg": _avg,
    "min": _extreme,
    "max": _extreme,
    "var": _spread,
    "stddev": _spread,
    "approx_distinct": _distinct,
    "approx_quantile": _quantile,
    "first": _nth,
    "last": _nth,
}

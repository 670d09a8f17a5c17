"""Tiles of one entity merged with those of more of its events: the state of both sets together.

States only ever grow: nothing is taken out of a tile, so an event may come to it once.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from feldspar.compute.windows import distinct
from feldspar.compute.windows.functions import AggregationPlan
from feldspar.compute.windows.tiles import Tiles
from feldspar.compute.windows.values import answer
from feldspar.graph.tiling import Part, PartKind, Series

State = tuple[Any, ...]
"""One value for each part of a series."""
_MIN = AggregationPlan("low", "min", "x", 1)
_MAX = AggregationPlan("high", "max", "x", 1)


def merge_tiles(old: Tiles, new: Tiles, series: Series, clock: int) -> Tiles:
    """The tiles of two disjoint sets of events that count at some T from the clock on.

    Args:
        old, new: of the same series.
        series: what a tile keeps.
        clock: microseconds; tiles that end before all windows of then are dropped.
    """
    first = series.first_edge(clock) // series.hop
    states = {tile: state for tile, state in _states(old) if tile >= first}
    for tile, state in _states(new):
        if tile >= first:
            known = states.get(tile)
            states[tile] = state if known is None else _merged(series.parts, known, state)
    tiles = sorted(states)
    return Tiles(
        tiles, [[states[tile][place] for tile in tiles] for place in range(len(series.parts))]
    )


def _states(tiles: Tiles) -> zip[tuple[int, State]]:
    return zip(tiles.tiles, zip(*tiles.columns, strict=True), strict=True)


def _merged(parts: Sequence[Part], left: State, right: State) -> State:
    counts = {
        part.argument: (left[place], right[place])
        for place, part in enumerate(parts)
        if part.kind == "count"
    }
    means = {
        part.argument: (left[place], right[place])
        for place, part in enumerate(parts)
        if part.kind == "mean"
    }
    found: list[Any] = []
    for part, mine, other in zip(parts, left, right, strict=True):
        if part.kind in ("mean", "m2"):
            mean, m2 = _moments(counts[part.argument], means[part.argument], (mine, other))
            found.append(mean if part.kind == "mean" else m2)
        elif part.kind in ("first", "last"):
            found.append(_ends(part, mine, other))
        else:
            found.append(_MERGES[part.kind](mine, other))
    return tuple(found)


def _moments(
    counts: tuple[int, int], means: tuple[float, float], m2s: tuple[float, float]
) -> tuple[float, float]:
    """Mean and M2 of both sets by Chan, Golub and LeVeque (1979)."""
    if not all(counts):
        held = 1 if counts[1] else 0
        return means[held], m2s[held]
    share = counts[1] / (counts[0] + counts[1])
    off = means[1] - means[0]
    return means[0] + off * share, m2s[0] + m2s[1] + off * off * counts[0] * share


def _ends(part: Part, left: str, right: str) -> str:
    held = sorted([*json.loads(left), *json.loads(right)], key=_order)
    return json.dumps(held[: part.places] if part.kind == "first" else held[-part.places :])


def _order(held: list[Any]) -> list[Any]:
    return held[:4]


def _added(left: Any, right: Any) -> Any:
    return left + right


def _low(left: Any, right: Any) -> Any:
    return answer(_MIN, [one for one in (left, right) if one is not None])


def _high(left: Any, right: Any) -> Any:
    return answer(_MAX, [one for one in (left, right) if one is not None])


def _registers(left: str, right: str) -> str:
    both = [dict(json.loads(text)) for text in (left, right)]
    return json.dumps(sorted(distinct.merged(both).items()))


def _buckets(left: str, right: str) -> str:
    both = Counter(dict(json.loads(left)))
    both.update(dict(json.loads(right)))
    return json.dumps(sorted(both.items()))


_MERGES: Mapping[PartKind, Callable[[Any, Any], Any]] = {
    "count": _added,
    "total": _added,
    "low": _low,
    "high": _high,
    "registers": _registers,
    "buckets": _buckets,
}

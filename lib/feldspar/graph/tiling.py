"""Which partial states a windowed view keeps online in place of its older events.

A view is tiled when each of its windows has a hop and nothing is ranked: ranks of groups need sums
in the order of events. A tile stays good under another definition of the view that asks for a part
of the same kind, argument and places with the same hop: the argument is a gold column, and other
expressions have other names. A longer window needs older tiles, so it is pushed anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import lcm
from typing import Literal

from feldspar.graph.view import Aggregate, WindowedView
from feldspar.spec.types import ColumnType
from feldspar.times import duration_micros

PartKind = Literal[
    "count", "total", "low", "high", "mean", "m2", "registers", "buckets", "first", "last"
]
NEEDS: dict[str, tuple[PartKind, ...]] = {
    "count": ("count",),
    "sum": ("count", "total"),
    "avg": ("count", "total"),
    "min": ("low",),
    "max": ("high",),
    "variance": ("count", "mean", "m2"),
    "stddev": ("count", "mean", "m2"),
    "approx_distinct": ("registers",),
    "approx_quantile": ("buckets",),
    "first": ("first",),
    "last": ("last",),
}
"""Function to the parts that it is finished from."""
ADDED = ("count", "total", "m2")
"""Kinds whose states of several tiles are plainly added up. They are never null and all of one
type, counts too (exact up to 2 ** 53), so that a window adds up all of them at once."""
_TYPES: dict[PartKind, ColumnType] = {
    "count": ColumnType.DOUBLE,
    "total": ColumnType.DOUBLE,
    "mean": ColumnType.DOUBLE,
    "m2": ColumnType.DOUBLE,
}


@dataclass(frozen=True)
class Part:
    """One column of partial states.

    Attributes:
        kind: what of the values is kept.
        argument: the gold column; None: the events themselves.
        type: of the state; what is no number is JSON text.
        places: how many of the first or last are kept.
    """

    kind: PartKind
    argument: str | None
    type: ColumnType
    places: int = 0

    @property
    def name(self) -> str:
        """Differs whenever states do."""
        return f"{self.kind}({self.argument or ''},{self.places}):{self.type}"


@dataclass(frozen=True)
class Series:
    """The tiles of one hop; tile k covers (k hop, (k + 1) hop].

    Attributes:
        hop: microseconds.
        parts: what is kept of a tile; those that are added up come first.
        reach: how far back of T windows begin before they are rounded, microseconds.
    """

    hop: int
    parts: tuple[Part, ...]
    reach: int

    @property
    def added(self) -> int:
        """How many parts are added up."""
        return sum(part.kind in ADDED for part in self.parts)

    def first_edge(self, clock: int) -> int:
        """Where the oldest tile begins that counts at a clock or later."""
        return (clock - self.reach) // self.hop * self.hop


def tiling(view: WindowedView) -> tuple[Series, ...]:
    """The series of a tiled view by ascending hop; none of a view that is not."""
    if any(not one.hop or one.by is not None for one in view.aggregates):
        return ()
    hops = sorted({duration_micros(one.hop) for one in view.aggregates})
    return tuple(Series(hop, _parts(view, hop), _reach(view, hop)) for hop in hops)


def last_edge(series: tuple[Series, ...], clock: int) -> int:
    """The newest tile edge before a clock that all series have; microseconds.

    Before, not at it: what happens at the clock is an event that a request may bring again.
    """
    common = lcm(*(one.hop for one in series))
    return (clock - 1) // common * common


def _reach(view: WindowedView, hop: int) -> int:
    windows = (one.window for one in view.aggregates if duration_micros(one.hop) == hop)
    return duration_micros(max(windows) + view.delay)


def _parts(view: WindowedView, hop: int) -> tuple[Part, ...]:
    found: dict[tuple[PartKind, str | None], Part] = {}
    for one in view.aggregates:
        if duration_micros(one.hop) != hop:
            continue
        for part in _needed(view, one):
            key = (part.kind, part.argument)
            if key not in found or found[key].places < part.places:
                found[key] = part
    return tuple(sorted(found.values(), key=lambda part: part.kind not in ADDED))


def _needed(view: WindowedView, one: Aggregate) -> Iterator[Part]:
    types = {column.name: column.type for column in view.columns}
    for kind in NEEDS[one.function]:
        places = int(one.parameter or 1) if kind in ("first", "last") else 0
        if kind in ("low", "high"):
            whole = types[one.argument or ""].is_integer
            held = ColumnType.BIGINT if whole else ColumnType.DOUBLE
        else:
            held = _TYPES.get(kind, ColumnType.STRING)
        yield Part(kind, one.argument, held, places)

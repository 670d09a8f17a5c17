"""Tiles and head events of one entity against the oracle, from packed values."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feldspar.compute.windows.functions import AggregationPlan
from feldspar.compute.windows.online import OwnEvent
from feldspar.compute.windows.rule import WindowRule
from feldspar.compute.windows.tiles import TiledFold, tile_of
from feldspar.errors import StoreError
from feldspar.graph.tiling import Part, Series, last_edge, tiling
from feldspar.graph.view import Aggregate, GoldColumn, WindowedView
from feldspar.online.state import empty_state, of_history, pack_state
from feldspar.spec.expression import parse
from feldspar.spec.types import ColumnType
from feldspar.stores.events import StoredEvents
from feldspar.stores.retain import Horizon
from feldspar.stores.tiles import PackedTiles, TileLayout, value_layout
from property import frames, oracle
from property.closeness import difference

TYPES = {
    "amount": ColumnType.DOUBLE,
    "level": ColumnType.BIGINT,
    "risky": ColumnType.BOOLEAN,
    "channel": ColumnType.STRING,
}
NAMES = {"var": "variance"}


@dataclass(frozen=True)
class Case:
    """A tiled view; its times are in microseconds, as those of the frames."""

    items: list[AggregationPlan]
    rule: WindowRule

    @property
    def view(self) -> WindowedView:
        return WindowedView(
            name="view",
            entity="customer",
            keys=("who",),
            table="payments",
            event_key=("id",),
            columns=tuple(GoldColumn(name, parse(name), kind) for name, kind in TYPES.items()),
            derived=(),
            serving_delay=timedelta(microseconds=self.rule.serving_delay),
            definition="{}",
            aggregates=tuple(map(_aggregate, self.items)),
            delay=timedelta(microseconds=self.rule.delay),
            request_event=self.rule.request_event,
        )

    def packed(self, rows: list, clock: int) -> PackedTiles:
        events = StoredEvents(
            [row.event_id for row in rows],
            [row.event_time for row in rows],
            [row.known_time for row in rows],
            [row.batch for row in rows],
            [row.position for row in rows],
            [row.retracted or row.key != frames.KEYS[0] for row in rows],
            {name: [row.values[name] for row in rows] for name in TYPES},
        )
        retention = self.view.retention // timedelta(microseconds=1)
        horizon = Horizon(clock, retention, self.rule.serving_delay)
        layout = value_layout(self.view)
        assert isinstance(layout, TileLayout)
        state = of_history(events, horizon, layout)
        return PackedTiles(layout, pack_state(layout, state, epoch=1, version=1))


def _aggregate(item: AggregationPlan) -> Aggregate:
    of = {"first": item.place, "last": item.place, "approx_quantile": item.quantile}
    return Aggregate(
        item.name,
        NAMES.get(item.function, item.function),
        item.argument,
        timedelta(microseconds=item.window_micros),
        item.default,
        ColumnType.DOUBLE,
        timedelta(microseconds=item.hop_micros),
        of.get(item.function),
    )


@st.composite
def cases(draw: st.DrawFn) -> Case:
    items, rule = draw(frames.hopping())
    kept = [replace(item, hop_micros=item.hop_micros or 1) for item in items if item.by is None]
    first = AggregationPlan("some", "count", None, 6, hop_micros=1)
    return Case([first, *kept], replace(rule, as_of="known"))


@settings(max_examples=frames.CASES, deadline=None)
@given(frames.versions(), cases(), st.integers(-14, 12), st.lists(st.integers(0, 20)), st.randoms())
def test_every_answer_from_the_clock_on_is_the_oracles(rows, case, clock, after, chance) -> None:
    packed = case.packed(rows, clock)
    fold = TiledFold(case.items, case.rule, tiling(case.view))
    for later in (0, *after):
        # a request of an event that the last push did not know, or one at its very clock
        known = [row.event_id for row in rows if row.event_time < clock]
        ident = chance.choice((None, 97, *(one for one in range(9) if one not in known)))
        own_values = frames.random_values(chance, frames.AMOUNTS)
        question = oracle.Question(frames.KEYS[0], clock + later, ident, own_values)
        own = None if ident is None else OwnEvent(ident, own_values)
        answers = fold.fold(packed, clock + later, own)
        for item in case.items:
            expected = oracle.window(question, rows, item, case.rule)
            pool = [row.values for row in rows] + [own_values]
            assert difference(item, answers[item.name], expected, pool) == ""


def test_tiles_older_than_every_window_are_left_out() -> None:
    rows = [
        oracle.Version(
            frames.KEYS[0], at, at, 0, at, at, frames.random_values(random.Random(1), (1.0,))
        )
        for at in range(100)
    ]
    items = [
        AggregationPlan("short", "count", None, 10, hop_micros=5),
        AggregationPlan("long", "count", None, 80, hop_micros=20),
    ]
    packed = Case(items, WindowRule()).packed(rows, 101)

    assert [[*packed.series(place).tiles()] for place in (0, 1)] == [[18, 19], [1, 2, 3, 4]]


def test_an_entity_without_a_value_has_no_events() -> None:
    item = AggregationPlan("some", "count", None, 6, hop_micros=1)
    case = Case([item], WindowRule())

    assert TiledFold([item], WindowRule(), tiling(case.view)).fold(None, 5) == {"some": 0}


@pytest.mark.parametrize(
    ("time", "tile"), [(-10, -2), (-9, -1), (-1, -1), (0, -1), (1, 0), (10, 0), (11, 1)]
)
def test_a_tile_is_open_at_its_old_end_before_1970_too(time: int, tile: int) -> None:
    assert tile_of(time, 10) == tile


def test_the_event_at_the_clock_is_in_no_tile() -> None:
    series = (Series(10, (), 50), Series(25, (), 50))

    assert (last_edge(series, 100), last_edge(series, 101)) == (50, 100)


def test_a_view_with_an_exact_window_is_not_tiled() -> None:
    items = [
        AggregationPlan("a", "count", None, 6, hop_micros=2),
        AggregationPlan("b", "count", None, 6),
    ]

    assert tiling(Case(items, WindowRule()).view) == ()


def test_a_view_with_ranked_groups_is_not_tiled() -> None:
    item = AggregationPlan("a", "count", None, 6, hop_micros=2, by="channel")
    ranked = replace(_aggregate(item), by="channel")
    view = replace(Case([item], WindowRule()).view, aggregates=(ranked,))

    assert tiling(view) == ()


def test_tiles_of_other_parts_are_refused() -> None:
    item = AggregationPlan("some", "count", None, 6, hop_micros=1)
    case = Case([item], WindowRule())
    layout = value_layout(case.view)
    assert isinstance(layout, TileLayout)
    other = TileLayout(
        layout.view,
        layout.kind,
        layout.columns,
        (Series(1, (Part("total", "amount", ColumnType.DOUBLE),), 6),),
    )
    nothing = empty_state(layout, Horizon(0, 6, 0))
    value = pack_state(layout, nothing, epoch=1, version=1)

    with pytest.raises(StoreError, match="packed by another definition"):
        PackedTiles(other, value)


def test_many_tiles_answer_like_their_events() -> None:
    chance = random.Random(3)
    rows = [
        oracle.Version(
            frames.KEYS[0], at, at, 0, place, place, frames.random_values(chance, frames.AMOUNTS)
        )
        for place, at in enumerate(sorted(chance.randint(-900, 900) for _ in range(400)))
    ]
    items = [
        AggregationPlan(f"{function}_{window}", function, "amount", window, hop_micros=hop)
        for function in ("count", "sum", "min", "max", "var", "approx_distinct", "last")
        for window, hop in ((60, 5), (600, 20), (1_800, 5))
    ]
    case = Case(items, WindowRule())
    packed = case.packed(rows, 901)
    found = TiledFold(items, case.rule, tiling(case.view)).fold(packed, 950)
    wrong = [
        difference(
            item,
            found[item.name],
            oracle.window(oracle.Question(frames.KEYS[0], 950), rows, item, case.rule),
            [row.values for row in rows],
        )
        for item in items
    ]

    assert "".join(wrong) == ""

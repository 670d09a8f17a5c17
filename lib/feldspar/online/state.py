"""What the store holds of one entity of a windowed view, and what more events make of it.

An exact view holds its recent events. A tiled one holds tiles of those that are settled for good as
far as gold knows (one version, visible at the clock of the push, older than the newest edge of all
series) and the others as events. The packed value is the whole state: nothing else is kept.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from feldspar.compute.windows.merge import merge_tiles
from feldspar.compute.windows.tiles import Rows, Tiles, make_tiles
from feldspar.graph.tiling import Series, last_edge
from feldspar.stores.events import PackedEvents, StoredEvents, pack_events
from feldspar.stores.retain import Horizon, living_events
from feldspar.stores.rows import Layout
from feldspar.stores.tiles import PackedTiles, StoredSeries, TileLayout, pack_tiles


@dataclass(frozen=True)
class EntityState:
    """One entity's state.

    Attributes:
        tiles: of each series by ascending hop; none of an exact view.
        events: those that are in no tile.
    """

    tiles: tuple[Tiles, ...]
    events: StoredEvents

    def newest(self, series: tuple[Series, ...]) -> int:
        """When the last of it happened or was known; an event in a tile is as new as its end."""
        events = self.events
        ends = [
            (one.tiles[-1] + 1) * of.hop
            for one, of in zip(self.tiles, series, strict=True)
            if one.tiles
        ]
        return max([events.forgotten, *events.event_time, *events.known_time, *ends])


def series_of(layout: Layout) -> tuple[Series, ...]:
    """The tiles of a layout; none of an exact view."""
    return layout.series if isinstance(layout, TileLayout) else ()


def empty_state(layout: Layout, horizon: Horizon) -> EntityState:
    """The state of an entity that has nothing that counts at the horizon's floor or later."""
    nothing = StoredEvents(
        [], [], [], [], [], [], {name: [] for name, _ in layout.columns}, horizon.oldest
    )
    tiles = tuple(Tiles([], [[] for _ in one.parts]) for one in series_of(layout))
    return EntityState(tiles, nothing)


def advanced(
    state: EntityState, added: StoredEvents, horizon: Horizon, layout: Layout
) -> EntityState:
    """The state with more events, as of a floor that is no earlier than the state's.

    Args:
        state: as it was.
        added: in any order; none of them is in the state, and none is a version of an event that
            is in a tile.
        horizon: what has to be kept.
        layout: of the view.
    """
    series = series_of(layout)
    events = living_events(state.events.joined(added), horizon)
    if not series:
        return EntityState((), events)
    kept = events.in_order()
    inside, others = _split(kept, horizon, last_edge(series, horizon.floor))
    settled = kept.take(inside)
    columns = (settled.event_time, settled.known_time, settled.batch, settled.position)
    rows = Rows(list(zip(*columns, strict=True)), settled.arguments)
    tiles = tuple(
        merge_tiles(old, make_tiles(rows, one, horizon.floor), one, horizon.floor)
        for old, one in zip(state.tiles, series, strict=True)
    )
    return EntityState(tiles, kept.take(others))


def of_history(events: StoredEvents, horizon: Horizon, layout: Layout) -> EntityState:
    """The state made of all recent events of an entity."""
    return advanced(empty_state(layout, horizon), events, horizon, layout)


def pack_state(layout: Layout, state: EntityState, *, epoch: int, version: int) -> bytes:
    """One value that answers every T from the floor of the state on; see ``pack_events``."""
    if not isinstance(layout, TileLayout):
        return pack_events(layout, state.events, epoch=epoch, version=version)
    series = [StoredSeries(*one) for one in state.tiles]
    return pack_tiles(layout, series, state.events, epoch=epoch, version=version)


def unpack_state(layout: Layout, value: bytes) -> EntityState:
    """The state that ``pack_state`` packed.

    Raises:
        StoreError: the value was packed by another definition of the view.
    """
    if not isinstance(layout, TileLayout):
        return EntityState((), PackedEvents(layout, value).stored())
    packed = PackedTiles(layout, value)
    found = (packed.series(place) for place in range(len(layout.series)))
    tiles = tuple(
        Tiles(
            [int(tile) for tile in one.tiles()],
            [list(one.column(place)) for place in range(len(of.parts))],
        )
        for one, of in zip(found, layout.series, strict=True)
    )
    return EntityState(tiles, packed.events.stored())


def _split(events: StoredEvents, horizon: Horizon, edge: int) -> tuple[list[int], list[int]]:
    """Places of the events that go into tiles, and of the others."""
    versions = Counter(one for one in events.event_id if one is not None)
    inside: list[int] = []
    others: list[int] = []
    for row, (ident, time) in enumerate(zip(events.event_id, events.event_time, strict=True)):
        known = events.known_time[row] + horizon.serving_delay <= horizon.floor
        alone = ident is None or versions[ident] == 1
        settled = alone and known and time <= edge and not events.retracted[row]
        (inside if settled else others).append(row)
    return inside, others

"""The events of one entity as tiles and the rest: what a push writes of a tiled view.

Into tiles go events that are settled for good as far as gold knows: one version, visible at the
clock of the push, older than the newest edge of all series. The others stay events.
"""

from __future__ import annotations

from collections import Counter

from feldspar.compute.windows.tiles import Rows, make_tiles
from feldspar.graph.tiling import last_edge
from feldspar.online.retain import Horizon
from feldspar.stores.events import StoredEvents
from feldspar.stores.tiles import StoredSeries, TileLayout, pack_tiles


def pack_tiled(
    layout: TileLayout, events: StoredEvents, horizon: Horizon, *, epoch: int, version: int
) -> bytes:
    """One value that answers every T from the horizon's floor, the clock of the push, on.

    Args:
        layout: of the view.
        events: what ``living_events`` keeps of the entity.
        horizon: what has to be kept.
        epoch, version: as in ``pack_events``.
    """
    kept = events.in_order()
    inside, others = _split(kept, horizon, last_edge(layout.series, horizon.floor))
    settled, rest = kept.take(inside), kept.take(others)
    columns = (settled.event_time, settled.known_time, settled.batch, settled.position)
    rows = Rows(list(zip(*columns, strict=True)), settled.arguments)
    series = [StoredSeries(*make_tiles(rows, one, horizon.floor)) for one in layout.series]
    return pack_tiles(layout, series, rest, epoch=epoch, version=version)


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

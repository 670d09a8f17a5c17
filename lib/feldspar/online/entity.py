"""What Redis holds of one entity, and what it makes of it at a T: values, and from which events.

Reads as serving reads; needs no JVM.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from feldspar.compute.services.online import Reading, WindowReader, read_plain
from feldspar.compute.windows.rule import WindowRule
from feldspar.graph.view import PlainView, View, WindowedView
from feldspar.stores.cursors import Cursor
from feldspar.stores.events import StoredEvents, stamp_of
from feldspar.stores.online import KeyPart, OnlineStore
from feldspar.stores.rows import StoredRow, epoch_of
from feldspar.stores.tiles import PackedTiles, TileLayout, unpack, value_layout
from feldspar.times import duration_micros, format_duration

State = Literal["served", "counts", "outside", "older", "pending", "replaced", "retracted"]


@dataclass(frozen=True)
class Kept:
    """A row or a version of an event that Redis holds; times in microseconds.

    Attributes:
        event_id: None of a row.
        state: what it is at T. ``served``: the row that answers; ``counts``: in a window;
            ``outside``: in none; ``older``: a newer row answers; ``pending``: not visible yet;
            ``replaced``: a newer version counts; ``retracted``: the event is no longer this
            entity's.
        windows: that count it.
        values: what it brings.
    """

    event_id: int | str | None
    event_time: int
    known_time: int
    visible_at: int
    state: State
    windows: tuple[str, ...]
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Tile:
    """A partial state over (``start``, ``end``], microseconds."""

    start: int
    end: int
    parts: Mapping[str, Any]


@dataclass(frozen=True)
class Value:
    """The packed value itself.

    ``version`` is of gold, None of a plain view; ``milliseconds`` until the key expires, None:
    never.
    """

    size: int
    epoch: int
    version: int | None
    milliseconds: int | None


@dataclass(frozen=True)
class Found:
    """One view of one entity at T.

    Attributes:
        state: of the features; ``not pushed`` by this definition, or ``too early`` a T for what is
            kept.
        newest: event time of the newest thing that counted, microseconds.
        left: until that has outlived its ttl, or has left all windows, microseconds; None: never.
        cursor: what was pushed of the view.
        others: cursors of other definitions of it.
        value: None: Redis holds nothing of the entity.
        kept: rows or events, newest first.
        tiles: newest first.
    """

    view: str
    key: str
    state: Literal["fresh", "missing", "expired", "not pushed", "too early"]
    features: Mapping[str, Any] = field(default_factory=dict)
    newest: int | None = None
    left: int | None = None
    cursor: Cursor | None = None
    others: Mapping[str, Cursor] = field(default_factory=dict)
    value: Value | None = None
    kept: tuple[Kept, ...] = ()
    tiles: tuple[Tile, ...] = ()


def find_entity(
    views: Sequence[View], keys: Sequence[KeyPart], t: int, *, store: OnlineStore
) -> tuple[Found, ...]:
    """Each view of an entity as it is served at ``t`` (microseconds).

    Args:
        views: of one entity.
        keys: of the entity, in the order of its key.
        t: any time.
        store: the store.

    Raises:
        UnreachableError: Redis does not answer.
        StoreError: a value was packed by another definition.
    """
    names = [view.online_name for view in views]
    places = [store.key(view.entity, keys, view.online_name) for view in views]
    page, left = store.read(names, places), store.lifetimes(places)
    return tuple(
        _found(view, place, Stored(page.cursors.get(name), value, milliseconds), t, store=store)
        for view, name, place, value, milliseconds in zip(
            views, names, places, page.values, left, strict=True
        )
    )


@dataclass(frozen=True)
class Stored:
    """What was read of a view: its cursor, the entity's value and its time to live."""

    cursor: Cursor | None
    value: bytes | None
    milliseconds: int | None


def _found(view: View, key: str, stored: Stored, t: int, *, store: OnlineStore) -> Found:
    cursor, packed = stored.cursor, stored.value
    if cursor is None:
        return Found(view.name, key, "not pushed", others=store.definitions(view.name))
    value = None if packed is None else _value(view, packed, stored.milliseconds)
    if t < cursor.floor:
        return Found(view.name, key, "too early", cursor=cursor, value=value)
    held: Any = None if packed is None else unpack(value_layout(view), packed)
    reading = _read(view, held, t)
    return Found(
        view.name,
        key,
        reading.state,
        reading.values,
        reading.newest,
        _left(view, reading, t),
        cursor=cursor,
        value=value,
        kept=_kept(view, held, t),
        tiles=_tiles(view, held),
    )


def _value(view: View, packed: bytes, milliseconds: int | None) -> Value:
    version = None if isinstance(view, PlainView) else stamp_of(packed).version
    return Value(len(packed), epoch_of(packed), version, milliseconds)


def _read(view: View, held: Any, t: int) -> Reading:
    if isinstance(view, PlainView):
        return read_plain(view, held or (), t)
    return WindowReader(view).read(held, t)


def _left(view: View, reading: Reading, t: int) -> int | None:
    lasts = view.ttl if isinstance(view, PlainView) else view.retention
    if reading.newest is None or lasts is None:
        return None
    return reading.newest + duration_micros(lasts) - t


def _kept(view: View, held: Any, t: int) -> tuple[Kept, ...]:
    if held is None:
        return ()
    if isinstance(view, PlainView):
        return _rows(held, t)
    events = (held.events if isinstance(held, PackedTiles) else held).stored()
    return _events(view, events, t)


def _rows(rows: Sequence[StoredRow], t: int) -> tuple[Kept, ...]:
    visible = [row.rank for row in rows if row.visible_at <= t]
    newest = max(visible, default=None)

    def state(row: StoredRow) -> State:
        if row.visible_at > t:
            return "pending"
        return "served" if row.rank == newest else "older"

    ordered = sorted(rows, key=lambda row: row.rank, reverse=True)
    return tuple(
        Kept(None, row.event_time, row.known_time, row.visible_at, state(row), (), row.values)
        for row in ordered
    )


def _events(view: WindowedView, events: StoredEvents, t: int) -> tuple[Kept, ...]:
    delay = duration_micros(view.serving_delay)
    clocks = zip(events.event_time, events.known_time, strict=True)
    visible = [max(time, known + delay) for time, known in clocks]
    ages = list(zip(events.known_time, events.batch, events.position, strict=True))
    newest: dict[object, int] = {}
    for row, ident in enumerate(events.event_id):
        name = ("no id", row) if ident is None else ident
        if visible[row] <= t and (name not in newest or ages[newest[name]] < ages[row]):
            newest[name] = row
    current = set(newest.values())
    found = []
    for row in reversed(range(len(events))):
        windows = _windows(view, events.event_time[row], t) if row in current else ()
        found.append(
            Kept(
                events.event_id[row],
                events.event_time[row],
                events.known_time[row],
                visible[row],
                _state(
                    is_visible=visible[row] <= t,
                    is_current=row in current,
                    is_gone=events.retracted[row],
                    counts=bool(windows),
                ),
                windows,
                {name: values[row] for name, values in events.arguments.items()},
            )
        )
    return tuple(found)


def _state(*, is_visible: bool, is_current: bool, is_gone: bool, counts: bool) -> State:
    if not is_visible:
        return "pending"
    if not is_current:
        return "replaced"
    if is_gone:
        return "retracted"
    return "counts" if counts else "outside"


def _windows(view: WindowedView, time: int, t: int) -> tuple[str, ...]:
    rule = WindowRule(delay=duration_micros(view.delay))
    found = {}
    for one in view.aggregates:
        old, new = rule.edges(t, duration_micros(one.window), duration_micros(one.hop))
        if old < time <= new:
            found[one.window] = format_duration(one.window)
    return tuple(found[window] for window in sorted(found))


def _tiles(view: View, held: Any) -> tuple[Tile, ...]:
    layout = value_layout(view)
    if held is None or not isinstance(layout, TileLayout):
        return ()
    found = []
    for place, series in enumerate(layout.series):
        packed = held.series(place)
        columns = {
            f"{part.kind}({part.argument or ''})": list(packed.column(number))
            for number, part in enumerate(series.parts)
        }
        for row, tile in enumerate(packed.tiles()):
            start = int(tile) * series.hop
            parts = {name: values[row] for name, values in columns.items()}
            found.append(Tile(start, start + series.hop, parts))
    return tuple(sorted(found, key=lambda one: (one.end, one.start), reverse=True))

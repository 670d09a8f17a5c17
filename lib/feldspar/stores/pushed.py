"""Rows on their way over HTTP in the online store: who had one first, and events put beside others.

A claim remembers since when a row is known, so that the same row sent again is the same row. Values
of windowed views are replaced only where they are still what was read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from feldspar.spec.environment import Environment
from feldspar.stores.cursors import Cursor
from feldspar.stores.events import PackedEvents, StoredEvents, pack_events, stamp_of
from feldspar.stores.online import OnlineSettings, OnlineStore
from feldspar.stores.retain import Horizon, living_events
from feldspar.stores.rows import Layout
from feldspar.stores.servers import Script
from feldspar.stores.tiles import PackedTiles, StoredSeries, TileLayout, pack_tiles

REMEMBERED = 3_600
"""Seconds for which a row that is sent again is known to be the same."""
_DURABLE, _WAITS = b"d", b"w"

_CLAIM = Script("""
local old = redis.call('GET', KEYS[1])
if old then return old end
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
return false
""")
"""KEYS[1]: a row's claim. ARGV: the mark it gets where nobody has it, and for how many seconds.
Returns the mark that it had."""
_REPLACE = Script("""
local old = redis.call('GET', KEYS[1])
if (old or '') ~= ARGV[1] then return 0 end
if ARGV[3] == '' then
  redis.call('SET', KEYS[1], ARGV[2])
elseif not old then
  redis.call('SET', KEYS[1], ARGV[2], 'PXAT', ARGV[3])
else
  redis.call('SET', KEYS[1], ARGV[2], 'KEEPTTL')
  redis.call('PEXPIREAT', KEYS[1], ARGV[3], 'GT')
end
return 1
""")
"""KEYS[1]: becomes ARGV[2] where it is ARGV[1] (empty: where it is not there); ARGV[3]: when it
expires in milliseconds since the epoch, or empty. Returns whether it did."""


@dataclass(frozen=True)
class Claim:
    """One row by its table, key and content; ``known`` is what it gets where nobody had it."""

    ident: str
    known: int


@dataclass(frozen=True)
class Claimed:
    """Since when a claimed row is known, whether it lies in the inbox, whether we were first."""

    known: int
    durable: bool
    ours: bool


@dataclass(frozen=True)
class Replacement:
    """A value to put at a key, if there still lies what was read (None: nothing)."""

    key: str
    before: bytes | None
    value: bytes
    expires: int | None


class PushStore(OnlineStore):
    """The online store as the process that takes pushed rows uses it."""

    @staticmethod
    def of_environment(environment: Environment) -> PushStore:
        """The store of an environment."""
        return PushStore(OnlineSettings.of(environment))

    def claim(self, claims: Sequence[Claim]) -> list[Claimed]:
        """Says since when each row is known, in one round trip: who was first is right."""
        marks = [_WAITS + str(one.known).encode() for one in claims]
        calls = [
            ([self._claim(one.ident)], [mark, REMEMBERED])
            for one, mark in zip(claims, marks, strict=True)
        ]
        found = self._servers.call(_CLAIM, calls)
        return [
            Claimed(one.known, durable=False, ours=True)
            if held is None
            else Claimed(int(held[1:]), durable=held[:1] == _DURABLE, ours=False)
            for one, held in zip(claims, found, strict=True)
        ]

    def confirm(self, claims: Sequence[Claim]) -> None:
        """Remembers that these rows lie in the inbox."""
        marks = [(self._claim(one.ident), _DURABLE + str(one.known).encode()) for one in claims]
        self._servers.run([("SET", key, mark, "EX", REMEMBERED) for key, mark in marks])

    def forget(self, claims: Sequence[Claim]) -> None:
        """Takes claims back, of rows that could not be kept."""
        self._servers.run([("UNLINK", self._claim(one.ident)) for one in claims])

    def replace(self, replacements: Sequence[Replacement]) -> list[bool]:
        """Puts values where nothing has changed since they were made; says which were put."""
        # an empty text stands for no value: nothing that is packed is empty
        calls = [
            (
                [one.key],
                [one.before or b"", one.value, "" if one.expires is None else str(one.expires)],
            )
            for one in replacements
        ]
        return [bool(found) for found in self._servers.call(_REPLACE, calls)]

    def _claim(self, ident: str) -> str:
        return f"{self.settings.namespace}:claim:{ident}"


def with_events(
    layout: Layout, value: bytes | None, added: StoredEvents, cursor: Cursor, horizon: Horizon
) -> tuple[bytes, int] | None:
    """The value of an entity of a windowed view with more events, and the newest time in it.

    Tiles stay as they are: an event that gold has not told of goes into none.

    Returns:
        None where there is nothing to put: it has the events, or is of another definition.
    """
    held, tiles, version = _nothing(layout, horizon), None, cursor.version
    if value is not None:
        stamp = stamp_of(value)
        if (stamp.layout, stamp.epoch) != (layout.id, cursor.epoch):
            return None
        tiles = PackedTiles(layout, value) if isinstance(layout, TileLayout) else None
        packed = PackedEvents(layout, value) if tiles is None else tiles.events
        held, version = packed.stored(), stamp.version
    known = set(zip(held.event_id, held.known_time, strict=True))
    idents = zip(added.event_id, added.known_time, strict=True)
    new = [place for place, ident in enumerate(idents) if ident not in known]
    if not new:
        return None
    events = living_events(held.joined(added.take(new)), horizon)
    newest = max([events.forgotten, *events.event_time, *events.known_time])
    if not isinstance(layout, TileLayout):
        return pack_events(layout, events, epoch=cursor.epoch, version=version), newest
    series = _series(layout, tiles)
    return pack_tiles(layout, series, events, epoch=cursor.epoch, version=version), newest


def _nothing(layout: Layout, horizon: Horizon) -> StoredEvents:
    arguments: dict[str, list[object]] = {name: [] for name, _ in layout.columns}
    return StoredEvents([], [], [], [], [], [], arguments, horizon.oldest)


def _series(layout: TileLayout, tiles: PackedTiles | None) -> list[StoredSeries]:
    if tiles is None:
        return [StoredSeries([], [[] for _ in one.parts]) for one in layout.series]
    found = [tiles.series(place) for place in range(len(layout.series))]
    return [
        StoredSeries(list(one.tiles()), [list(one.column(place)) for place in range(len(of.parts))])
        for one, of in zip(found, layout.series, strict=True)
    ]

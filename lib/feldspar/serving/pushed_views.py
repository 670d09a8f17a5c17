"""What a pushed row makes of the views over its table, before gold has it.

The values are gold's: the same expressions over the same row, ranked so that gold's own copy wins.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from feldspar.compute.expressions.online import compile_row
from feldspar.errors import StoreError
from feldspar.graph.graph import Table
from feldspar.graph.view import PlainView, View, WindowedView
from feldspar.names import value_fingerprint
from feldspar.spec.syntax import Column
from feldspar.spec.types import ColumnType
from feldspar.stores.events import StoredEvents
from feldspar.stores.online import Cursor, KeyPart, Write
from feldspar.stores.pushed import PushStore, Replacement, with_events
from feldspar.stores.retain import Horizon, horizon_of, newest_rows
from feldspar.stores.rows import PUSHED_BATCH, StoredRow, pack_rows, unpack_rows
from feldspar.stores.tiles import value_layout
from feldspar.times import EPOCH, duration_micros, from_micros

WRITTEN = "written"
_TRIES = 5


@dataclass(frozen=True)
class Entered:
    """A row that is to be served: its typed values, and since when it is known."""

    values: Mapping[str, Any]
    known: int


class PushedView:
    """One view over a table that takes pushed rows."""

    def __init__(self, view: View, table: Table) -> None:
        self.view = view
        self.layout = value_layout(view)
        self._types = table.types()
        self._event_time = table.source.event_time
        self._delay = duration_micros(view.serving_delay)
        self._values = {
            column.name: compile_row(column.expression, self._types) for column in view.columns
        }
        self.of_columns = {
            column.name: column.expression.node.name
            for column in view.columns
            if isinstance(column.expression.node, Column)
        }
        """Gold columns that are a table's column as it is."""

    def key(self, values: Mapping[str, Any], store: PushStore) -> str | None:
        """Where the value of a row's entity lies; None of a row without an entity."""
        parts = [_key_part(values[name], self._types[name]) for name in self.view.keys]
        if any(part is None for part in parts):
            return None
        return store.key(
            self.view.entity, [one for one in parts if one is not None], self.view.online_name
        )

    def row(self, entered: Entered) -> StoredRow:
        """The row as the value of a plain view holds it."""
        happened = entered.values[self._event_time]
        visible = max(happened, entered.known + self._delay)
        values = {name: value(entered.values) for name, value in self._values.items()}
        return StoredRow(happened, entered.known, PUSHED_BATCH, 0, visible, values)

    def newest(self, value: bytes | None) -> StoredRow | None:
        """The newest row of a plain view's value, whatever its age."""
        if value is None:
            return None
        return max(unpack_rows(self.layout, value), key=lambda row: row.rank, default=None)

    def waits(self, cursor: Cursor | None) -> str:
        """Why a row cannot be put beside what Redis holds of the view; empty where it can."""
        if cursor is None:
            return "waits: Redis holds nothing of the view yet"
        if cursor.definition != value_fingerprint(self.view.definition):
            return "waits: Redis holds the view by another definition"
        return ""

    def write(self, rows: Sequence[Entered], cursor: Cursor | None, store: PushStore) -> str:
        """Puts rows into the view's values, newest wins; says what became of them.

        Raises:
            StoreError: Redis did not take them.
        """
        waits = self.waits(cursor)
        if waits or cursor is None:
            return waits
        horizon = horizon_of(self.view, cursor.floor)
        placed = [(self.key(one.values, store), one) for one in rows]
        held = [(key, one) for key, one in placed if key is not None]
        if isinstance(self.view, PlainView):
            self._write_rows(held, cursor, horizon, store=store)
            return WRITTEN
        return self._write_events(self.view, held, cursor, store=store)

    def _write_rows(
        self,
        rows: Sequence[tuple[str, Entered]],
        cursor: Cursor,
        horizon: Horizon,
        *,
        store: PushStore,
    ) -> None:
        # one value an entity: while the server merges a value it serves nobody else
        held: dict[str, list[StoredRow]] = defaultdict(list)
        for key, entered in rows:
            row = self.row(entered)
            # what the ttl has ended is the newest at no T that is answered
            if not horizon.retention or row.event_time >= horizon.oldest:
                held[key].append(row)
        writes = []
        for key, of_key in held.items():
            value = pack_rows(self.layout, newest_rows(of_key, cursor.floor), epoch=cursor.epoch)
            newest = max(row.event_time for row in of_key)
            writes.append(Write(key, value, self._expires(newest, cursor, store)))
        if writes:
            store.write(writes, kind="row", floor=cursor.floor)

    def _write_events(
        self,
        view: WindowedView,
        rows: Sequence[tuple[str, Entered]],
        cursor: Cursor,
        *,
        store: PushStore,
    ) -> str:
        if self._types[view.event_key[0]] not in (
            ColumnType.INT,
            ColumnType.BIGINT,
            ColumnType.STRING,
        ):
            return "waits: its events are known by gold alone"
        events: dict[str, list[Entered]] = defaultdict(list)
        for key, entered in rows:
            events[key].append(entered)
        for _ in range(_TRIES):
            replacements = self._replacements(view, events, cursor, store=store)
            put = store.replace(replacements) if replacements else []
            missed = {one.key for one, done in zip(replacements, put, strict=True) if not done}
            events = {key: events[key] for key in missed}
            if not events:
                return WRITTEN
        raise StoreError(
            f"view {view.name}: {len(events)} entities change faster than rows can be put",
            hint="the rows are kept, and come with the next online push",
        )

    def _replacements(
        self,
        view: WindowedView,
        events: Mapping[str, Sequence[Entered]],
        cursor: Cursor,
        *,
        store: PushStore,
    ) -> list[Replacement]:
        horizon = horizon_of(view, cursor.floor)
        found = []
        for key, before in zip(events, store.get(list(events)), strict=True):
            added = self._events(view, events[key])
            made = with_events(self.layout, before, added, cursor, horizon)
            if made is not None:
                value, newest = made
                expires = self._expires(newest, cursor, store)
                found.append(Replacement(key, before, value, expires))
        return found

    def _events(self, view: WindowedView, rows: Sequence[Entered]) -> StoredEvents:
        values = [one.values for one in rows]
        return StoredEvents(
            [one[view.event_key[0]] for one in values],
            [one[self._event_time] for one in values],
            [one.known for one in rows],
            [PUSHED_BATCH] * len(rows),
            [0] * len(rows),
            [False] * len(rows),
            {name: [value(one) for one in values] for name, value in self._values.items()},
        )

    def _expires(self, newest: int, cursor: Cursor, store: PushStore) -> int | None:
        if store.settings.clock == "data":
            return None
        return horizon_of(self.view, cursor.floor).expires(newest, clock=cursor.clock)


def _key_part(value: Any, kind: ColumnType) -> KeyPart | None:
    if value is None:
        return None
    if kind is ColumnType.TIMESTAMP:
        return from_micros(value)
    if kind is ColumnType.DATE:
        return EPOCH.date() + timedelta(days=value)
    part: KeyPart = value
    return part

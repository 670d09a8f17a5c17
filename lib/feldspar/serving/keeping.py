"""What is done with a group of pushed rows: claimed, kept, then served, in this order.

A row is kept when it lies in the inbox of its source, where ingest finds it. What happens between
that and its way into Redis is mended by the next push of gold: newest wins.
"""

from __future__ import annotations

import json
import os
import re
import socket
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count

from feldspar.compute.checks.texts import text_of
from feldspar.errors import StoreError
from feldspar.names import PUSHED, PUSHED_AT
from feldspar.serving.push_tables import PushTable, Refused, Row, Update
from feldspar.serving.pushed_views import Entered
from feldspar.spec.types import ColumnType
from feldspar.stores.online import Cursor
from feldspar.stores.pushed import Claim, PushStore
from feldspar.stores.tables.lake import Lake
from feldspar.times import from_micros

_HOST = re.sub(r"[^A-Za-z0-9-]", "-", socket.gethostname())


@dataclass(frozen=True, eq=False)
class Asked:
    """Rows of one request that passed their checks, or an update that has yet to become one."""

    table: PushTable
    rows: tuple[Row, ...] = ()
    update: Update | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of a request.

    Attributes:
        known: since when each row is known, microseconds.
        kept: whether all rows lie in the inbox.
        views: by view over the table what became of its rows; empty where Redis is away.
        problem: why not all of it was done.
        refused: of an update: why its row does not pass.
    """

    known: tuple[int, ...] = ()
    kept: bool = False
    views: Mapping[str, str] = field(default_factory=dict)
    problem: StoreError | None = None
    refused: Refused | None = None


@dataclass
class _Group:
    """The rows of a group by request, and what went wrong so far."""

    rows: list[list[Row]]
    outcomes: list[Outcome | None]
    cursors: Mapping[str, Cursor] = field(default_factory=dict)
    away: StoreError | None = None
    before: set[str] = field(default_factory=set)
    """Rows, by ident, that the inbox had before."""
    ours: set[str] = field(default_factory=set)
    """Rows that nobody had claimed before."""

    def all(self) -> list[Row]:
        """Each row once; of rows that are the same, the first."""
        found = {row.ident or id(row): row for rows in self.rows for row in rows}
        return list(found.values())


class Keeper:
    """Keeps rows of all push sources of one process; used by one thread.

    Args:
        store: Redis.
        lake: where the inboxes are.
        write: writes an object so that it stays.
    """

    def __init__(self, store: PushStore, lake: Lake, write: Callable[[str, bytes], None]) -> None:
        self._store = store
        self._lake = lake
        self._write = write
        self._numbers = count()

    def __call__(self, asked: Sequence[Asked]) -> list[Outcome]:
        """Outcomes of a group of requests, in their order."""
        group = _Group([list(one.rows) for one in asked], [None] * len(asked))
        self._look(asked, group)
        self._claim(group)
        self._keep(group)
        served = self._serve(group)
        return [
            outcome or _done(one, rows, group, served)
            for one, rows, outcome in zip(asked, group.rows, group.outcomes, strict=True)
        ]

    def _look(self, asked: Sequence[Asked], group: _Group) -> None:
        """Reads cursors, and what updates are put on; makes rows of updates."""
        views = sorted({view.view.online_name for one in asked for view in one.table.views})
        keys = [
            None if one.update is None else one.table.key_of(one.update, self._store)
            for one in asked
        ]
        wanted = sorted({key for key in keys if key})
        try:
            page = self._store.read(views, wanted)
        except StoreError as error:
            group.away = error
            held: dict[str, bytes | None] = {}
        else:
            group.cursors = page.cursors
            held = dict(zip(wanted, page.values, strict=True))
        seen: dict[str, Row] = {}
        for place, (one, key) in enumerate(zip(asked, keys, strict=True)):
            if one.update is not None:
                self._update(place, one.update, key, group=group, held=held, seen=seen, of=one)
            for row in group.rows[place]:
                one.table.remember(row, seen, self._store)

    def _update(
        self,
        place: int,
        update: Update,
        key: str | None,
        *,
        group: _Group,
        held: Mapping[str, bytes | None],
        seen: Mapping[str, Row],
        of: Asked,
    ) -> None:
        """Makes a whole row of an update, upon the rows before it in the queue."""
        if key and group.away is not None:
            # what the other columns keep is not known
            group.outcomes[place] = Outcome(problem=group.away)
            return
        stored, last = (held.get(key), seen.get(key)) if key else (None, None)
        made = of.table.whole(update, stored, last)
        if isinstance(made, Refused):
            group.outcomes[place] = Outcome(refused=made)
        else:
            group.rows[place] = [made]

    def _claim(self, group: _Group) -> None:
        """Gives each row the known_time of its first sending."""
        first: dict[str, Claim] = {}
        for rows in group.rows:
            for row in rows:
                if row.ident:
                    first.setdefault(row.ident, Claim(row.ident, row.known))
        known = {ident: one.known for ident, one in first.items()}
        if first and group.away is None:
            try:
                found = dict(zip(first, self._store.claim(list(first.values())), strict=True))
            except StoreError as error:
                group.away = error
            else:
                known = {ident: one.known for ident, one in found.items()}
                group.before = {ident for ident, one in found.items() if one.durable}
                group.ours = {ident for ident, one in found.items() if one.ours}
        group.rows = [
            [replace(row, known=known.get(row.ident, row.known)) for row in rows]
            for rows in group.rows
        ]

    def _keep(self, group: _Group) -> None:
        """Writes what the inbox has not, an object a source; what cannot be kept is given up."""
        waiting: dict[str, list[Row]] = defaultdict(list)
        for row in group.all():
            if row.ident not in group.before:
                waiting[row.table.source].append(row)
        for source, rows in waiting.items():
            try:
                self._write(self._uri(source, rows), _lines(rows))
            except StoreError as error:
                self._give_up(group, source, error)

    def _give_up(self, group: _Group, source: str, error: StoreError) -> None:
        gone: list[Claim] = []
        for place, rows in enumerate(group.rows):
            new = [row for row in rows if row.ident not in group.before]
            if new and new[0].table.source == source:
                gone += [Claim(row.ident, row.known) for row in new if row.ident in group.ours]
                group.outcomes[place] = Outcome(problem=error)
                group.rows[place] = []
        if group.away is None:
            try:
                self._store.forget(gone)
            except StoreError as away:
                group.away = away

    def _serve(self, group: _Group) -> dict[str, dict[str, str]]:
        """Puts rows into Redis; by source and view what became of them."""
        served: dict[str, dict[str, str]] = {}
        rows = group.all()
        if group.away is not None or not rows:
            return served
        try:
            for source, table in {row.table.source: row.table for row in rows}.items():
                mine = [Entered(one.values, one.known) for one in rows if one.table is table]
                cursors = group.cursors
                served[source] = {
                    view.view.name: view.write(
                        mine, cursors.get(view.view.online_name), self._store
                    )
                    for view in table.views
                }
            new = [row for row in rows if row.ident and row.ident not in group.before]
            if new:
                self._store.confirm([Claim(row.ident, row.known) for row in new])
            if self._store.settings.clock == "data":
                self._store.advance_clock(max(max(row.known, row.happened) for row in rows))
        except StoreError as error:
            group.away = error
        return served

    def _uri(self, source: str, rows: Sequence[Row]) -> str:
        """A name of its own below the day; names are in the order of time."""
        first = min(row.known for row in rows)
        day = f"{from_micros(first):%Y-%m-%d}"
        name = f"{first:016d}-{_HOST}-{os.getpid()}-{next(self._numbers)}.jsonl"
        return f"{self._lake.inbox(source)}/{day}/{name}"


def _done(
    asked: Asked, rows: Sequence[Row], group: _Group, served: Mapping[str, Mapping[str, str]]
) -> Outcome:
    known = tuple(row.known for row in rows)
    if group.away is not None:
        return Outcome(known, kept=True, problem=group.away)
    return Outcome(known, kept=True, views=served.get(asked.table.source, {}))


def _lines(rows: Iterable[Row]) -> bytes:
    """JSON lines as ingest reads them from an inbox."""
    lines = []
    for row in sorted(rows, key=lambda one: one.known):
        known = text_of(row.known, ColumnType.TIMESTAMP)
        texts = json.dumps(row.texts, ensure_ascii=False, separators=(",", ":"))
        lines.append(json.dumps({PUSHED_AT: known, PUSHED: texts}, ensure_ascii=False))
    return "".join(f"{line}\n" for line in lines).encode()

"""The tables that take rows over HTTP: how a row of one is judged, named, and made of an update."""

from __future__ import annotations

import hashlib
import json
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from feldspar.compute.checks.online import RowJudge
from feldspar.compute.checks.texts import text_of
from feldspar.errors import UsageError, nearest
from feldspar.graph.graph import Graph, Table
from feldspar.graph.view import PlainView
from feldspar.serving.pushed_views import PushedView
from feldspar.spec.source import FilesSource
from feldspar.spec.types import ColumnType
from feldspar.stores.pushed import PushStore
from feldspar.times import duration_micros

_LONG = (1 << 63) - 1
_HOST = socket.gethostname()


@dataclass(frozen=True, eq=False)
class Row:
    """A row that passed its checks.

    Attributes:
        table: its table.
        values: typed; times in microseconds, dates in days.
        texts: what bronze gets of it: by column, without nulls.
        known: since when it is known, microseconds.
        ident: names the row by key and content; empty: it is never taken for one sent before.
    """

    table: PushTable
    values: Mapping[str, Any]
    texts: Mapping[str, str]
    known: int
    ident: str

    @property
    def happened(self) -> int:
        """Its event time, microseconds."""
        at: int = self.values[self.table.event_time]
        return at


@dataclass(frozen=True)
class Update:
    """Some columns of an entity that are new.

    Attributes:
        keys: the entity's key columns as texts.
        given: columns as texts.
        known: since when; also the row's event time where that is not given.
        merges: whether the other columns keep their last values; else they are null.
    """

    keys: Mapping[str, str]
    given: Mapping[str, str | None]
    known: int
    merges: bool = True


@dataclass(frozen=True)
class Refused:
    """Why a row does not pass."""

    reasons: tuple[str, ...]


class PushTable:
    """One table whose source says ``push: true``, with the views over it."""

    def __init__(self, table: Table, graph: Graph) -> None:
        self.table = table
        self.source = table.source_name
        self.event_time = table.source.event_time
        self.judge = RowJudge(table)
        self.views = tuple(
            PushedView(view, table) for view in graph.views.values() if view.table == table.name
        )
        plain = [one for one in self.views if isinstance(one.view, PlainView)]
        self.latest = max(plain, key=lambda one: len(one.of_columns), default=None)
        """The view whose newest row an update keeps the other columns of: the widest."""
        self._types = table.types()

    def row(self, values: Mapping[str, Any], known: int) -> Row:
        """A row that passed, known since then."""
        texts = self.judge.texts(values)
        return Row(self, values, texts, known, self._ident(texts))

    def key_of(self, update: Update, store: PushStore) -> str | None:
        """Where the row lies that an update keeps values of; None where it keeps none."""
        if self.latest is None or not update.merges:
            return None
        values = self.judge.judge(update.keys, known=update.known).values
        return self.latest.key(values, store)

    def remember(self, row: Row, seen: dict[str, Row], store: PushStore) -> None:
        """Notes a row that is not in Redis yet, for updates behind it in the queue."""
        key = None if self.latest is None else self.latest.key(row.values, store)
        if key is not None:
            held = seen.get(key)
            if held is None or (held.happened, held.known) <= (row.happened, row.known):
                seen[key] = row

    def whole(self, update: Update, stored: bytes | None, seen: Row | None) -> Row | Refused:
        """The row that an update makes of the last one.

        Args:
            update: what is new.
            stored: the value that Redis holds.
            seen: a row that Redis does not hold yet.
        """
        last = self._last(stored, seen, now=update.known) if update.merges else {}
        texts = {name: text_of(last.get(name), kind) for name, kind in self._types.items()}
        texts |= {self.event_time: text_of(update.known, ColumnType.TIMESTAMP)}
        texts |= self._fresh_key(update)
        judged = self.judge.judge({**texts, **update.keys, **update.given}, known=update.known)
        if judged.reasons:
            return Refused(judged.reasons)
        return Row(self, judged.values, self.judge.texts(judged.values), update.known, "")

    def refuse_unknown(self, names: Mapping[str, Any], keys: Mapping[str, Any]) -> None:
        """Raises UsageError where an update names what it cannot set."""
        for name in names:
            if name in keys:
                raise UsageError(f"{name} stands in the path; take it out of the body")
            if name not in self._types:
                known = [one for one in self._types if one not in keys]
                near = ", ".join(nearest(name, known)) or ", ".join(known)
                text = f"{name} is no column of {self.table.name}; nearest: {near}"
                raise UsageError(text, hint=f"see: feldspar show tables {self.table.name}")

    def _last(self, stored: bytes | None, seen: Row | None, *, now: int) -> Mapping[str, Any]:
        """The newest values by column; none where they have outlived the view's ttl."""
        view = self.latest
        if view is None or not isinstance(view.view, PlainView):
            return {}
        row = view.newest(stored)
        ttl = None if view.view.ttl is None else duration_micros(view.view.ttl)
        if seen is not None and (
            row is None or (row.event_time, row.known_time) <= (seen.happened, seen.known)
        ):
            return seen.values if ttl is None or now - seen.happened <= ttl else {}
        if row is None or (ttl is not None and now - row.event_time > ttl):
            return {}
        columns = view.of_columns.items()
        return {column: row.values[name] for name, column in columns if name in row.values}

    def _fresh_key(self, update: Update) -> dict[str, str | None]:
        """Keys of their own for the event that an update is, where a column can hold one."""
        named = {*update.keys, *update.given, self.event_time}
        found: dict[str, str | None] = {}
        for name in self.table.spec.key:
            if name in named:
                continue
            content = json.dumps([_HOST, os.getpid(), name, update.known]).encode()
            digest = hashlib.blake2b(content, digest_size=8)
            match self._types[name]:
                case ColumnType.BIGINT:
                    found[name] = str(int.from_bytes(digest.digest()) & _LONG)
                case ColumnType.STRING:
                    found[name] = digest.hexdigest()
                case _:
                    found[name] = None
        return found

    def _ident(self, texts: Mapping[str, str]) -> str:
        content = json.dumps([self.table.name, dict(texts)], sort_keys=True).encode()
        return f"{self.table.name}:{hashlib.blake2b(content, digest_size=16).hexdigest()}"


def push_tables(graph: Graph) -> dict[str, PushTable]:
    """By source the tables that take rows over HTTP.

    Raises:
        UsageError: a check of one cannot be carried out without Spark.
    """
    return {
        table.source_name: PushTable(table, graph)
        for table in graph.tables.values()
        if isinstance(table.source, FilesSource) and table.source.push
    }

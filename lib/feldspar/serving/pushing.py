"""Takes rows over HTTP: judged at once, kept before the answer, served at once; knows no HTTP.

A request is taken whole or not at all. Every row is known from one moment on, later than that of
the row before it in this process; bronze takes that moment over, and so does Redis.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from feldspar.compute.checks.texts import typing_of
from feldspar.compute.json_texts import split, split_many
from feldspar.errors import InputError, StoreError, UsageError, nearest
from feldspar.graph.graph import Graph
from feldspar.serving.inbox import GroupCommit
from feldspar.serving.keeping import Asked, Keeper, Outcome
from feldspar.serving.push_tables import PushTable, Row, Update, push_tables
from feldspar.spec.environment import Environment
from feldspar.stores.objects import opened_writer
from feldspar.stores.pushed import PushStore
from feldspar.stores.tables.lake import Lake
from feldspar.times import to_micros, utc_now

MOST_ROWS = 1_000
"""Rows that one request may have."""
_MOST_WAITING = 20_000
_LEFT_BY_WRITE_BACK = 18_000
"""Rows' room that scores leave to requests, which wait for their answer."""
Allow = Callable[[str, Sequence[Mapping[str, Any]]], None]
_LOG = logging.getLogger(__name__)


class UnknownSourceError(InputError):
    """There is no source of this name that takes rows."""


@dataclass(frozen=True)
class Rejected:
    """A row of a request, by its place, and why it does not pass."""

    index: int
    reasons: tuple[str, ...]


class RejectedError(InputError):
    """Rows of a request do not pass; nothing of it was taken."""

    def __init__(self, source: str, rejected: Sequence[Rejected]) -> None:
        self.rejected = tuple(rejected)
        super().__init__(f"{len(rejected)} rows of this request to {source} do not pass")


class Pushing:
    """All push sources of one process.

    Args:
        graph: the compiled project.
        environment: names clock, lake and Redis.

    Raises:
        UsageError: a check of a table cannot be carried out without Spark.
    """

    def __init__(self, graph: Graph, environment: Environment) -> None:
        self.tables: Mapping[str, PushTable] = push_tables(graph)
        self._keys = {key for entity in graph.entities.values() for key in entity.key}
        self.dropped = 0
        """Scores that were not written back."""
        self._store = PushStore.of_environment(environment)
        self._wall = environment.clock == "wall"
        self._written_back = {
            model.service.name: model.spec.write_back
            for model in graph.models.values()
            if model.spec.write_back
        }
        lake = Lake.of(environment)
        # where nothing is pushed the storage is not needed
        write = opened_writer(lake.storage) if self.tables else _nowhere
        keeper = Keeper(self._store, lake, write)
        self._queue: GroupCommit[Asked, Outcome] = GroupCommit(keeper, most=_MOST_WAITING)
        self._last = 0

    @property
    def blocks(self) -> bool:
        """Whether taking a request asks Redis for the clock, so that it must not hold up others."""
        return not self._wall

    def push(self, source: str, body: str, allow: Allow) -> Future[Outcome]:
        """Takes one row, or a list of rows, as JSON.

        Args:
            source: that takes them.
            body: what was sent.
            allow: stops what the caller may not push, by source and the rows' entities.

        Raises:
            UnknownSourceError: no such source takes rows.
            UsageError: the body is neither a row nor a list of at most ``MOST_ROWS``.
            RejectedError: a row does not pass.
            StoreError: too many rows wait, or the clock is not known.
        """
        table = self._table(source)
        rows = _rows_of(body)
        now = self._now()
        judged = [table.judge.judge(row, known=now) for row in rows]
        rejected = [Rejected(at, one.reasons) for at, one in enumerate(judged) if one.reasons]
        if rejected:
            raise RejectedError(source, rejected)
        keys = [name for name in self._keys if name in table.table.types()]
        allow(source, [{name: one.values[name] for name in keys} for one in judged])
        ready = [table.row(one.values, 0) for one in judged]

        def make() -> Asked:
            return Asked(table, tuple(self._known(row, now) for row in ready))

        return self._queue.submit(make, rows=len(ready))

    def update(self, key: str, body: str, allow: Allow) -> Future[Outcome]:
        """Takes some columns of one entity; the others keep their last values.

        Args:
            key: of the entity, as text.
            body: a JSON object of columns.
            allow: as of ``push``.

        Raises:
            UnknownSourceError: no source can be updated by one key.
            UsageError: the body is no object, is empty, or names an unknown column.
            StoreError: too many rows wait, or the clock is not known.
        """
        table, name = self.updated()
        given = split(body)
        if not given:
            raise UsageError(f"the body is a JSON object of columns of {table.table.name}")
        allow(table.source, [{name: self.key_value(key)}])
        keys = {name: key}
        table.refuse_unknown(given, keys)
        now = self._now()

        def make() -> Asked:
            return Asked(table, update=Update(keys, given, self._tick(now)))

        return self._queue.submit(make, rows=1)

    def updated(self) -> tuple[PushTable, str]:
        """The table that updates go to, and the key column they are asked by.

        It is the first in the project that has a plain view of one key, and that no score is
        written back to.

        Raises:
            UnknownSourceError: there is none.
        """
        own = set(self._written_back.values())
        for table in self.tables.values():
            view = None if table.latest is None else table.latest.view
            if view is not None and len(view.keys) == 1 and table.source not in own:
                return table, view.keys[0]
        raise UnknownSourceError("no source takes updates: none with 'push: true' has a plain view")

    def key_value(self, text: str) -> Any:
        """The typed key of ``update``; a time in microseconds.

        Raises:
            UsageError: it is not of the key's type.
        """
        table, name = self.updated()
        kind = table.table.types()[name]
        value = typing_of(kind, table.table.source.zone)(text)
        if value is None:
            raise UsageError(f"{name} is a {kind.value}; found {text!r}")
        return value

    def write_back(
        self, service: str, keys: Mapping[str, Any], answer: Mapping[str, Any], *, at: int | None
    ) -> None:
        """Enters a score where the service's model says; never waits, drops what has no room.

        Args:
            service: that was asked.
            keys: of its entities.
            answer: what the champion said; ``score`` is its credit score, else its probability.
            at: the clock of the answer, microseconds; None: it was about another time.
        """
        table = self.tables.get(self._written_back.get(service, ""))
        now = to_micros(utc_now()) if self._wall else at or self._last
        if table is None or not now:
            return
        score = answer.get("credit_score", answer.get("probability"))
        values = {**answer, "score": score}
        columns = table.table.types()
        given = {
            name: None if one is None else str(one)
            for name, one in values.items()
            if name in columns
        }
        texts = {name: str(one) for name, one in keys.items() if name in columns}

        def make() -> Asked:
            return Asked(table, update=Update(texts, given, self._tick(now), merges=False))

        try:
            self._queue.submit(make, rows=1, leave=_LEFT_BY_WRITE_BACK).add_done_callback(
                self._entered
            )
        except StoreError:
            self.dropped += 1

    def close(self) -> None:
        """Returns when every row that was taken is kept, or was given up and said so."""
        self._queue.close()
        self._store.close()

    def _entered(self, done: Future[Outcome]) -> None:
        problem = done.exception()
        outcome = None if problem else done.result()
        if outcome is not None and outcome.kept:
            return
        self.dropped += 1
        why = problem or (outcome and (outcome.problem or outcome.refused))
        _LOG.warning("a score was not written back: %s", why)

    def _table(self, source: str) -> PushTable:
        if source in self.tables:
            return self.tables[source]
        near = ", ".join(nearest(source, self.tables)) or ", ".join(self.tables) or "none"
        raise UnknownSourceError(
            f"there is no source {source!r} that takes rows; nearest: {near}",
            hint=f"say 'push: true' in conf/sources/{source}.yaml",
        )

    def _now(self) -> int:
        """Now by the environment's clock, microseconds."""
        if self._wall:
            return to_micros(utc_now())
        clock = self._store.clock()
        if clock is None:
            raise StoreError("the data clock has not begun: nothing was pushed from gold yet")
        # later than all that gold has, which may be of this very moment
        return clock + 1

    def _tick(self, now: int) -> int:
        """A moment later than any before; called in the order of the queue."""
        self._last = max(now, self._last + 1)
        return self._last

    def _known(self, row: Row, now: int) -> Row:
        return Row(row.table, row.values, row.texts, self._tick(now), row.ident)


def _nowhere(uri: str, _: bytes) -> None:
    raise StoreError(f"{uri}: no source takes pushed rows")


def _rows_of(body: str) -> list[dict[str, str | None]]:
    rows = split_many(body, most=MOST_ROWS)
    if rows is None:
        text = f"the body is a JSON object, or a list of 1 to {MOST_ROWS:,} of them"
        raise UsageError(text)
    return rows

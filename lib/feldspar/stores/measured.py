"""Looks up what ``feldspar status`` tells: logs, listings, small tables; no JVM, no rows of data.

What cannot be looked at is a line of ``troubles``, and the rest is told all the same.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeVar
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.compute as pc

from feldspar.errors import FeldsparError, StoreError, TableNotFoundError, UnreachableError
from feldspar.graph.graph import Graph
from feldspar.graph.observed import Observed, PushState, SourceState, TableId, TableState
from feldspar.graph.unread import Unread, unread
from feldspar.spec.environment import Environment, StorageSpec
from feldspar.stores import deployed
from feldspar.stores.online import OnlineStore
from feldspar.stores.tables import arrow, audits, log, steps
from feldspar.stores.tables.audits import AuditRow
from feldspar.stores.tables.lake import Lake
from feldspar.stores.tables.steps import StepRow
from feldspar.stores.tables.summary import AT_ONCE, TableSummary, newest_event, summaries
from feldspar.times import utc_now

RECENT = timedelta(days=1)
MOST_COMMITS = 500
"""The rows of more versions than these are not counted."""
_SECONDS_TO_CONNECT = 3.0
_LEDGER = ("table", "generation", "rows_in", "quarantined", "finished_at")
T = TypeVar("T")


@dataclass(frozen=True)
class Refusals:
    """Rows that came and rows that were refused: of all batches, and of the last day's."""

    rows_in: int = 0
    refused: int = 0
    recent_in: int = 0
    recent_refused: int = 0


@dataclass(frozen=True)
class Behind:
    """How far a table is behind; ``rows`` is None where they are not counted."""

    unread: Unread
    rows: int | None


@dataclass(frozen=True)
class Measured:
    """Everything that was looked up.

    Attributes:
        at: the wall clock.
        clock: the environment's; None where it is ``data`` and there are none.
        observed: what a plan is told, but for models.
        tables: what the logs of tables say; None where storage does not answer.
        behind: by what is behind; lacks what has no source yet, or could not be looked at.
        refusals: by silver table, of its present generation.
        steps: the last run of each step.
        audits: each service's last one, a row a feature.
        online: by view, the newest event that Redis has; None where Redis does not answer.
        online_bytes: what the Redis server holds.
        troubles: what could not be looked at, and why.
    """

    at: datetime
    clock: datetime | None = None
    observed: Observed = field(default_factory=Observed)
    tables: Mapping[TableId, TableSummary] | None = None
    behind: Mapping[str, Behind] = field(default_factory=dict)
    refusals: Mapping[str, Refusals] = field(default_factory=dict)
    steps: Mapping[str, StepRow] = field(default_factory=dict)
    audits: tuple[AuditRow, ...] = ()
    online: Mapping[str, datetime] | None = None
    online_bytes: int | None = None
    troubles: tuple[str, ...] = ()


def measure(graph: Graph, environment: Environment, *, store: OnlineStore) -> Measured:
    """Looks at storage and Redis; each may be away."""
    look = _Look(graph, environment, store)
    if not look.storage_answers():
        return Measured(utc_now(), troubles=tuple(look.troubles))
    with ThreadPoolExecutor(AT_ONCE) as pool:
        pushed, memory = pool.submit(look.pushed), pool.submit(look.memory)
        last, ledger = pool.submit(look.steps), pool.submit(look.ledger)
        sources, audited = pool.submit(look.sources), pool.submit(look.audits)
        states = look.states()
        tables = look.tables(states)
        at, views = utc_now(), pushed.result()
        observed = Observed(states, sources.result(), pushed=views or {})
        return Measured(
            at=at,
            clock=_clock(environment, tables, at=at),
            observed=observed,
            tables=tables,
            behind=look.behind(observed, redis_answers=views is not None),
            refusals=refusals(ledger.result(), states, at=at),
            steps=last.result(),
            audits=audited.result(),
            online=None if views is None else look.online(views, tables),
            online_bytes=memory.result(),
            troubles=tuple(dict.fromkeys(look.troubles)),
        )


@dataclass(frozen=True)
class _Look:
    """One look; what fails is noted."""

    graph: Graph
    environment: Environment
    store: OnlineStore
    troubles: list[str] = field(default_factory=list)

    @property
    def lake(self) -> Lake:
        return Lake.of(self.environment)

    def storage_answers(self) -> bool:
        return self._or(None, "", lambda: _reach(self.environment.storage)) is not None

    def pushed(self) -> dict[str, PushState] | None:
        return self._or(None, "", lambda: self.store.pushed(self.graph.views))

    def memory(self) -> int | None:
        return self._or(None, "", self.store.memory)

    def steps(self) -> dict[str, StepRow]:
        return self._or({}, "ops.steps: ", lambda: steps.newest(self.lake))

    def audits(self) -> tuple[AuditRow, ...]:
        return self._or((), "ops.audits: ", lambda: audits.newest(self.lake))

    def ledger(self) -> pa.Table | None:
        return self._or(None, "ops.ledger: ", self._ledger)

    def _ledger(self) -> pa.Table | None:
        try:
            return arrow.read(self.lake, "ops", "ledger", columns=_LEDGER)
        except TableNotFoundError:
            return None

    def sources(self) -> dict[str, SourceState]:
        found = {name: self._source(name) for name in self.graph.sources}
        return {name: state for name, state in found.items() if state is not None}

    def _source(self, name: str) -> SourceState | None:
        def look() -> SourceState | None:
            return deployed.source_state(name, self.graph, self.environment)

        return self._or(None, f"source {name}: ", look)

    def states(self) -> dict[TableId, TableState]:
        return self._or({}, "", lambda: deployed.table_states(self.graph, self.lake))

    def tables(self, states: Mapping[TableId, TableState]) -> dict[TableId, TableSummary]:
        names = [one for one in states if one[0] != "ops"]
        found: tuple[TableSummary, ...] = self._or((), "", lambda: summaries(self.lake, names))
        return {(one.layer, one.name): one for one in found}

    def behind(self, observed: Observed, *, redis_answers: bool) -> dict[str, Behind]:
        wanted = [
            one
            for one in unread(self.graph, observed)
            if redis_answers or not one.target.startswith("online ")
        ]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            rows = list(pool.map(lambda one: _rows(self.lake, one), wanted))
        return {one.target: Behind(one, found) for one, found in zip(wanted, rows, strict=True)}

    def online(
        self, views: Mapping[str, PushState], tables: Mapping[TableId, TableSummary]
    ) -> dict[str, datetime]:
        """Gold's newest event, as of the version that was pushed."""
        found = {}
        for name, pushed in views.items():
            gold = tables.get(("gold", name))
            if gold is not None and gold.version == pushed.version:
                newest = gold.newest_event
            else:
                newest = _newest_at(self.lake, name, version=pushed.version)
            if newest is not None:
                found[name] = newest
        return found

    def _or(self, otherwise: T, what: str, look: Callable[[], T]) -> T:
        try:
            return look()
        except FeldsparError as error:
            self.troubles.append(f"{what}{error.message}")
            return otherwise


def refusals(
    ledger: pa.Table | None, states: Mapping[TableId, TableState], *, at: datetime
) -> dict[str, Refusals]:
    """What the ledger says of each silver table."""
    if ledger is None:
        return {}
    since = pa.scalar(at - RECENT, ledger["finished_at"].type)
    whole = _sums(ledger)
    recent = _sums(ledger.filter(pc.greater_equal(ledger["finished_at"], since)))
    return {
        name: Refusals(*whole.get(key, (0, 0)), *recent.get(key, (0, 0)))
        for (layer, name), state in states.items()
        if layer == "silver" and (key := (name, state.generation)) in whole
    }


def _sums(ledger: pa.Table) -> dict[tuple[str, int], tuple[int, int]]:
    grouped = ledger.group_by(["table", "generation"]).aggregate(
        [("rows_in", "sum"), ("quarantined", "sum")]
    )
    return {
        (row["table"], row["generation"]): (row["rows_in_sum"], row["quarantined_sum"])
        for row in grouped.to_pylist()
    }


def _clock(
    environment: Environment, tables: Mapping[TableId, TableSummary], *, at: datetime
) -> datetime | None:
    if environment.clock == "wall":
        return at
    newest = [one.newest_event for (layer, _), one in tables.items() if layer == "silver"]
    return max((one for one in newest if one is not None), default=None)


def _rows(lake: Lake, one: Unread) -> int | None:
    if not one.versions:
        return 0
    if not one.layer or (one.after is not None and one.versions > MOST_COMMITS):
        return None
    try:
        if one.after is None:
            return log.amounts(lake, one.layer, one.name, version=one.upto)[0]
        commits = [
            log.read_commit(lake, one.layer, one.name, version=version)
            for version in range(one.after + 1, one.upto + 1)
        ]
    except StoreError:
        return None  # the log no longer keeps one of them
    return sum(commit.rows for commit in commits)


def _newest_at(lake: Lake, view: str, *, version: int) -> datetime | None:
    try:
        return newest_event(lake, "gold", view, version=version)
    except StoreError:
        return None  # the log no longer keeps it


def _reach(storage: StorageSpec) -> bool:
    """Asks whether anybody listens at an endpoint: clients would go on trying for minutes."""
    if not storage.endpoint:
        return True
    parts = urlsplit(storage.endpoint)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        with socket.create_connection((parts.hostname or "", port), _SECONDS_TO_CONNECT):
            return True
    except OSError as error:
        text = f"nothing answers at {storage.endpoint}: {error}"
        raise UnreachableError(text, hint="make up, or check storage.endpoint") from error

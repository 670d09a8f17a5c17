"""How a project is doing, from what was looked up: freshness, lag, refusals, the last runs.

Pure: numbers in, lines out. What somebody should look at is in ``monitor.findings``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from feldspar.graph.graph import Graph
from feldspar.graph.observed import Observed, RelationState, TopicState, WaitingFile
from feldspar.graph.plan import plan
from feldspar.graph.planning.topics import next_load
from feldspar.graph.view import View
from feldspar.spec.source import FilesSource, HttpSource, JdbcSource, KafkaSource
from feldspar.stores.measured import Behind, Measured, Refusals
from feldspar.stores.tables.audits import AuditRow
from feldspar.stores.tables.steps import StepRow

Verdict = Literal["ok", "late"]
Ingested = FilesSource | KafkaSource | JdbcSource | HttpSource
"""Sources that have a bronze table."""


@dataclass(frozen=True)
class Freshness:
    """How old the newest event is by the environment's clock, and how old it may be.

    ``age`` is None where there is no event, or no clock.
    """

    newest: datetime | None = None
    age: timedelta | None = None
    target: timedelta | None = None

    @property
    def verdict(self) -> Verdict | None:
        """Whether the target is met, to the second; None without one."""
        if self.target is None:
            return None
        return "ok" if self.age is not None and self.age <= self.target else "late"


@dataclass(frozen=True)
class Lag:
    """What a table has not taken of its source: files, messages, or versions of a table.

    ``rows`` is None where they are not counted.
    """

    source: str
    versions: int = 0
    rows: int | None = 0
    of_files: bool = False
    files: int = 0
    bytes: int = 0

    @property
    def is_behind(self) -> bool:
        """Whether there are rows, or files, to take; a version may have none."""
        return bool(self.files or self.rows or (self.rows is None and self.versions))


@dataclass(frozen=True)
class Line:
    """One table, or one view in Redis, that conf/ defines.

    Attributes:
        name: ``silver.transactions``, ``online customer_spend``.
        version: None where there is no such table yet.
        lag: None where its source is not there, or could not be looked at.
        refused: of a silver table.
        last: the last run of the step that makes it.
    """

    name: str
    version: int | None = None
    rows: int | None = None
    bytes: int | None = None
    files: int | None = None
    freshness: Freshness = Freshness()
    lag: Lag | None = None
    refused: Refusals | None = None
    last: StepRow | None = None


@dataclass(frozen=True)
class Standing:
    """Everything that ``feldspar status`` tells of tables.

    Attributes:
        namespace: of the environment.
        at: the wall clock.
        clock: the environment's.
        lines: in the order of a run; lacks what lies where nothing answers.
        steps: the last run of each step that conf/ still has.
        audits: the last audit of each service that conf/ still has, a row a feature.
        online_bytes: what the Redis server holds.
        troubles: what could not be looked at, and why.
    """

    namespace: str
    at: datetime
    clock: datetime | None
    lines: tuple[Line, ...]
    steps: tuple[StepRow, ...]
    online_bytes: int | None
    troubles: tuple[str, ...]
    audits: tuple[AuditRow, ...] = ()


def standing(graph: Graph, measured: Measured, *, namespace: str) -> Standing:
    """How each table and view that conf/ defines is."""
    # what was removed from conf/ need not run again
    known = {step.name for step in plan(graph, Observed()).steps}
    steps = tuple(row for name, row in measured.steps.items() if name in known)
    return Standing(
        namespace=namespace,
        at=measured.at,
        clock=measured.clock,
        lines=tuple(_lines(graph, measured)),
        steps=steps,
        online_bytes=measured.online_bytes,
        troubles=measured.troubles,
        audits=tuple(row for row in measured.audits if row.service in graph.services),
    )


def _lines(graph: Graph, measured: Measured) -> Iterator[Line]:
    if measured.tables is not None:
        yield from _tables(graph, measured)
        for name, view in graph.views.items():
            yield _line("gold", name, measured, target=view.freshness)
    if measured.online is not None:
        for name, view in graph.views.items():
            yield _online(view, measured, newest=measured.online.get(name))


def _tables(graph: Graph, measured: Measured) -> Iterator[Line]:
    for name, source in graph.sources.items():
        if isinstance(source, Ingested):
            yield _line("bronze", name, measured, lag=_waiting(name, source, measured))
    for name, table in graph.tables.items():
        refused = measured.refusals.get(name)
        yield _line("silver", name, measured, target=table.spec.freshness, refused=refused)
    for name, table in graph.tables.items():
        if table.history is not None:
            yield _line("history", name, measured)


def _line(
    layer: str,
    name: str,
    measured: Measured,
    *,
    target: timedelta | None = None,
    lag: Lag | None = None,
    refused: Refusals | None = None,
) -> Line:
    full, held = f"{layer}.{name}", (measured.tables or {}).get((layer, name))
    last, lag = measured.steps.get(full), lag or _lag(measured.behind.get(full))
    if held is None:
        return Line(full, freshness=Freshness(target=target), lag=lag, refused=refused, last=last)
    return Line(
        full,
        version=held.version,
        rows=held.rows,
        bytes=held.size,
        files=held.files,
        freshness=freshness(held.newest_event, measured.clock, target=target),
        lag=lag,
        refused=refused,
        last=last,
    )


def _online(view: View, measured: Measured, *, newest: datetime | None) -> Line:
    name, pushed = f"online {view.name}", measured.observed.pushed.get(view.name)
    return Line(
        name,
        version=None if pushed is None else pushed.version,
        freshness=freshness(newest, measured.clock, target=view.freshness),
        lag=_lag(measured.behind.get(name)),
        last=measured.steps.get(name),
    )


def freshness(
    newest: datetime | None, clock: datetime | None, *, target: timedelta | None
) -> Freshness:
    """How old the newest event is; one of the future is not old at all."""
    if newest is None or clock is None:
        return Freshness(newest, target=target)
    return Freshness(newest, max(clock - newest, timedelta(0)), target)


def _waiting(name: str, source: Ingested, measured: Measured) -> Lag | None:
    state = measured.observed.sources.get(name)
    if state is None:
        return None
    if isinstance(source, JdbcSource):
        return None if state.relation is None else _rows(state.relation, source)
    if isinstance(source, HttpSource) and state.pages is not None:
        # what the server has that was not asked for, nobody knows
        return _files(name, state.pages.waiting)
    if isinstance(source, KafkaSource):
        return None if state.topic is None else _messages(state.topic, source)
    return _files(name, state.waiting)


def _files(name: str, waiting: Sequence[WaitingFile]) -> Lag:
    size = sum(file.size for file in waiting)
    return Lag(f"source {name}", of_files=True, files=len(waiting), bytes=size)


def _messages(topic: TopicState, source: KafkaSource) -> Lag:
    """All that wait, also those that the next load will leave."""
    load = next_load(topic, source, accept=True).messages
    ranges = () if load is None else load.ranges
    return Lag(f"topic {topic.topic}", rows=sum(one.upto - one.begin + one.left for one in ranges))


def _rows(state: RelationState, source: JdbcSource) -> Lag:
    """Rows that no load has taken; of snapshots nothing waits, one is due or is not."""
    waiting = state.waiting if source.incremental_column is not None else 0
    return Lag(state.relation, rows=waiting)


def _lag(behind: Behind | None) -> Lag | None:
    if behind is None:
        return None
    return Lag(behind.unread.source, behind.unread.versions, behind.rows)

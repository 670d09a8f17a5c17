"""How a project is doing, in Prometheus' text format: for node_exporter's textfile collector.

Names and units follow Prometheus' conventions; every sample says the namespace, and a figure that
is not known has no sample.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Generic, TypeVar

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from feldspar.monitor.standing import Freshness, Lag, Line, Standing
from feldspar.stores.measured import Refusals
from feldspar.stores.tables.audits import AuditRow
from feldspar.stores.tables.steps import StepRow

T = TypeVar("T")
Named = Sequence[tuple[tuple[str, ...], T]]
"""The values of labels, and what the figures are of."""


@dataclass(frozen=True)
class Figure(Generic[T]):
    """One metric; ``counts``: it only grows, until a table is rebuilt."""

    name: str
    text: str
    of: Callable[[T], float | None]
    counts: bool = False


def _span(length: timedelta | None) -> float | None:
    return None if length is None else length.total_seconds()


def _instant(one: datetime | None) -> float | None:
    return None if one is None else one.timestamp()


_TABLES = (
    Figure[Line]("table_rows", "Rows", lambda one: one.rows),
    Figure[Line]("table_bytes", "Bytes of live files", lambda one: one.bytes),
    Figure[Line]("table_files", "Live files", lambda one: one.files),
    Figure[Line](
        "table_version",
        "Version of the table; of a view in Redis the version of gold that it equals",
        lambda one: one.version,
    ),
)
_FRESHNESS = (
    Figure[Freshness](
        "newest_event_timestamp_seconds",
        "Time of the newest event",
        lambda one: _instant(one.newest),
    ),
    Figure[Freshness](
        "freshness_seconds",
        "Age of the newest event by the environment's clock",
        lambda one: _span(one.age),
    ),
    Figure[Freshness](
        "freshness_target_seconds",
        "How old the newest event may be",
        lambda one: _span(one.target),
    ),
    Figure[Freshness](
        "freshness_late",
        "1 where the target is missed",
        lambda one: None if one.verdict is None else float(one.verdict == "late"),
    ),
)
_LAG = (
    Figure[Lag]("lag_rows", "Rows of the source that are not taken yet", lambda one: one.rows),
    Figure[Lag]("lag_versions", "Versions of the source not taken yet", lambda one: one.versions),
)
_WAITING = (
    Figure[Lag](
        "waiting_files", "Files of the source that no load has taken", lambda one: one.files
    ),
    Figure[Lag]("waiting_bytes", "Bytes of the files that wait", lambda one: one.bytes),
)
_REFUSALS = (
    Figure[Refusals](
        "rows_in", "Rows that came, by the ledger", lambda one: one.rows_in, counts=True
    ),
    Figure[Refusals](
        "rows_refused", "Rows refused when they came", lambda one: one.refused, counts=True
    ),
)
_STEPS = (
    Figure[StepRow]("step_seconds", "Seconds of the step's last run", lambda one: one.seconds),
    Figure[StepRow]("step_rows_in", "Rows that it read", lambda one: one.rows_in),
    Figure[StepRow]("step_rows_out", "Rows that it wrote", lambda one: one.rows_out),
    Figure[StepRow]("step_rows_refused", "Rows that it refused", lambda one: one.refused),
    Figure[StepRow](
        "step_started_timestamp_seconds", "When it began", lambda one: _instant(one.started_at)
    ),
    Figure[StepRow](
        "step_failed", "1 where it failed or was stuck", lambda one: float(one.went_wrong)
    ),
)
_AUDITS = (
    Figure[AuditRow](
        "audit_values_compared",
        "Served values that the last audit replayed",
        lambda one: one.compared,
    ),
    Figure[AuditRow](
        "audit_values_different",
        "Of them those that differ from gold at the version that was served",
        lambda one: one.different,
    ),
    Figure[AuditRow](
        "audit_values_stale",
        "Of them those that gold, as it was then, says were known otherwise",
        lambda one: one.stale,
    ),
    Figure[AuditRow](
        "audit_late_seconds", "How late stale values came, at most", lambda one: one.late_seconds
    ),
    Figure[AuditRow](
        "audit_failed", "1 where values differ or too many are stale", lambda one: float(one.failed)
    ),
    Figure[AuditRow](
        "audit_timestamp_seconds", "When it was audited", lambda one: _instant(one.audited_at)
    ),
)
_CLOCKS = (
    Figure[datetime](
        "clock_timestamp_seconds",
        "The environment's clock (of=environment), and when this was written (of=wall)",
        _instant,
    ),
)
_ONLINE = (Figure[int]("online_memory_bytes", "Memory of the Redis server", float),)
_SERVERS = (Figure[bool]("server_up", "Whether the local server is well", float),)


def exposition(found: Standing, *, servers: Mapping[str, bool] | None = None) -> bytes:
    """The whole text.

    Args:
        found: what was looked up.
        servers: the local ones by name, and whether each is well.
    """
    registry = CollectorRegistry()
    registry.register(_Collected([*_metrics(found, servers or {})]))
    return generate_latest(registry)


def write_exposition(path: Path, text: bytes) -> None:
    """Replaces a file as a whole: who reads it sees the old text or the new one.

    Raises:
        OSError: it cannot be written there.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_bytes(text)
    os.replace(draft, path)


class _Collected(Collector):
    """Metrics that were made before, as a registry wants them."""

    def __init__(self, metrics: Sequence[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics


def _metrics(found: Standing, servers: Mapping[str, bool]) -> Iterator[Metric]:
    lines = [((one.name,), one) for one in found.lines]
    lags = [((one.name, one.lag.source), one.lag) for one in found.lines if one.lag]
    clocks = {"wall": found.at, "environment": found.clock}
    space = found.namespace
    yield from _made(space, _TABLES, ("table",), lines)
    yield from _made(space, _FRESHNESS, ("table",), [(key, one.freshness) for key, one in lines])
    yield from _made(space, _LAG, ("table", "source"), [one for one in lags if not one[1].of_files])
    yield from _made(space, _WAITING, ("table", "source"), [one for one in lags if one[1].of_files])
    refused = [(key, one.refused) for key, one in lines if one.refused]
    yield from _made(space, _REFUSALS, ("table",), refused)
    steps = [((one.step, one.verb), one) for one in found.steps]
    yield from _made(space, _STEPS, ("step", "verb"), steps)
    audited = [((one.service, one.feature), one) for one in found.audits]
    yield from _made(space, _AUDITS, ("service", "feature"), audited)
    memory = [] if found.online_bytes is None else [((), found.online_bytes)]
    yield from _made(space, _ONLINE, (), memory)
    yield from _made(space, _CLOCKS, ("of",), [((of,), at) for of, at in clocks.items() if at])
    yield from _made(space, _SERVERS, ("server",), [((name,), up) for name, up in servers.items()])


def _made(
    namespace: str, figures: Sequence[Figure[T]], labels: tuple[str, ...], named: Named[T]
) -> Iterator[Metric]:
    for figure in figures:
        kind = CounterMetricFamily if figure.counts else GaugeMetricFamily
        labelled = ["namespace", *labels]
        metric = kind(f"feldspar_{figure.name}", f"{figure.text}.", labels=labelled)
        for values, one in named:
            value = figure.of(one)
            if value is not None:
                metric.add_metric([namespace, *values], value)
        if metric.samples:
            yield metric

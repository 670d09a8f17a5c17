"""The tables and views that are decided for, and what is asked of each.

A table stands for its silver and history, a view for its gold and Redis, as in their files. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from statistics import median

from feldspar.graph.graph import Graph
from feldspar.graph.view import View
from feldspar.monitor.auto.decide import Known, decide
from feldspar.monitor.auto.estimate import Load
from feldspar.monitor.auto.options import Around, Need
from feldspar.spec.definition import AUTO, BY_APPLY, Timing
from feldspar.spec.source import FilesSource
from feldspar.stores.tables.decisions import Decision
from feldspar.times import format_duration

LOOKS = 10
"""How often in a rest of its tables a source is brought to bronze, at most."""
_SOONEST = 1.0
"""Seconds. A target that others use up is still one."""


@dataclass(frozen=True)
class Unit:
    """A table or a view, its trigger, and the steps that bring it up to date.

    Attributes:
        name: of the first of them: ``silver.transactions``, ``gold.customer_spend``.
        steps: the one that counts rows, then the one that follows it.
        reads: the unit of the table that a view reads; empty for a table.
        source: the step that brings files to bronze for a table; empty for a view, and for a
            source whose loads are bounded (``most``): it could not catch up.
    """

    name: str
    steps: tuple[str, ...]
    trigger: Timing | None
    freshness: timedelta | None
    cost: float | None
    reads: str = ""
    source: str = ""

    @property
    def is_auto(self) -> bool:
        """Whether it is decided for."""
        return self.trigger == AUTO


@dataclass(frozen=True)
class Measured:
    """What is known of all units, by name, and what they share.

    Attributes:
        known: loads and decisions.
        arrival: seconds from an event to bronze, by the unit of the table.
        round: seconds from a round of the stream to the next.
        cores: that the driver has.
    """

    known: Mapping[str, Known] = field(default_factory=dict)
    arrival: Mapping[str, float] = field(default_factory=dict)
    round: float = 0.0
    cores: int = 1

    def of(self, name: str) -> Known:
        """What is known of one."""
        return self.known.get(name, Known())


def units(graph: Graph) -> tuple[Unit, ...]:
    """All tables, then all views, whatever their trigger: what one does, others wait for."""
    tables = [
        Unit(
            f"silver.{name}",
            (f"silver.{name}", f"history.{name}"),
            table.spec.trigger,
            table.spec.freshness,
            table.spec.cost,
            source=f"bronze.{table.source_name}" if isinstance(table.source, FilesSource) else "",
        )
        for name, table in graph.tables.items()
    ]
    return (*tables, *(_of_view(view) for view in graph.views.values()))


def _of_view(view: View) -> Unit:
    steps = (f"gold.{view.name}", f"online {view.name}")
    reads = f"silver.{view.table}"
    return Unit(steps[0], steps, view.trigger, view.freshness, view.cost, reads)


def decide_all(
    all_units: Sequence[Unit], measured: Measured, *, run: int, at: datetime
) -> tuple[Decision, ...]:
    """A decision for each unit that is decided for.

    Args:
        all_units: tables before the views that read them.
        measured: what is known of them.
        run: the epoch of the stream.
        at: now.
    """
    found: dict[str, Decision] = {}
    for unit in all_units:
        if unit.is_auto:
            need = _need(unit, all_units, measured)
            around = _around(unit, all_units, measured, found)
            found[unit.name] = decide(
                unit.name, need, measured.of(unit.name), around, run=run, at=at
            )
    return tuple(found.values())


def resting_sources(
    all_units: Sequence[Unit], every: Mapping[str, float], waited: Mapping[str, float]
) -> dict[str, str]:
    """Bronze that only resting tables read, and that was brought up to date a short while ago.

    It is what tells that many rows wait, so it does not rest as long as they do.

    Args:
        all_units: those of the project.
        every: of each one that rests now, seconds from load to load.
        waited: by step of bronze, seconds since it last began; lacks what did not.

    Returns:
        By step the reason.
    """
    shortest: dict[str, float] = {}
    for unit in all_units:
        if unit.source:
            pause = every.get(unit.name, 0.0) / LOOKS
            shortest[unit.source] = min(pause, shortest.get(unit.source, pause))
    return {
        name: "trigger: auto of its tables, which rest"
        for name, pause in shortest.items()
        if waited.get(name, pause) < pause
    }


def _need(unit: Unit, all_units: Sequence[Unit], measured: Measured) -> Need:
    targets = list(_targets(unit, all_units, measured))
    target, wanted_by = min(targets) if targets else (None, "")
    return Need(target, wanted_by, unit.cost)


def _targets(
    unit: Unit, all_units: Sequence[Unit], measured: Measured
) -> Iterator[tuple[float, str]]:
    """Its own, and what the targets of views that read it leave."""
    if unit.freshness is not None:
        yield unit.freshness.total_seconds(), unit.name
    for view in all_units:
        if view.reads != unit.name or view.freshness is None or view.trigger == BY_APPLY:
            continue
        own = _typical(measured.of(view.name).loads)
        own += view.trigger.total_seconds() if isinstance(view.trigger, timedelta) else 0.0
        left = max(_SOONEST, view.freshness.total_seconds() - own)
        yield left, f"{unit.name}, for the {format_duration(view.freshness)} of {view.name},"


def _around(
    unit: Unit, all_units: Sequence[Unit], measured: Measured, found: Mapping[str, Decision]
) -> Around:
    table = next((one for one in all_units if one.name == unit.reads), None)
    name = unit.name if table is None else table.name
    feeding = upstream = 0.0
    if table is not None:
        upstream = _typical(measured.of(table.name).loads)
        decision = found.get(table.name)
        if decision is not None:
            feeding = decision.every_seconds
        elif isinstance(table.trigger, timedelta):
            feeding = table.trigger.total_seconds()
    return Around(
        round=measured.round,
        feeding=feeding,
        upstream=upstream,
        arrival=measured.arrival.get(name, 0.0),
        cores=measured.cores,
    )


def _typical(loads: Sequence[Load]) -> float:
    return median(one.seconds for one in loads) if loads else 0.0

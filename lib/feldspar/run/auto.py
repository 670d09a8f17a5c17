"""Keeps the decisions of a stream for what has ``trigger: auto``, and lets its steps rest by them.

What is decided is in ``monitor.auto``. Here is what that needs of the outside: what past loads took
(``ops.steps``), what was said of them (``ops.decisions``), and how many rows wait.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from statistics import median

from feldspar.errors import StoreError
from feldspar.graph.observed import Observed
from feldspar.graph.unread import Unread, unread
from feldspar.monitor.auto.decide import Known, differs, rests
from feldspar.monitor.auto.estimate import LOADS, loads_of, rounds_of
from feldspar.monitor.auto.told import summary
from feldspar.monitor.auto.units import Measured, Unit, decide_all, resting_sources, units
from feldspar.run.execute import Run
from feldspar.run.remember import step_rows
from feldspar.run.workplace import Workplace
from feldspar.stores.measured import MOST_COMMITS
from feldspar.stores.tables import decisions, log, steps
from feldspar.stores.tables.decisions import REMEMBERED, Decision
from feldspar.stores.tables.steps import StepRow
from feldspar.stores.tables.summary import newest_event
from feldspar.times import utc_now

LOOKED_BACK = timedelta(days=30)
"""Loads of longer ago say little."""
_RECENT = 20
"""Rounds, and lags of events, that are remembered."""


@dataclass
class Auto:
    """What was measured and decided; filled round by round. Times are of a steady clock."""

    work: Workplace
    every: float
    all_units: tuple[Unit, ...]
    known: dict[str, Known] = field(default_factory=dict)
    began: dict[str, float] = field(default_factory=dict)
    spans: deque[float] = field(default_factory=lambda: deque(maxlen=_RECENT))
    lags: dict[str, deque[float]] = field(default_factory=dict)
    counted: dict[str, dict[int, int]] = field(default_factory=dict)

    @staticmethod
    def of(work: Workplace, every: timedelta) -> Auto:
        """Of all tables and views of a project; nothing is looked up yet.

        Args:
            work: of a run that writes (``Workplace.in_epoch``).
            every: from the start of a round to the next one's.
        """
        return Auto(work, every.total_seconds(), units(work.graph))

    @property
    def decided(self) -> tuple[Unit, ...]:
        """Those that have ``trigger: auto``."""
        return tuple(unit for unit in self.all_units if unit.is_auto)

    def resting(self, observed: Observed, now: float) -> Mapping[str, str]:
        """Names of the steps that are not due, and why; the first round takes all.

        Raises:
            StoreError: what past loads took could not be read.
        """
        if not self.decided:
            return {}
        if not self.known:
            self.known = self._read()
            self._decide()
        waiting = {one.target: one for one in unread(self.work.graph, observed)}
        found: dict[str, str] = {}
        for unit in self.decided:
            found |= dict.fromkeys(unit.steps, self._reason(unit, waiting, observed, now))
        found = {name: reason for name, reason in found.items() if reason}
        every = {
            name: known.last.every_seconds
            for name, known in self.known.items()
            if name in found and known.last is not None
        }
        waited = {name: now - began for name, began in self.began.items()}
        return {**found, **resting_sources(self.all_units, every, waited)}

    def note(self, run: Run, now: float) -> None:
        """What a round that began at a time has carried out; decides anew where it loaded."""
        if not self.decided:
            return
        rows = list(step_rows(run, epoch=self.work.tables.epoch, number=0))
        self.spans.append(run.seconds)
        done = {row.step: row for row in rows if row.outcome == "done"}
        loaded = [unit for unit in self.all_units if not done.keys().isdisjoint(unit.steps)]
        self.began |= dict.fromkeys((*done, *(unit.name for unit in loaded)), now)
        for unit in loaded:
            self._note_lag(unit, done.get(unit.name))
        for name, loads in loads_of(rows, self._steps()).items():
            known = self.known[name]
            self.known[name] = Known((*known.loads, *loads)[-LOADS:], known.said)
        if any(unit.is_auto for unit in loaded):
            self._decide()

    def _steps(self) -> dict[str, tuple[str, ...]]:
        return {unit.name: unit.steps for unit in self.all_units}

    def _read(self) -> dict[str, Known]:
        lake, by_unit = self.work.tables.lake, self._steps()
        names = [step for of_it in by_unit.values() for step in of_it]
        since = utc_now() - LOOKED_BACK
        rows = steps.done(lake, names, since=since, most=LOADS)
        loads, said = loads_of(rows, by_unit), decisions.newest(lake)
        self.spans.extend(rounds_of(rows))
        for one in said:
            if one.arrival_seconds:
                self.lags[one.name] = deque([one.arrival_seconds], maxlen=_RECENT)
        return {
            name: Known(loads[name], tuple(one for one in said if one.name == name))
            for name in by_unit
        }

    def _decide(self) -> None:
        """Enters what changed; a store that fails here fails no round."""
        measured = Measured(
            self.known,
            arrival={name: min(lags) for name, lags in self.lags.items()},
            round=max(self.every, median(self.spans) if self.spans else 0.0),
            cores=self.work.tables.spark.sparkContext.defaultParallelism,
        )
        run, at = self.work.tables.epoch, utc_now()
        found = decide_all(self.all_units, measured, run=run, at=at)
        new = [one for one in found if differs(one, self.known[one.name].last)]
        for one in new:
            known = self.known[one.name]
            self.known[one.name] = Known(known.loads, (*known.said, one)[-REMEMBERED:])
            self.work.say(f"trigger of {one.name}: auto, {summary(one)}")
        self._enter(new)

    def _enter(self, new: list[Decision]) -> None:
        if not new:
            return
        try:
            decisions.append(self.work.tables.lake, new)
        except StoreError as error:
            self.work.say(f"ops.decisions lacks this one: {error.message}")

    def _reason(
        self, unit: Unit, waiting: Mapping[str, Unread], observed: Observed, now: float
    ) -> str:
        began, decision = self.began.get(unit.name), self.known[unit.name].last
        if began is None or decision is None or self._is_urgent(unit, waiting, observed):
            return ""
        rows, waited = None, now - began
        if decision.wake_at is not None and decision.not_before_seconds <= waited:
            rows = self._rows(waiting.get(unit.name))
        return rests(decision, waited=waited, waiting=rows)

    def _is_urgent(self, unit: Unit, waiting: Mapping[str, Unread], observed: Observed) -> bool:
        """Whether it is not there yet, is to be made anew, or Redis lost it: no row is late then,
        all of them are.
        """
        anew = any(waiting[one].after is None for one in unit.steps if one in waiting)
        pushed = observed.pushed.get(unit.name.partition(".")[2]) if unit.reads else None
        return anew or (pushed is not None and bool(pushed.lost))

    def _rows(self, one: Unread | None) -> int | None:
        """Rows that wait; None where they are not counted. Each commit is read once."""
        if one is None or one.after is None or not one.layer or one.versions > MOST_COMMITS:
            return None
        lake, known = self.work.tables.lake, self.counted.get(one.target, {})
        counts: dict[int, int] = {}
        try:
            for version in range(one.after + 1, one.upto + 1):
                rows = known.get(version)
                if rows is None:
                    rows = log.read_commit(lake, one.layer, one.name, version=version).rows
                counts[version] = rows
        except StoreError:
            return None  # the log no longer keeps one of them
        self.counted[one.target] = counts
        return sum(counts.values())

    def _note_lag(self, unit: Unit, row: StepRow | None) -> None:
        """How old the newest row of silver was when its load began: so long events need to come."""
        if unit.reads or row is None or row.version is None:
            return
        if self.work.environment.clock != "wall":
            return
        layer, _, name = unit.name.partition(".")
        try:
            newest = newest_event(self.work.tables.lake, layer, name, version=row.version)
        except StoreError:
            return
        if newest is not None:
            lag = max(0.0, (row.started_at - newest).total_seconds())
            self.lags.setdefault(unit.name, deque(maxlen=_RECENT)).append(lag)

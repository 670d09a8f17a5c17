"""Keeps tables and Redis up to date: one Spark application that makes the plan again and again.

A round carries out the steps that wait, as ``feldspar apply`` does, with the same cursors: streams
and batches may take turns on the same tables, and there is no other bookkeeping that could differ.
A round that is killed is finished by the next one, here or in any other run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from threading import Event

from feldspar.errors import OvertakenError, StoreError
from feldspar.graph.plan import plan
from feldspar.ingest.result import IngestResult
from feldspar.online.push import PushResult
from feldspar.refine.table import RefineResult
from feldspar.run.auto import Auto
from feldspar.run.execute import Run, execute
from feldspar.run.remember import remember
from feldspar.run.triggers import Triggers
from feldspar.run.watchdog import Watchdog
from feldspar.run.workplace import Workplace
from feldspar.stores.deployed import observe_data

STREAMED = ("ingest", "refine", "history", "features", "online")
"""Kinds of steps that a round carries out; suites and trainings are for ``feldspar apply``."""


PAUSES = (1, 5, 15, 60, 180)
"""Seconds to wait after the first, second, ... failure of a store in a row."""
STUCK_AFTER = timedelta(minutes=30)
"""How long a round may take; a first round over years of data may need more."""


@dataclass(frozen=True)
class Round:
    """What one round brought: rows loaded, valid and refused, entities changed in Redis.

    ``waiting``: rows, of messages and databases, that it left for later rounds.
    """

    number: int
    seconds: float
    loaded: int = 0
    valid: int = 0
    quarantined: int = 0
    pushed: int = 0
    waiting: int = 0

    def __str__(self) -> str:
        refused = f", {self.quarantined:,} refused" if self.quarantined else ""
        behind = f"; {self.waiting:,} rows wait" if self.waiting else ""
        return (
            f"round {self.number}: {self.loaded:,} rows loaded, {self.valid:,} valid{refused}, "
            f"{self.pushed:,} entities pushed in {self.seconds:.1f} s{behind}"
        )


def stream(
    work: Workplace,
    *,
    every: timedelta,
    stop: Event,
    told: Callable[[Round], None],
    stuck_after: timedelta = STUCK_AFTER,
    after_each: Callable[[], None] = lambda: None,
) -> int:
    """Carries out rounds until it is stopped; returns how many brought something.

    A round that a store failed is repeated after a while, and then after a longer one: what it
    wrote it finds written.

    Args:
        work: of a run that writes (``Workplace.in_epoch``).
        every: from the start of a round to the next one's; a longer round is followed at once.
        stop: ends it after the round that runs.
        told: gets each round that did something.
        stuck_after: a round that takes longer ends the process, whatever hangs (``watchdog``).
        after_each: called after each round, whether it did something or failed.

    Raises:
        PlanBlockedError: a breaking change waits for --accept.
        OvertakenError: a later run writes these tables now.
        StoreError: a store failed, and again after each of ``PAUSES``.
        FeldsparError: a step failed for another reason; the next run goes on from there.
    """
    number = failed = 0
    triggers, auto = Triggers.of(work.graph), Auto.of(work, every)
    watchdog = Watchdog(work.running, work.tables.lake, work.tables.epoch, stuck_after)
    for tick, _ in enumerate(_ticks(every, stop), 1):
        try:
            with watchdog.over(tick), _followed(after_each):
                run = _carried_out(work, tick, triggers, auto)
        except StoreError as error:
            if isinstance(error, OvertakenError) or failed == len(PAUSES):
                raise
            work.say(f"{error.message}; again in {PAUSES[failed]} s")
            stop.wait(PAUSES[failed])
            failed += 1
            continue
        failed = 0
        if run is not None:
            number += 1
            told(_round(number, run))
    return number


@contextmanager
def _followed(by: Callable[[], None]) -> Iterator[None]:
    try:
        yield
    finally:
        by()


def _carried_out(work: Workplace, number: int, triggers: Triggers, auto: Auto) -> Run | None:
    """A round; None where nothing waits that is due."""
    now = time.monotonic()
    observed = observe_data(work.graph, work.environment, store=work.store)
    resting = {**triggers.resting(now), **auto.resting(observed, now)}
    chosen = plan(work.graph, observed, resting=resting).of(*STREAMED)
    chosen.refuse_blocked()
    if not chosen.to_run:
        return None
    run = execute(chosen, work)
    remember(run, work, number=number)
    if run.failure is not None:
        raise run.failure
    triggers.note((done.step.name for done in run.done), now)
    auto.note(run, now)
    return run


def _ticks(every: timedelta, stop: Event) -> Iterator[None]:
    """Once at the start, and then each time that it is due."""
    while not stop.is_set():
        due = time.monotonic() + every.total_seconds()
        yield
        stop.wait(max(0.0, due - time.monotonic()))


def _round(number: int, run: Run) -> Round:
    results = [done.result for done in run.done]
    loads = [one for one in results if isinstance(one, IngestResult)]
    refined = [one for one in results if isinstance(one, RefineResult)]
    return Round(
        number,
        run.seconds,
        loaded=sum(one.rows for one in loads),
        waiting=sum(one.left for one in loads),
        valid=sum(one.valid for one in refined),
        quarantined=sum(one.quarantined for one in refined),
        pushed=sum(one.written for one in results if isinstance(one, PushResult)),
    )

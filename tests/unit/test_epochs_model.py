"""Every interleaving of runs that refine the same table, by the protocol of ``tables.epochs``.

A model: each step below is one read or one commit of a log, the store commits one at a time, and
a run may stop for ever between any two of its steps. What must hold is looked at in every state
that can be reached: no row twice, nothing confirmed that is not there, and whatever the runs left
behind, a run alone finishes it. ``RUNS=3`` looks at 0.8 million states, in a minute and more.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum
from functools import cache

import pytest

RUNS = int(os.environ.get("RUNS", "2"))
NOTHING = -1
TABLES = ("quarantine", "silver", "ledger")
NEWEST = 1
"""The source grows up to this version; a version is a row."""
EVERY = tuple(range(NEWEST + 1))


class Flaw(Enum):
    """What is left out of the protocol, to see that it is missed."""

    NONE = "none"
    NO_FENCE = "a claim only looks, and so leaves no mark"
    NO_CHECK = "a plan is carried out whatever the claims found"
    NO_MARK = "a table that was not there when it was claimed is written to like any other"
    NO_CONFIRMATION = "a write that Delta skipped is taken for done"
    NO_CONFLICT = "of two writes under one cursor both are committed"
    UNSEEN = "a batch that refuses nothing passes quarantine by without a look"


@dataclass(frozen=True)
class Commit:
    """One version of a table's log; ``rows`` of a fence are none."""

    epoch: int
    position: int
    rows: tuple[int, ...] = ()
    is_fence: bool = False

    @property
    def version(self) -> tuple[int, int]:
        return self.epoch, self.position


@dataclass(frozen=True)
class Run:
    """How far a run is, what it planned and claimed, the log that a write of it started from,
    and whether that write makes the table.
    """

    done: int = 0
    epoch: int = 0
    planned: tuple[int, ...] = ()
    claimed: tuple[int, ...] = ()
    upto: int = NOTHING
    seen: int = 0
    creates: bool = False
    ended: bool = False


@dataclass(frozen=True)
class World:
    """The source's version, the three logs, the last epoch, the runs, and the rows that are
    refused: a batch without one writes nothing to quarantine.
    """

    source: int
    logs: tuple[tuple[Commit, ...], ...]
    epochs: int
    runs: tuple[Run, ...]
    refused: tuple[int, ...] = ()


def last(log: tuple[Commit, ...]) -> Commit:
    return log[-1] if log else Commit(0, NOTHING)


STEPS = (
    *(("plan", table) for table in range(3)),
    ("epoch", 0),
    *((verb, table) for table in range(3) for verb in ("look", "fence")),
    ("check", 0),
    *((verb, table) for table in range(3) for verb in ("mark", "begin", "commit", "confirm")),
)


Outcome = tuple[Run, tuple[Commit, ...]]


@dataclass(frozen=True)
class Move:
    """What a step is told: the run as it is when the step is done, and the log as it is before."""

    run: Run
    log: tuple[Commit, ...]
    world: World
    flaw: Flaw

    def plan(self) -> Outcome:
        return replace(self.run, planned=(*self.run.planned, last(self.log).position)), ()

    def epoch(self) -> Outcome:
        return replace(self.run, epoch=self.world.epochs + 1), ()

    def look(self) -> Outcome:
        ended = last(self.log).epoch > self.run.epoch
        return replace(self.run, seen=len(self.log), ended=ended), ()

    def fence(self) -> Outcome:
        run, position = self.run, last(self.log).position
        if len(self.log) > run.seen:
            return replace(run, done=run.done - 2), ()  # somebody was quicker: look again
        run = replace(run, claimed=(*run.claimed, position))
        if self.flaw is Flaw.NO_FENCE or not self.log:
            return run, ()
        return run, (Commit(run.epoch, position, is_fence=True),)

    def check(self) -> Outcome:
        return checked(self.run, self.world.source, self.flaw), ()

    def mark(self) -> Outcome:
        if self.flaw in (Flaw.NO_MARK, Flaw.NO_FENCE):
            return self.run, ()
        # neither begin nor commit nor confirm
        done = self.run.done + 3 * self.spared()
        if done > self.run.done and self.flaw is Flaw.UNSEEN:
            return replace(self.run, done=done), ()
        other = bool(self.log) and last(self.log).epoch != self.run.epoch
        return replace(self.run, done=done, creates=not self.log, ended=other), ()

    def begin(self) -> Outcome:
        run = replace(self.run, seen=len(self.log), ended=self.run.creates and bool(self.log))
        skipped = last(self.log).version >= (run.epoch, run.upto)
        return replace(run, done=run.done + skipped), ()

    def commit(self) -> Outcome:
        run = self.run
        if len(self.log) > run.seen and self.flaw is not Flaw.NO_CONFLICT:
            return replace(run, ended=True), ()
        return run, (Commit(run.epoch, run.upto, self.rows()),)

    def rows(self) -> tuple[int, ...]:
        return tuple(range(self.run.claimed[2] + 1, self.run.upto + 1))

    def spared(self) -> bool:
        table = STEPS[self.run.done - 1][1]
        lacks = bool(self.log) and last(self.log).position < self.run.upto
        lacks = lacks or self.flaw is Flaw.UNSEEN
        nothing = not {*self.rows()} & {*self.world.refused}
        return TABLES[table] == "quarantine" and lacks and nothing

    def confirm(self) -> Outcome:
        ended = self.flaw is not Flaw.NO_CONFIRMATION and lost(self.run, self.log)
        return replace(self.run, ended=ended), ()


def step(world: World, number: int, flaw: Flaw) -> World:
    """The world after the next step of a run."""
    run = world.runs[number]
    verb, table = STEPS[run.done]
    move = Move(replace(run, done=run.done + 1), world.logs[table], world, flaw)
    after, added = getattr(move, verb)()
    after = replace(after, ended=after.ended or after.done == len(STEPS))
    logs = [(*one, *added) if at == table else one for at, one in enumerate(world.logs)]
    runs = [after if at == number else one for at, one in enumerate(world.runs)]
    epochs = world.epochs + (verb == "epoch")
    return World(world.source, tuple(logs), epochs, tuple(runs), world.refused)


def checked(run: Run, source: int, flaw: Flaw) -> Run:
    """The batch that the plan says, refused where the claims found something else."""
    begun, confirmed = max(run.planned[:2]), run.planned[2]
    upto = begun if begun > confirmed else source
    fits = run.claimed[2] == confirmed and all(
        position <= confirmed or position == upto for position in run.claimed[:2]
    )
    if flaw is Flaw.NO_CHECK:
        fits = True
        run = replace(run, claimed=run.planned)
    return replace(run, upto=upto, ended=not fits or upto == confirmed)


def lost(run: Run, log: tuple[Commit, ...]) -> bool:
    for commit in reversed(log):
        if commit.epoch > run.epoch:
            return True
        if not commit.is_fence and commit.position == run.upto:
            return False
    return True


def futures(world: World, flaw: Flaw) -> Iterator[World]:
    if world.source < NEWEST:
        yield replace(world, source=world.source + 1)
    for number, run in enumerate(world.runs):
        if not run.ended:
            yield step(world, number, flaw)


def wrong(world: World) -> str:
    """What a state must never show; empty where it is right."""
    written = [[row for commit in log for row in commit.rows] for log in world.logs]
    for name, rows in zip(TABLES, written, strict=True):
        if len(set(rows)) < len(rows):
            return f"{name} holds a row twice"
    refused = {*written[2]} & {*world.refused}
    if not (set(written[2]) <= set(written[1]) and refused <= set(written[0])):
        return "the ledger confirms what is not there"
    return "" if alone(replace(world, runs=())) else "a run alone does not finish it"


@cache
def alone(world: World) -> bool:
    """Whether runs one after the other bring all tables up to the source."""
    for _ in range(2):
        world = replace(world, runs=(Run(),))
        while not world.runs[0].ended:
            world = step(world, 0, Flaw.NONE)
    rows = [sorted(row for commit in log for row in commit.rows) for log in world.logs]
    everything = list(range(world.source + 1))
    refused = {*everything} & {*world.refused}
    return rows[1:] == [everything] * 2 and refused <= {*rows[0]}


def first_wrong(runs: int, flaw: Flaw, refused: tuple[int, ...] = EVERY) -> tuple[str, int]:
    """What went wrong in the first wrong state, if any, and how many states were looked at."""
    start = World(0, ((), (), ()), 0, (Run(),) * runs, refused)
    seen, waiting = {start}, [start]
    while waiting:
        world = waiting.pop()
        found = wrong(world)
        if found:
            return found, len(seen)
        for future in futures(world, flaw):
            # which of two equal runs is which does not matter
            same = replace(future, runs=tuple(sorted(future.runs, key=repr)))
            if same not in seen:
                seen.add(same)
                waiting.append(same)
    return "", len(seen)


@pytest.mark.parametrize("refused", [EVERY, (0,), (1,), ()])
def test_runs_publish_every_row_once_whatever_their_order(refused: tuple[int, ...]) -> None:
    found, states = first_wrong(RUNS, Flaw.NONE, refused)
    assert found == ""
    assert states > 1_000


@pytest.mark.parametrize(
    ("flaw", "runs", "refused"),
    [
        (Flaw.NO_FENCE, 2, EVERY),
        (Flaw.NO_CHECK, 2, EVERY),
        (Flaw.NO_MARK, 2, EVERY),
        (Flaw.NO_CONFLICT, 2, EVERY),
        (Flaw.NO_CONFIRMATION, 3, EVERY),
        (Flaw.UNSEEN, 2, (1,)),
    ],
)
def test_each_part_of_the_protocol_is_needed(
    flaw: Flaw, runs: int, refused: tuple[int, ...]
) -> None:
    found, _ = first_wrong(runs, flaw, refused)
    assert found != ""

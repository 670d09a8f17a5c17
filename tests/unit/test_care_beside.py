"""When tables are cared for: at once, or beside what follows but never while they are written."""

from __future__ import annotations

from contextlib import closing
from threading import Event

import pytest

from feldspar.errors import OvertakenError
from feldspar.graph.steps import HistoryStep, Mode, Status, Step
from feldspar.run.care import AtOnce, Beside

PATIENCE = 60


def step(name: str) -> Step:
    return HistoryStep(
        f"history.{name}",
        Status.RUN,
        "",
        table=name,
        after=None,
        mode=Mode.APPEND,
        generation=0,
        source_generation=0,
    )


def test_at_once_is_when_the_step_has_written() -> None:
    done: list[str] = []

    AtOnce().after(step("a"), lambda: done.append("a"))

    assert done == ["a"]


def test_a_step_waits_for_the_care_of_its_own_table_alone() -> None:
    go, done = Event(), list[str]()

    def care() -> None:
        go.wait(PATIENCE)
        done.append("care")

    with closing(Beside()) as beside:
        beside.after(step("a"), care)
        beside.before(step("b"))
        done.append("b")
        go.set()
        beside.before(step("a"))
        done.append("a")

    assert done == ["b", "care", "a"]


def test_what_care_finds_ends_the_next_step_of_its_table() -> None:
    def overtaken() -> None:
        raise OvertakenError("a later run has taken over", hint="let it finish")

    with closing(Beside()) as beside:
        beside.after(step("a"), overtaken)

        with pytest.raises(OvertakenError):
            beside.before(step("a"))


def test_it_ends_with_what_is_under_way() -> None:
    begun, go, done = Event(), Event(), list[str]()

    def care() -> None:
        begun.set()
        go.wait(PATIENCE)
        done.append("care")

    beside = Beside()
    beside.after(step("a"), care)
    begun.wait(PATIENCE)
    go.set()
    beside.close()

    assert done == ["care"]

"""Many random cases as one frame, for engines whose every answer is a job.

A case is one small world: versions, questions, and the order in which the versions come. Packed,
its number is one more part of every key, and its event ids are its own, so that cases never meet;
the adversarial keys stay together within a case.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from feldspar.compute.pit.plan import PitPlan
from feldspar.compute.windows.plan import WindowPlan
from property import frames, oracle
from property.closeness import wrong_answers

Plan = PitPlan | WindowPlan
SECOND, HOUR = 1_000_000, 3_600_000_000
DELIVERIES = 3
EVENT_IDS = 1_000
"""A case's event ids are smaller."""

SWITCHES = (
    1_521_939_600 * SECOND,  # Berlin leaves its winter, 2018-03-25T01:00Z
    1_540_688_400 * SECOND,  # and its summer, 2018-10-28T01:00Z
    1_541_311_200 * SECOND,  # New York leaves its summer, 2018-11-04T06:00Z
    1_522_508_400 * SECOND,  # Lord Howe goes back by half an hour, 2018-03-31T15:00Z
)
ERAS = (
    0,
    *SWITCHES,
    -62_135_510_400 * SECOND,  # the year 1
    -12_219_292_800 * SECOND,  # where the Gregorian calendar begins
    -2_208_988_800 * SECOND,  # 1900
    9_223_372_036_854_775,  # where 64 bits of nanoseconds end
    253_402_214_400 * SECOND,  # the last day of the year 9999
)


@dataclass(frozen=True)
class Case:
    """Questions about versions that came in this order."""

    asked: tuple[oracle.Question, ...]
    rows: tuple[oracle.Version, ...]

    @property
    def size(self) -> int:
        """Questions and versions."""
        return len(self.asked) + len(self.rows)


@dataclass(frozen=True)
class Packed:
    """Cases as one spine and one table of rows.

    Attributes:
        spine: ``number`` (of the case) and ``asked`` (the row's place) beside the usual columns.
        rows: ``number`` and ``delivery`` beside the usual columns.
    """

    spine: pa.Table
    rows: pa.Table


Ask = Callable[[Packed], pa.Table]
"""An engine with its plans: the spine's rows, in any order, with the columns of all plans."""


def instant_case(generator: random.Random) -> Case:
    """Microsecond neighbours in any era; a few rows lie in another one than the rest."""
    era = generator.choice(ERAS)
    reach = generator.choice((1, 4, 12))
    case = _drawn(generator, reach)
    rows = [
        _moved(row, generator.choice(ERAS) if generator.random() < 0.03 else era)
        for row in case.rows
    ]
    return Case(_asked(case.asked, 1, lambda: era), tuple(rows))


def hourly_case(generator: random.Random) -> Case:
    """Hours around a switch of local time, or a microsecond beside; older rows come first."""
    case = _drawn(generator, 60)

    def offset() -> int:
        return SWITCHES[0] + generator.choice((0, 0, 0, 0, -1, 1))

    rows = sorted(case.rows, key=lambda row: max(row.event_time, row.known_time))
    return Case(
        _asked(case.asked, HOUR, offset), tuple(_moved(row, offset(), HOUR) for row in rows)
    )


def without_tombstones(case: Case) -> Case:
    """The same with rows that are all alive, as loads of events are."""
    return replace(case, rows=tuple(replace(row, retracted=False) for row in case.rows))


def _drawn(generator: random.Random, reach: int) -> Case:
    rows = frames.random_versions(generator, generator.choice((0, 1, 6, 16, 30)), reach)
    asked = frames.random_questions(generator, generator.choice((0, 1, 5, 8)), reach + 4)
    return Case(tuple(asked), tuple(rows))


def _moved(row: oracle.Version, offset: int, unit: int = 1) -> oracle.Version:
    times = {name: getattr(row, name) * unit + offset for name in ("event_time", "known_time")}
    return replace(row, **times)


def _asked(
    asked: Sequence[oracle.Question], unit: int, offset: Callable[[], int]
) -> tuple[oracle.Question, ...]:
    return tuple(
        one if one.time is None else replace(one, time=one.time * unit + offset()) for one in asked
    )


def pack(cases: Sequence[Case]) -> Packed:
    """The cases in one spine and one table, in their order."""
    asked = [
        replace(one, own_id=_own(one.own_id, number))
        for number, case in enumerate(cases)
        for one in case.asked
    ]
    rows = [
        replace(one, event_id=_own(one.event_id, number))
        for number, case in enumerate(cases)
        for one in case.rows
    ]
    spine = frames.spine_table(asked)
    for name, values in (
        ("number", [number for number, case in enumerate(cases) for _ in case.asked]),
        ("asked", list(range(len(asked)))),
    ):
        spine = spine.append_column(name, pa.array(values, pa.int64()))
    stored = frames.rows_table(rows)
    for name, values in (
        ("number", [number for number, case in enumerate(cases) for _ in case.rows]),
        ("delivery", [one for case in cases for one in _deliveries(len(case.rows))]),
    ):
        stored = stored.append_column(name, pa.array(values, pa.int64()))
    return Packed(spine, stored)


def _own(event_id: int | None, number: int) -> int | None:
    return None if event_id is None else event_id + number * EVENT_IDS


def _deliveries(size: int) -> list[int]:
    return [place * DELIVERIES // size for place in range(size)]


def wrong_cases(cases: Sequence[Case], plans: Sequence[Plan], ask: Ask) -> list[list[str]]:
    """For each case what differs from the oracle."""
    packed = pack(cases)
    answers = ask(packed).sort_by("asked").combine_chunks()
    assert answers.select(packed.spine.column_names).cast(packed.spine.schema).equals(packed.spine)
    found, question, row = [], 0, 0
    for case in cases:
        part = answers.slice(question, len(case.asked))
        found.append([one for plan in plans for one in _wrong(plan, case, part, row)])
        question, row = question + len(case.asked), row + len(case.rows)
    return found


def _wrong(plan: Plan, case: Case, answers: pa.Table, first_row: int) -> list[str]:
    if isinstance(plan, WindowPlan):
        return wrong_answers(plan, case.asked, case.rows, answers)
    wrong = []
    found = zip(*(answers[name].to_pylist() for name in plan.columns.values()), strict=True)
    for question, answer in zip(case.asked, found, strict=True):
        place = oracle.newest(question, case.rows, plan)
        expected = [
            None if place is None else _value(case.rows[place], name, first_row + place)
            for name in plan.columns
        ]
        if list(answer) != expected:
            wrong.append(f"{question}: {answer!r}, expected {expected!r}")
    return wrong


def _value(row: oracle.Version, name: str, place: int) -> object:
    own = {"place": place, "where": row.key[1], "_position": row.position}
    return own[name] if name in own else row.values[name]

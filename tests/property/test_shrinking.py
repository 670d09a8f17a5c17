"""A failing case is told as small as it can be, for a bug that is known."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import pyarrow as pa
import pytest

from feldspar.compute.pit.arrow import add_columns
from feldspar.compute.pit.plan import PitPlan
from property import packing, shapes, shrinking
from property.oracle import Question, Version
from property.packing import Case, Packed

PLAN = replace(
    shapes.random_pit_plan(random.Random(1), "one", 1), ttl=3, serving_delay=1, as_of="known"
)


def wrong(cases: Sequence[Case], believed: PitPlan) -> list[list[str]]:
    """What differs where an engine believes in another plan than the oracle."""

    def ask(packed: Packed) -> pa.Table:
        return add_columns(packed.spine, packed.rows, believed)

    return packing.wrong_cases(cases, [PLAN], ask)


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    generator = random.Random(3)
    return [packing.instant_case(generator) for _ in range(200)]


def test_packed_cases_are_the_oracles(cases: list[Case]) -> None:
    assert [found for found in wrong(cases, PLAN) if found] == []


@pytest.mark.parametrize(
    "believed",
    [replace(PLAN, ttl=2), replace(PLAN, serving_delay=0), replace(PLAN, as_of="event")],
    ids=["ttl", "serving_delay", "as_of"],
)
def test_a_case_that_differs_ends_as_a_question_and_a_row(
    cases: list[Case], believed: PitPlan
) -> None:
    case = next(case for case, found in zip(cases, wrong(cases, believed), strict=True) if found)

    small = shrinking.shrunk(case, lambda some: [bool(one) for one in wrong(some, believed)])

    assert (len(small.asked), len(small.rows)) == (1, 1)


def test_a_small_case_is_told_in_literals() -> None:
    case = Case((Question((1, "2"), 5),), (Version((1, "2"), 3, 4, 0, 0, 7, {"amount": 0.1}),))

    text = shrinking.told(case, [PLAN], shrunk=["wrong"])

    read = {"Question": Question, "Version": Version, "PitPlan": PitPlan}
    told: dict = {}
    exec(text.rpartition("\n")[0], read, told)
    assert told == {"asked": list(case.asked), "rows": list(case.rows), "plans": [PLAN]}

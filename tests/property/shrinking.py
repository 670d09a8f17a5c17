"""A case that differs, made as small as it can be while it still does."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from property.packing import Case, Plan

Differ = Callable[[Sequence[Case]], Sequence[bool]]


def shrunk(case: Case, differ: Differ) -> Case:
    """Leaves out questions and rows, many at a time, then one by one.

    All attempts of a size are cases that are asked about together: for Spark, one job.
    """
    part = max(1, case.size // 2)
    while True:
        smaller = _without(case, part)
        failing = [one for one, bad in zip(smaller, differ(smaller), strict=True) if bad]
        if failing:
            case = min(failing, key=lambda one: one.size)
        elif part == 1:
            return case
        part = min(part, max(1, case.size // 2)) if failing else part // 2


def _without(case: Case, part: int) -> list[Case]:
    asked, rows = case.asked, case.rows
    fewer_asked = [
        Case((*asked[:start], *asked[start + part :]), rows) for start in range(0, len(asked), part)
    ]
    fewer_rows = [
        Case(asked, (*rows[:start], *rows[start + part :])) for start in range(0, len(rows), part)
    ]
    return [*fewer_asked, *fewer_rows]


def told(case: Case, plans: Sequence[Plan], **differences: Sequence[str]) -> str:
    """The case and its plans as literals for a test, and what each engine says wrong."""
    listed = {"asked": case.asked, "rows": case.rows, "plans": plans}
    text = [
        f"{name} = [\n" + "".join(f"    {one!r},\n" for one in found) + "]"
        for name, found in listed.items()
    ]
    return "\n".join([*text, *(f"{name}: {found}" for name, found in differences.items())])

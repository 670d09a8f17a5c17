"""What a load takes, from loads that were: a fixed part, a part a row, and how many rows arrive.

Pure. Loads differ by what else ran beside them, and the first ones of a session are slow: medians
are taken, never means.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import combinations
from statistics import median, quantiles

from feldspar.stores.tables.decisions import Decision
from feldspar.stores.tables.steps import StepRow

LOADS = 40
"""The newest ones count: what a load takes changes as tables grow."""
LEAST_LOADS = 3
"""Fewer say nothing."""
APART = 2.0
"""Two loads tell what a row takes when one has at least so many times the other's rows."""
COMPARED = 5
"""So many loads must have been said before, until what they took says how sure that is."""
MARGIN_UNKNOWN, MARGIN_LEAST, MARGIN_MOST = 0.5, 0.1, 2.0


@dataclass(frozen=True)
class Load:
    """One load of a table or a view: what its steps took together, and how many rows it had."""

    started: datetime
    seconds: float
    rows: int


@dataclass(frozen=True)
class Estimate:
    """What the next load will take.

    Attributes:
        loads: how many it rests on.
        fixed: seconds of a load, however few rows it has.
        a_row: seconds that each row adds.
        rate: rows a second that arrive.
        least: rows of the smallest load.
        most: rows of the largest.
    """

    loads: int
    fixed: float
    a_row: float
    rate: float
    least: int
    most: int

    def seconds(self, rows: float) -> float:
        """Of a load with so many rows."""
        return self.fixed + self.a_row * rows

    @property
    def rows_share(self) -> float:
        """Share of the time that the rows themselves take, however they are spread over loads."""
        return self.a_row * self.rate


@dataclass(frozen=True)
class Came:
    """What came of decisions: loads, the seconds they should have taken, and did."""

    loads: int = 0
    predicted: float = 0.0
    seconds: float = 0.0


def loads_of(
    rows: Iterable[StepRow], steps: Mapping[str, Sequence[str]]
) -> dict[str, tuple[Load, ...]]:
    """The loads in the rows of ``ops.steps``, by table or view, the oldest first.

    Args:
        rows: of runs and rounds, in any order.
        steps: by table or view, the names of its steps, the one that counts rows first.
    """
    rounds: dict[tuple[int, int, str], list[StepRow]] = {}
    names = {step: name for name, of_it in steps.items() for step in of_it}
    for row in rows:
        if row.step in names and row.outcome == "done":
            rounds.setdefault((row.run, row.round, names[row.step]), []).append(row)
    found: dict[str, list[Load]] = {name: [] for name in steps}
    for (_, _, name), group in rounds.items():
        main = next((one for one in group if one.step == steps[name][0]), None)
        if main is not None:
            count = main.rows_in if main.rows_in is not None else main.rows_out
            seconds = sum(one.seconds for one in group)
            found[name].append(Load(main.started_at, seconds, count or 0))
    return {
        name: tuple(sorted(loads, key=lambda one: one.started)[-LOADS:])
        for name, loads in found.items()
    }


def rounds_of(rows: Iterable[StepRow]) -> tuple[float, ...]:
    """Seconds of each round of a stream, from its first step's beginning to its last one's end."""
    times: dict[tuple[int, int], list[tuple[datetime, datetime]]] = {}
    for row in rows:
        if row.round:
            ended = row.started_at + timedelta(seconds=row.seconds)
            times.setdefault((row.run, row.round), []).append((row.started_at, ended))
    return tuple(
        (max(ended for _, ended in one) - min(began for began, _ in one)).total_seconds()
        for one in times.values()
    )


def estimate(loads: Sequence[Load]) -> Estimate | None:
    """What the newest of them say; None where they are too few.

    The part a row is the slope between each two loads of different size, the weighted median of
    all (Theil and Sen; Jaeckel 1972 for the weights): one slow load moves it little. Where all
    have about as many rows it cannot be told, and all that a load takes is its fixed part.

    Args:
        loads: the oldest first.
    """
    if len(loads) < LEAST_LOADS:
        return None
    newest = loads[-LOADS:]
    a_row = max(0.0, _slope(newest))
    fixed = median(one.seconds - a_row * one.rows for one in newest)
    lasted = (newest[-1].started - newest[0].started).total_seconds()
    came = sum(one.rows for one in newest[1:])
    sizes = [one.rows for one in newest]
    rate = came / lasted if lasted > 0 else 0.0
    return Estimate(len(newest), max(0.0, fixed), a_row, rate, min(sizes), max(sizes))


def _slope(loads: Sequence[Load]) -> float:
    pairs = []
    for one, other in combinations(loads, 2):
        less, more = sorted((one, other), key=lambda load: load.rows)
        if more.rows >= APART * less.rows and more.rows > less.rows:
            apart = more.rows - less.rows
            pairs.append(((more.seconds - less.seconds) / apart, apart))
    half, seen = sum(apart for _, apart in pairs) / 2, 0
    for slope, apart in sorted(pairs):
        seen += apart
        if seen >= half:
            return slope
    return 0.0


def came_of(said: Sequence[Decision], loads: Iterable[Load]) -> tuple[tuple[float, float], ...]:
    """(predicted, taken) seconds of each load that began under a decision with figures.

    Args:
        said: decisions of one table or view, the oldest first.
        loads: its loads.
    """
    pairs = []
    for load in loads:
        before = [one for one in said if one.decided_at <= load.started]
        if before and before[-1].loads:
            last = before[-1]
            pairs.append((last.fixed_seconds + last.row_seconds * load.rows, load.seconds))
    return tuple(pairs)


def came_of_last(said: Sequence[Decision], loads: Iterable[Load]) -> Came:
    """What came of the last decision alone."""
    if not said:
        return Came()
    since = said[-1].decided_at
    pairs = came_of(said[-1:], (load for load in loads if load.started >= since))
    return Came(len(pairs), sum(one for one, _ in pairs), sum(one for _, one in pairs))


def margin(said: Sequence[Decision], loads: Iterable[Load]) -> float:
    """What is to be added to expected seconds, as a share: nine loads in ten took no more.

    A half until enough loads were predicted, then what they took says it.
    """
    ratios = [taken / predicted for predicted, taken in came_of(said, loads) if predicted > 0]
    if len(ratios) < COMPARED:
        return MARGIN_UNKNOWN
    over = quantiles(ratios, n=10, method="inclusive")[-1] - 1
    return min(MARGIN_MOST, max(MARGIN_LEAST, over))

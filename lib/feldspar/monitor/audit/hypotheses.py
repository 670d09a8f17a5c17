"""What may be wrong with a served value, each as another way to compute it from gold.

Where a hypothesis gives the value that was served, it explains it. A wrong time zone shifts T by
hours, a wrong window has another size, a wrong ttl shows in values that were served although they
had run out, and an older value in Redis is what gold gave before its last rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from feldspar.compute.pit.plan import PitPlan
from feldspar.compute.services.bucketed import ViewRows
from feldspar.compute.windows.plan import WindowPlan
from feldspar.monitor.audit.replays import HeldRows, Plan, outputs
from feldspar.names import BATCH
from feldspar.times import duration_micros, format_duration

TTL, WINDOW, ZONE, ORDER, MISSING = "ttl", "window", "time zone", "reordered write", "missing"
INPUTS, FUNCTION = "inputs", "function"
_HOUR = timedelta(hours=1)
SHIFTS = tuple(
    half * _HOUR / 2 for half in range(-28, 29) if half and (half % 2 == 0 or abs(half) in (7, 11))
)
"""What clocks of the world are off from UTC: whole hours to 14, and 3 1/2 and 5 1/2."""
_SIZES = tuple(
    timedelta(hours=hours)
    for hours in (1, 2, 3, 6, 12, 24, 36, 48, 72, 96, 120, 144, 168, 192, 240, 336)
) + tuple(timedelta(days=days) for days in (15, 21, 28, 29, 30, 31, 45, 60, 90, 180, 365))
OLDER_STATES = 32
LAGS = tuple(
    timedelta(seconds=seconds)
    for seconds in (1, 5, 15, 60, 300, 900, 3_600, 21_600, 86_400, 259_200, 604_800)
)
"""How late something can have come, from fresh to a week."""
LATER = "more"
Rows = Callable[[pa.Table], pa.Table]
"""From n rows of a spine the view's columns for them."""


@dataclass(frozen=True)
class Hypothesis:
    """One way to be wrong; ``label`` begins with its name and says how much."""

    label: str
    values: Rows


def shift_label(shift: timedelta) -> str:
    """A shift of time as a zone.

    >>> shift_label(timedelta(hours=2)), shift_label(timedelta(hours=-3.5))
    ('time zone +2:00', 'time zone -3:30')
    """
    minutes = abs(shift) // timedelta(minutes=1)
    sign = "-" if shift < timedelta(0) else "+"
    return f"{ZONE} {sign}{minutes // 60}:{minutes % 60:02}"


def hypotheses(plan: Plan, gold: HeldRows) -> Iterator[Hypothesis]:
    """All that could explain a difference at the cursor.

    Args:
        plan: how the view is defined.
        gold: the rows of the entities in question.
    """
    yield Hypothesis(MISSING, _of(plan, HeldRows(gold.table.slice(0, 0))))
    batches = np.unique(gold.table.column(BATCH).to_numpy())[:-1][::-1]
    for batch in batches[:OLDER_STATES]:
        older = gold.until(int(batch), column=BATCH)
        yield Hypothesis(ORDER, _of(plan, older))
    if isinstance(plan, PitPlan):
        if plan.ttl is not None:
            yield Hypothesis(TTL, _of(replace(plan, ttl=None), gold))
    else:
        yield from _windows(plan, gold)
    for shift in SHIFTS:
        yield Hypothesis(shift_label(shift), _of(plan, gold, shift=duration_micros(shift)))


def lags(plan: Plan, gold: HeldRows) -> Iterator[Hypothesis]:
    """What was known some time before T: the first that fits says how late a value was."""
    for lag in LAGS:
        later = replace(plan, serving_delay=plan.serving_delay + duration_micros(lag))
        yield Hypothesis(format_duration(lag), _of(later, gold))


def _windows(plan: WindowPlan, gold: HeldRows) -> Iterator[Hypothesis]:
    own = {one.window_micros for one in plan.aggregations}
    for micros in sorted({*own, *(duration_micros(size) for size in _SIZES)}):
        resized = tuple(
            replace(one, window_micros=micros)
            for one in plan.aggregations
            if not one.hop_micros or micros % one.hop_micros == 0
        )
        if resized:
            size = format_duration(timedelta(microseconds=micros))
            other = replace(plan, aggregations=resized)
            yield Hypothesis(f"{WINDOW} {size}", _of(other, gold))


def _of(plan: Plan, gold: HeldRows, *, shift: int = 0) -> Rows:
    names = list(outputs(plan))

    def values(spine: pa.Table) -> pa.Table:
        moved = shifted(spine, plan.spine_time, shift) if shift else spine
        return ViewRows(plan, gold).added_to(moved, 0).select(names)

    return values


def shifted(rows: pa.Table, column: str, micros: int) -> pa.Table:
    """The rows with the times of a column moved."""
    times = rows.column(column)
    moved = pc.add(times.cast(pa.int64()), micros).cast(times.type)
    return rows.set_column(rows.column_names.index(column), column, moved)

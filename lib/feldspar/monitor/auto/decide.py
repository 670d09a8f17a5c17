"""The decision for one table or view with ``trigger: auto``, and whether it rests by it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from feldspar.monitor.auto.estimate import (
    LEAST_LOADS,
    Estimate,
    Load,
    came_of_last,
    estimate,
    margin,
)
from feldspar.monitor.auto.options import (
    CLEARLY,
    WHOLE,
    WORTH,
    Around,
    Judge,
    Need,
    Option,
    choose,
    option,
    options,
)
from feldspar.monitor.auto.told import passed_over, reasons
from feldspar.stores.tables.decisions import Decision, Mode
from feldspar.times import format_duration, rough_duration

RENEWED = timedelta(hours=1)
"""A decision that does not change is entered again so often, with the figures of then."""
CORES = (1, 2, 4, 8, 16, 32, 64)


@dataclass(frozen=True)
class Known:
    """What was measured of one table or view, and said of it; the oldest first."""

    loads: tuple[Load, ...] = ()
    said: tuple[Decision, ...] = ()

    @property
    def last(self) -> Decision | None:
        """The decision that is kept to; None before the first."""
        return self.said[-1] if self.said else None


def decide(
    name: str, need: Need, known: Known, around: Around, *, run: int, at: datetime
) -> Decision:
    """How often to load from now on.

    Args:
        name: of the table or view.
        need: what is asked of it.
        known: what was measured, and said before.
        around: what it cannot choose; its margin is measured here.
        run: the epoch of the stream.
        at: now.
    """
    measured, came = estimate(known.loads), came_of_last(known.said, known.loads)
    entered = Decision(
        run=run,
        decided_at=at,
        name=name,
        target_seconds=need.target,
        cost=need.cost,
        cores=around.cores,
        margin=margin(known.said, known.loads),
        arrival_seconds=around.arrival,
        came_loads=came.loads,
        came_predicted=came.predicted,
        came_seconds=came.seconds,
    )
    if measured is None:
        text = f"nothing is known before {LEAST_LOADS} loads, and there were {len(known.loads)}: "
        return replace(entered, reasons=(f"{text}each round until then, whatever that costs",))
    return _measured(entered, need, measured, replace(around, margin=entered.margin), known.last)


def _measured(
    entered: Decision, need: Need, measured: Estimate, around: Around, last: Decision | None
) -> Decision:
    judge, ways = Judge(need, measured), options(measured, around)
    current = last.every_seconds if last is not None and last.loads else None
    taken = choose(ways, judge, current=current)
    same = last if current == taken.every else None
    wake_at = _wake_at(taken, need, measured, around)
    found = replace(
        entered,
        mode=_mode(taken, wake_at),
        every_seconds=taken.every,
        not_before_seconds=measured.fixed / judge.room if judge.room else 0.0,
        wake_at=wake_at,
        cores=_cores(taken, need, measured, around),
        rows=taken.rows,
        seconds=taken.seconds,
        delay_seconds=taken.delay,
        keeps_freshness=judge.in_time(taken, _slack(same, "keeps_freshness")),
        share=taken.share,
        keeps_cost=_keeps_cost(taken, need, _slack(same, "keeps_cost")),
        loads=measured.loads,
        fixed_seconds=measured.fixed,
        row_seconds=measured.a_row,
        rows_a_second=measured.rate,
    )
    return replace(
        found,
        reasons=reasons(found, need, measured, around),
        passed_over=passed_over(entered.name, taken, ways, judge),
    )


def _slack(same: Decision | None, verdict: str) -> float:
    """What was said not to be kept is said to be again when it clearly is."""
    return CLEARLY if same is not None and not getattr(same, verdict) else WHOLE


def _keeps_cost(taken: Option, need: Need, slack: float) -> bool:
    return need.cost is None or taken.share <= slack * need.cost


def _mode(taken: Option, wake_at: int | None) -> Mode:
    if not taken.every:
        return "stream"
    return "batch" if wake_at is None else "mix"


def _wake_at(taken: Option, need: Need, measured: Estimate, around: Around) -> int | None:
    """Waiting rows that are loaded sooner; None where they wait their time.

    With a target: more would take too long to be in time. Without: waiting saves the fixed part,
    and beside so many rows that is not worth it.
    """
    if not taken.every or not measured.a_row:
        return None
    if need.target is None:
        return max(1, int(measured.fixed / (WORTH * measured.a_row)))
    left = (need.target - around.before - taken.every) / (1 + around.margin)
    rows = (left - measured.fixed) / measured.a_row
    return int(rows) if rows >= 1 else None


def _cores(taken: Option, need: Need, measured: Estimate, around: Around) -> int:
    """The fewest with which what is asked is kept; those that there are where none help.

    Cores share the rows' part, not the fixed part. Fewer must do at the pace that is taken, more
    may do at any.
    """
    for cores in sorted({*CORES, around.cores}) if measured.a_row else ():
        other = replace(measured, a_row=measured.a_row * around.cores / cores)
        judge, slack = Judge(need, other), WHOLE if cores == around.cores else CLEARLY
        more = cores > around.cores
        ways = options(other, around) if more else (option(taken.every, other, around),)
        if any(
            judge.holds(one, slack) and one.share <= slack and _keeps_cost(one, need, slack)
            for one in ways
        ):
            return cores
    return around.cores


def differs(new: Decision, last: Decision | None) -> bool:
    """Whether a decision is to be entered: it says something else, or the last one is old.

    What a view leaves of its target to its table differs a little each time, and is not compared.
    Rows that wake are news once: where a row takes next to nothing, they come and go.
    """
    if last is None or new.decided_at - last.decided_at >= RENEWED:
        return True
    wakes = new.mode == "mix" and last.mode == "batch"
    return wakes or _said(new) != _said(last)


def _said(one: Decision) -> Sequence[object]:
    verdicts = (one.keeps_freshness, one.keeps_cost, one.loads > 0)
    return (one.run, one.every_seconds, one.cost, *verdicts)


def rests(decision: Decision, *, waited: float, waiting: int | None) -> str:
    """Why a table or view is not loaded now; empty: it is.

    Args:
        decision: that is kept to.
        waited: seconds since its last load began.
        waiting: rows that wait; None: not counted.
    """
    if waited >= decision.every_seconds:
        return ""
    wakes = decision.wake_at is not None and waiting is not None and waiting >= decision.wake_at
    if wakes and waited >= decision.not_before_seconds:
        return ""
    every = format_duration(timedelta(seconds=decision.every_seconds))
    left = rough_duration(timedelta(seconds=decision.every_seconds - waited))
    return f"trigger: auto, every {every}, due in {left}; see: feldspar explain trigger"

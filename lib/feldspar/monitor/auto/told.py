"""Decisions in words: why, from which figures, and what was passed over."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta

from feldspar.monitor.auto.estimate import Estimate
from feldspar.monitor.auto.options import CLEARLY, WHOLE, Around, Judge, Need, Option
from feldspar.monitor.findings import counted
from feldspar.stores.tables.decisions import Decision
from feldspar.times import format_duration, rough_duration

_MINUTE = 60.0


def pace(name: str, every: float) -> str:
    """How often a table or a view is loaded, in words.

    >>> pace("silver.t", 0.0), pace("gold.v", 0.0), pace("gold.v", 600.0)
    ('each round', 'each time its table gets rows', 'every 10m')
    """
    if every:
        return f"every {format_duration(timedelta(seconds=every))}"
    return "each round" if name.startswith("silver.") else "each time its table gets rows"


def summary(decision: Decision) -> str:
    """What is done, in a line.

    >>> from datetime import UTC, datetime
    >>> at = datetime(2026, 11, 1, tzinfo=UTC)
    >>> summary(Decision(1, at, "silver.t", "mix", every_seconds=600.0, wake_at=40_000))
    'every 10m, sooner where 40,000 rows wait'
    """
    text = pace(decision.name, decision.every_seconds)
    return f"{text}, sooner where {decision.wake_at:,} rows wait" if decision.wake_at else text


def reasons(decision: Decision, need: Need, measured: Estimate, around: Around) -> tuple[str, ...]:
    """Why a decision is what it is, with the figures."""
    return (
        *_freshness(decision, need, around),
        *_cost(decision, need),
        _takes(measured),
        _arrives(measured),
        *_resources(decision, around),
    )


def _freshness(decision: Decision, need: Need, around: Around) -> Iterator[str]:
    there = f"it is there {_time(decision.delay_seconds)} after the event"
    if need.target is None:
        yield f"nobody said how fresh; {there} at most"
    elif decision.keeps_freshness:
        yield f"{need.wanted_by} may be {_time(need.target)} old; {there} at most"
    else:
        yield f"{need.wanted_by} may be {_time(need.target)} old, which is not kept: {there}"
    yield (
        f"of that {_time(around.before)} before a load can begin, {_time(decision.every_seconds)} "
        f"of rest, {_time(decision.seconds)} of work and {decision.margin:.0%} more for safety"
    )


def _cost(decision: Decision, need: Need) -> Iterator[str]:
    share, rows = _share(decision.share), _share(decision.row_seconds * decision.rows_a_second)
    if need.cost is None:
        yield f"its steps take {share} of the time; no cost limit is given"
    elif decision.keeps_cost:
        yield f"its steps take {share} of the time, at most {_share(need.cost)} is allowed"
    else:
        yield (
            f"its steps take {share} of the time, and {_share(need.cost)} is allowed: not kept; "
            f"the rows alone take {rows}, which no rest lowers"
        )
    if decision.row_seconds * decision.rows_a_second >= WHOLE:
        yield "rows arrive faster than they are worked on: what waits grows"


def _takes(measured: Estimate) -> str:
    on = f"{measured.loads} loads of {measured.least:,} to {measured.most:,} rows"
    fixed = f"a load takes {measured.fixed:.2f} s"
    if not measured.a_row:
        return f"{fixed}, as {on} did; what a row adds is not known"
    return f"{fixed} and {measured.a_row * 1_000:.3g} s for each 1,000 rows, as {on} did"


def _arrives(measured: Estimate) -> str:
    return f"{measured.rate:,.3g} rows arrive a second"


def _resources(decision: Decision, around: Around) -> Iterator[str]:
    if decision.cores != around.cores:
        verb = "would do" if decision.cores < around.cores else "are needed"
        yield f"{counted(decision.cores, 'core')} {verb}, the driver has {around.cores}"
    elif not (decision.keeps_freshness and decision.keeps_cost):
        yield f"more cores than the {around.cores} of the driver do not help"


def passed_over(name: str, taken: Option, ways: Sequence[Option], judge: Judge) -> tuple[str, ...]:
    """The next more and the next less frequent way, and why not."""
    place = ways.index(taken)
    near = [*ways[max(0, place - 1) : place], *ways[place + 1 : place + 2]]
    return tuple(f"{pace(name, one.every)}: {_why_not(one, taken, judge)}" for one in near)


def _why_not(one: Option, taken: Option, judge: Judge) -> str:
    amounts = f"{_share(one.share)} of the time, there after {_time(one.delay)}"
    broken = [] if judge.in_time(one) else ["too late"]
    broken += [] if judge.affordable(one) else ["too dear"]
    if broken:
        return f"{' and '.join(broken)} ({amounts})"
    if not judge.holds(one, CLEARLY):
        return f"too near the bound to change to ({amounts})"
    if one.every < taken.every:
        return f"dearer, and as fresh is not asked ({amounts})"
    return f"less fresh, and as cheap is not asked ({amounts})"


def _time(seconds: float) -> str:
    if seconds < _MINUTE:
        return f"{seconds:.1f}s"
    return rough_duration(timedelta(seconds=seconds))


def _share(share: float) -> str:
    return f"{share:.1%}" if share >= 0.001 else "under 0.1%"

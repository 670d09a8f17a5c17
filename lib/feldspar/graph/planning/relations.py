"""Which rows of a database the next load takes, and what must be agreed to first.

A table that is another one than was read, and rows that no load would ever see, are never passed
over in silence: the step is blocked, says what it is, and goes on after ``--accept``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta

from feldspar.graph.observed import ColumnRange, RelationRead, RelationState
from feldspar.graph.steps import Status
from feldspar.spec.source import JdbcSource
from feldspar.times import EPOCH, MICROSECOND, duration_micros, format_duration, rough_duration

EVERY = timedelta(days=1)
"""How often a snapshot is taken, where the source does not say."""


@dataclass(frozen=True)
class NextRange:
    """What a step that reads a database would do."""

    status: Status
    reason: str
    range: ColumnRange | None = None


def next_range(state: RelationState, source: JdbcSource, *, accept: bool) -> NextRange:
    """The rows that wait, ``source.most`` at most; or all there are, where a snapshot is due."""
    problem = _problem(state, source)
    if problem and not accept:
        return NextRange(Status.BLOCKED, f"{problem[0]}: say --accept to {problem[1]}")
    found = _snapshot(state, source) if source.incremental_column is None else _new(state, source)
    if problem and found.status is Status.RUN:
        return NextRange(Status.RUN, f"{problem[0]}; {found.reason}", found.range)
    return found


def _problem(state: RelationState, source: JdbcSource) -> tuple[str, str] | None:
    """What cannot go on as it was, and what ``--accept`` would do."""
    read, column = state.read, source.incremental_column or ""
    if read is not None:
        other = _other(read, state, column)
        if other:
            return other, "read it from its start"
    if state.lacks:
        text = f"rows of {state.relation} have no {column} (null, or infinite) and are never read"
        return text, "leave them out"
    return None


def _other(read: RelationRead, state: RelationState, column: str) -> str:
    if read.relation != state.relation:
        return f"{state.relation} is read in place of {read.relation}"
    if read.ident != state.ident:
        what = "the query was changed" if state.relation == "query" else "was made anew"
        return f"{state.relation}: {what} since it was read"
    if read.column != column:
        return f"{state.relation} is read {_by(column)} in place of {_by(read.column)}"
    if read.upto is None or state.newest is None or state.newest >= read.upto - state.overlap:
        return ""
    newest, upto = (_shown(one, state) for one in (state.newest, read.upto))
    return (
        f"{state.relation} has {column} up to {newest} and was read up to {upto}: it was emptied, "
        "is an older copy, or lost its newest rows"
    )


def _by(column: str) -> str:
    return f"by {column}" if column else "as snapshots"


def _new(state: RelationState, source: JdbcSource) -> NextRange:
    column, after = source.incremental_column or "", state.after
    upto = state.newest if state.cut is None else state.cut
    begin = None if after is None else after - state.overlap
    wanted = ColumnRange(
        state.relation, state.ident, column, begin, after, upto, overlap=state.overlap
    )
    if state.waiting:
        taken = state.waiting if state.cut is None else state.within
        wanted = replace(wanted, left=state.waiting - taken)
        text = f"{state.waiting:,} rows wait {_from(state, column)}"
        cut = f", {taken:,} are taken by this load" if wanted.left else ""
        return NextRange(Status.RUN, f"{text}{cut}", wanted)
    if after is None:
        return NextRange(Status.NOTHING, f"{state.relation} holds no rows")
    if state.read is not None and state.again != state.read.again:
        wanted = replace(wanted, upto=after)
        text = f"rows up to {column} {_shown(after, state)} were committed late, or deleted"
        return NextRange(Status.RUN, f"{text}: looks again", wanted)
    return NextRange(Status.NOTHING, f"no rows above {column} {_shown(after, state)}")


def _from(state: RelationState, column: str) -> str:
    if state.after is None:
        return f"in {state.relation}"
    return f"above {column} {_shown(state.after, state)}"


def _snapshot(state: RelationState, source: JdbcSource) -> NextRange:
    every, read = EVERY if source.every is None else source.every, state.read
    if not state.waiting:
        return NextRange(Status.NOTHING, f"{state.relation} holds no rows: nothing to take")
    wanted = ColumnRange(state.relation, state.ident)
    if read is None or _other(read, state, ""):
        return NextRange(Status.RUN, f"a first snapshot of {state.relation}", wanted)
    left = read.at + duration_micros(every) - state.at
    if left > 0:
        due = rough_duration(left * MICROSECOND)
        text = f"a snapshot every {format_duration(every)}, the next one in {due}"
        return NextRange(Status.NOTHING, text)
    age = rough_duration((state.at - read.at) * MICROSECOND)
    return NextRange(Status.RUN, f"the last snapshot of {state.relation} is {age} old", wanted)


def _shown(value: int, state: RelationState) -> str:
    """A value as people write it; of years beyond those that we can name, its number."""
    if not state.of_times:
        return f"{value:,}"
    try:
        return f"{EPOCH + value * MICROSECOND:%Y-%m-%d %H:%M:%S.%f}".rstrip("0").rstrip(".")
    except OverflowError:
        return f"{value:,}"

"""Point-in-time joins over bucketed files: the newest visible row, looked for run after run.

The newest row of a bucket is the newest of its runs' newest rows, so runs are looked at one at a
time, in any order, and only the columns that tell keys and times are read of all rows. The values
are read afterwards, of the rows that won. Nothing is sorted that is sorted already.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from feldspar.compute.columns import (
    Bools,
    Longs,
    find,
    flags,
    instants,
    longs,
    micros,
    refuse_taken,
)
from feldspar.compute.keys import NO_KEY, key_codes
from feldspar.compute.layout import Run
from feldspar.compute.pit.plan import PitPlan

NO_RUN = -1
Rank = tuple[Longs, ...]


def add_columns(
    spine: pa.Table, runs: Iterable[Run], plan: PitPlan, *, types: pa.Schema
) -> pa.Table:
    """The spine with the plan's columns of the newest visible row of each row's entity.

    Args:
        spine: n rows of one bucket with the plan's keys and time, and any other columns.
        runs: the bucket's rows.
        plan: what to take.
        types: of the rows' columns.

    Returns:
        n rows in the order of the spine: its columns, then the output columns.

    Raises:
        EngineError: a column is absent, has an unusable type, or an output column exists already.
    """
    refuse_taken(plan.columns.values(), spine.column_names)
    opened = list(runs)
    winners = _winners(spine, opened, plan)
    values = _Values(winners, opened, plan, types).columns()
    for source, name in plan.columns.items():
        spine = spine.append_column(pa.field(name, types.field(source).type), values[source])
    return spine


@dataclass(frozen=True, eq=False)
class Winners:
    """For each question the run that holds the newest visible row, or -1, and the row in it."""

    run: Longs
    row: Longs


def _winners(spine: pa.Table, runs: Sequence[Run], plan: PitPlan) -> Winners:
    time = micros(spine, plan.spine_time)
    asked = time.values.astype(np.int64, copy=False)
    size = spine.num_rows
    run, row = np.full(size, NO_RUN, dtype=np.int64), np.zeros(size, dtype=np.int64)
    best: Rank = ()
    for number, one in enumerate(runs):
        at, rank = _newest(spine, asked, one, plan=plan, tell=len(runs) > 1)
        found = at >= 0 if time.valid is None else (at >= 0) & time.valid
        if best:
            found &= (run == NO_RUN) | _exceeds(rank, best)
        run[found], row[found] = number, at[found]
        best = tuple(np.where(found, new, old) for new, old in zip(rank, best or rank, strict=True))
    if plan.ttl is not None and best:
        run[(run != NO_RUN) & (asked - best[0] > plan.ttl)] = NO_RUN
    return Winners(run, row)


def _exceeds(rank: Rank, other: Rank) -> Bools:
    """Where the tuples of ``rank`` come after those of ``other``."""
    result: Bools = rank[-1] > other[-1]
    for mine, yours in zip(rank[-2::-1], other[-2::-1], strict=True):
        result = (mine > yours) | ((mine == yours) & result)
    return result


def _newest(
    spine: pa.Table, asked: Longs, run: Run, *, plan: PitPlan, tell: bool
) -> tuple[Longs, Rank]:
    """The position of each question's newest visible row in a run, or -1, and what ranks it.

    ``tell``: whether there are other runs to be compared with; else event_time is rank enough.
    """
    names = (*plan.row_keys, plan.event_time)
    head = run.read((*names, plan.known_time) if plan.as_of == "known" else names)
    event_time = instants(head, plan.event_time)
    visible_at = event_time
    if plan.as_of == "known":
        known_time = instants(head, plan.known_time)
        visible_at = np.maximum(event_time, known_time + plan.serving_delay)
    line, entity = _line(spine, head, visible_at, event_time, run=run, plan=plan)
    at = line.last_until(entity, asked)
    if not tell or len(event_time) == 0:
        return at, (event_time[at],) if len(event_time) else (at,) * (4 if tell else 1)
    rest = run.read((plan.known_time, plan.batch, plan.position))
    others = (instants(rest, plan.known_time), longs(rest, plan.batch), longs(rest, plan.position))
    return at, tuple(values[at] for values in (event_time, *others))


@dataclass(frozen=True, eq=False)
class _Line:
    """Rows of a run that are the newest at some T, by entity and the time they become visible.

    Attributes:
        start, stop: where the rows of each entity begin and end.
        visible_at: ascending within an entity.
        row: where each lies in the run; None: at the place that it has here.
    """

    start: Longs
    stop: Longs
    visible_at: Longs
    row: Longs | None = None

    def last_until(self, entity: Longs, time: Longs) -> Longs:
        """The last row of ``entity`` with visible_at <= ``time``, as a place in the run, or -1.

        A binary search of all questions at once, each among the rows of its entity.
        """
        known = entity >= 0
        if len(self.visible_at) == 0:
            return np.full(len(time), -1, dtype=np.int64)
        low = np.where(known, self.start[entity], 0)
        first, high = low.copy(), np.where(known, self.stop[entity], 0)
        last = len(self.visible_at) - 1
        for _ in range(int((high - low).max(initial=0)).bit_length()):
            middle = (low + high) >> 1
            up = (self.visible_at[np.minimum(middle, last)] <= time) & (middle < high)
            low = np.where(up, middle + 1, low)
            high = np.where(up, high, middle)
        found = low - 1
        place = found if self.row is None else self.row[found]
        return np.where(low > first, place, -1)


def _line(
    spine: pa.Table,
    head: pa.Table,
    visible_at: Longs,
    event_time: Longs,
    *,
    run: Run,
    plan: PitPlan,
) -> tuple[_Line, Longs]:
    """The rows to search, and the entity of each question among them, or -1."""
    starts = _starts(head, plan.row_keys)
    firsts = head.select(list(plan.row_keys)).take(pa.array(starts))
    codes = key_codes(spine, firsts, plan.spine_keys, plan.row_keys)
    stretch = np.full(codes.size + 1, NO_KEY, dtype=np.int64)
    # codes.size stands in for "no key", which -1 finds
    stretch[codes.right] = np.arange(len(starts))
    stretch[NO_KEY] = NO_KEY
    inside = np.ones(max(0, head.num_rows - 1), dtype=np.bool_)
    inside[starts[1:] - 1] = False
    grouped = int((stretch[:-1] >= 0).sum()) == len(starts)
    if grouped and _in_order(visible_at, event_time, inside):
        stops = np.append(starts[1:], head.num_rows)
        line = _Line(starts, stops, visible_at)
        asked = stretch[codes.left]
    else:
        lengths = np.diff(starts, append=head.num_rows)
        entity = np.repeat(codes.right, lengths)
        line, event_time = _sorted(entity, visible_at, event_time, run=run, plan=plan)
        inside = np.diff(entity[line.row]) == 0 if line.row is not None else inside
        line = _by_code(line, entity, codes.size)
        asked = codes.left
    return _marked(line, event_time, inside), asked


def _starts(head: pa.Table, keys: Sequence[str]) -> Longs:
    """Where a row has another key than the one before it, the first row included."""
    changed: Bools = np.zeros(head.num_rows, dtype=np.bool_)
    changed[:1] = True
    for key in keys:
        column = find(head, key).combine_chunks()
        if pa.types.is_integer(column.type) and column.null_count == 0:
            values = column.to_numpy()
        else:
            encoded = column.dictionary_encode().indices
            values = encoded.fill_null(NO_KEY).to_numpy(zero_copy_only=False)
        changed[1:] |= values[1:] != values[:-1]
    return np.flatnonzero(changed)


def _in_order(visible_at: Longs, event_time: Longs, inside: Bools) -> bool:
    """Whether each entity's rows lie by (visible_at, event_time), with no two alike.

    Rows alike in both are ordered by what was not read: such a run is sorted to be sure.
    """
    later = visible_at[1:] > visible_at[:-1]
    if bool((later | ~inside).all()):
        return True
    alike = (visible_at[1:] == visible_at[:-1]) & (event_time[1:] > event_time[:-1])
    return bool((later | alike | ~inside).all())


def _sorted(
    entity: Longs, visible_at: Longs, event_time: Longs, *, run: Run, plan: PitPlan
) -> tuple[_Line, Longs]:
    """All rows that have a key, by (entity, visible_at, rank), and their event_time."""
    rest = run.read((plan.known_time, plan.batch, plan.position))
    order = (
        longs(rest, plan.position),
        longs(rest, plan.batch),
        instants(rest, plan.known_time),
        event_time,
        visible_at,
        entity,
    )
    keyed = np.flatnonzero(entity >= 0)
    row = keyed[np.lexsort([key[keyed] for key in order])]
    nothing = np.empty(0, dtype=np.int64)
    return _Line(nothing, nothing, visible_at[row], row), event_time[row]


def _by_code(line: _Line, entity: Longs, size: int) -> _Line:
    """The line with the bounds of every entity code below ``size``."""
    ordered = entity[line.row]
    codes = np.arange(size + 1)
    start, stop = (np.searchsorted(ordered, codes, side=side) for side in ("left", "right"))
    return replace(line, start=start, stop=stop)


def _marked(line: _Line, event_time: Longs, inside: Bools) -> _Line:
    """Only the rows that are the newest at some T.

    A late row that is older than what was visible before it never is. Of two rows of the same
    event_time the later one in this order ranks higher: event_time alone tells.
    """
    older = (event_time[1:] < event_time[:-1]) & inside
    if not bool(older.any()):
        return line
    entity = np.concatenate(([0], np.cumsum(~inside)))
    rank = np.unique(event_time, return_inverse=True)[1]
    # an entity's keys all exceed those of the entities before it: the maximum starts anew
    key = entity * (len(rank) + 1) + rank
    kept = np.flatnonzero(key == np.maximum.accumulate(key))
    return _Line(
        np.searchsorted(kept, line.start),
        np.searchsorted(kept, line.stop),
        line.visible_at[kept],
        kept if line.row is None else line.row[kept],
    )


class _Values:
    """Reads the output columns of the winning rows, run by run."""

    def __init__(
        self, winners: Winners, runs: Sequence[Run], plan: PitPlan, types: pa.Schema
    ) -> None:
        self._winners, self._runs, self._types = winners, runs, types
        self._tombstone = plan.tombstone
        self._names = list(plan.columns)

    def columns(self) -> dict[str, pa.ChunkedArray]:
        """Each output column for every question, null where nothing was found."""
        run, row = self._winners.run, self._winners.row
        used = [number for number in range(len(self._runs)) if bool((run == number).any())]
        if len(used) == 1:
            rows = pa.array(row, mask=run == NO_RUN)
            return self._alive(self._read(used[0], rows), np.arange(len(run)))
        parts = [self._read(number, pa.array(row[run == number])) for number in used]
        # the parts one below the other, and where each question's row lies there
        place = np.full(len(run), NO_RUN, dtype=np.int64)
        order = np.concatenate([[], *(np.flatnonzero(run == number) for number in used)])
        place[order.astype(np.int64)] = np.arange(len(order))
        stacked = {
            name: pa.chunked_array(
                [chunk for part in parts for chunk in part[name].chunks],
                self._types.field(name).type,
            )
            for name in self._wanted()
        }
        return self._alive(stacked, place)

    def _wanted(self) -> list[str]:
        dead = [] if self._tombstone is None else [self._tombstone]
        return list(dict.fromkeys([*dead, *self._names]))

    def _read(self, number: int, rows: pa.Array) -> dict[str, pa.ChunkedArray]:
        found: dict[str, pa.ChunkedArray] = {}
        for table in self._runs[number].take(self._wanted(), rows):
            found |= dict(zip(table.column_names, table.columns, strict=True))
        return found

    def _alive(
        self, columns: dict[str, pa.ChunkedArray], place: Longs
    ) -> dict[str, pa.ChunkedArray]:
        """The output columns at ``place``, without rows that are tombstones."""
        none = place == NO_RUN
        if self._tombstone is not None and not none.all():
            dead = flags(pa.table({self._tombstone: columns[self._tombstone]}), self._tombstone)
            none |= dead[place]
        if not none.any() and bool((place == np.arange(len(place))).all()):
            return {name: columns[name] for name in self._names}
        index = pa.array(place, mask=none)
        return {name: columns[name].take(index) for name in self._names}

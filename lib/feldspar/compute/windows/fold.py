"""The exact window kernel: many questions over many events, vectorised over all entities.

Settled rows are folded as ranges of the events sorted by (entity, event_time), cut around the
row's own event. What is late or corrected is folded pair by pair: each state counts for one
interval of T, which is a range of the spine. Partial states of both are merged, never subtracted.
Frames enter by arrow.py; one entity at one T by online.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import pyarrow as pa

from feldspar.compute.columns import Bools, Column, Longs, Numbers
from feldspar.compute.timeline import Timeline, in_order
from feldspar.compute.windows import partial
from feldspar.compute.windows.arrays import NO_EVENT, EventArrays, SpineArrays
from feldspar.compute.windows.functions import AggregationPlan, Need
from feldspar.compute.windows.listed import list_windows
from feldspar.compute.windows.members import (
    PAIRS_AT_ONCE,
    PairRanges,
    Pieces,
    Questions,
    members,
)
from feldspar.compute.windows.moments import chunks, expand
from feldspar.compute.windows.partial import Partial
from feldspar.compute.windows.rule import WindowRule
from feldspar.compute.windows.versions import States, states
from feldspar.errors import EngineError


# infinities make NaN where IEEE says so; that is an answer and no accident
@np.errstate(invalid="ignore", over="ignore")
def fold(
    spine: SpineArrays,
    events: EventArrays,
    aggregations: Sequence[AggregationPlan],
    *,
    rule: WindowRule,
) -> dict[str, pa.Array]:
    """Answer every aggregation for every spine row.

    Args:
        spine: n questions, in any order, equal ones too.
        events: stored versions, in any order.
        aggregations: the output columns.
        rule: what a window counts.

    Returns:
        By output column an array of shape (n,) in the order of the spine.

    Raises:
        EngineError: an aggregated column is absent in the events, or in the spine's own values
            where the own event has to be folded in.
    """
    asked = np.flatnonzero(spine.entity >= 0)
    asked = asked[in_order(spine.entity[asked], spine.time[asked])]
    question = _questions(spine, asked)
    seen = states(events, rule)
    folder = _Folder(question, seen, rule)
    folds_own = rule.folds_own and spine.own_event is not None
    own = np.flatnonzero(question.own_event != NO_EVENT) if folds_own else asked[:0]
    sources = _Sources(spine, events, asked, seen.row, own)
    found: dict[str, Column] = {}
    for edges in dict.fromkeys((item.window_micros, item.hop_micros) for item in aggregations):
        pieces = folder.pieces(*edges)
        pairs = folder.pair_ranges(*edges)
        merged, listed = _by_argument(aggregations, *edges)
        for argument, group in merged.items():
            needs = frozenset[Need]().union(*(item.needs for item in group))
            column = sources.stored(argument)
            state = folder.ranges(column, needs, pieces)
            folder.add_pairs(state, column, needs, pairs)
            if folds_own:
                _add_own(state, sources.asked_for(argument), needs, own)
            found |= {item.name: Column(*partial.finish(state, item)) for item in group}
        if listed:
            parts = members(question, seen, pieces, pairs, own=own)
            found |= list_windows(listed, sources.listed, parts)
    return {
        item.name: _placed(found[item.name], item, asked, len(spine.entity))
        for item in aggregations
    }


@dataclass(frozen=True, eq=False)
class _Sources:
    """The aggregated columns of the events, and of the questions' own events."""

    spine: SpineArrays
    events: EventArrays
    asked: Longs
    rows: Longs
    own: Longs
    """The questions whose own event is folded in."""

    def stored(self, name: str | None) -> Column:
        """By version."""
        return _argument(self.events, name)

    def asked_for(self, name: str | None) -> Column:
        """By question, what it says of its own event."""
        return _own(self.spine, name, self.asked)

    def listed(self, name: str | None) -> Column:
        """By state, and by question behind them where own events are folded in."""
        states = self.stored(name).take(self.rows)
        if not len(self.own):
            return states
        mine = self.asked_for(name)
        valid = [
            np.ones(len(one.values), dtype=np.bool_) if one.valid is None else one.valid
            for one in (states, mine)
        ]
        values = cast(Numbers, np.concatenate((states.values, mine.values)))
        return Column(values, np.concatenate(valid), states.texts)


class _Folder:
    """Positions of one spine in one set of states, shared by all windows and columns."""

    def __init__(self, question: Questions, seen: States, rule: WindowRule) -> None:
        self._question, self._seen, self._rule = question, seen, rule
        self._ranged = np.flatnonzero(seen.ranged)
        entity, time = seen.entity[self._ranged], seen.event_time[self._ranged]
        self._line = Timeline(entity, time)
        self._spine_line = Timeline(question.entity, question.time)
        settled = Timeline(entity, seen.ranged_from[self._ranged])
        self._settled = settled.until(question.entity, question.time)
        self._stops: dict[int, Longs] = {}
        self._own_at = _places(*_own_events(entity, seen.event_id[self._ranged], question))

    def _stop(self, new: Longs, raster: int) -> Longs:
        """Where windows end among the settled states; the same for all on one raster."""
        if raster not in self._stops:
            end = self._line.until(self._question.entity, new)
            self._stops[raster] = np.minimum(end, self._settled)
        return self._stops[raster]

    def pieces(self, window: int, hop: int) -> Pieces:
        """Where each question's window lies in the ranged states, without its own event."""
        question = self._question
        old, new = self._rule.edges(question.time, window, hop)
        start = self._line.until(question.entity, old)
        own, stop = self._own_at, self._stop(new, hop if self._rule.delay else 0)
        cut = np.flatnonzero((own >= start) & (own < stop))
        until = stop.copy()
        until[cut] = own[cut]
        rest = cut[own[cut] + 1 < stop[cut]]
        return Pieces(start, until, rest, own[rest] + 1, stop[rest])

    def ranges(self, column: Column, needs: frozenset[Need], pieces: Pieces) -> Partial:
        """The state of the settled rows of each question's window."""
        values = column.take(self._seen.row[self._ranged])
        state = partial.of_ranges(values, needs, pieces.start, pieces.stop)
        if len(pieces.rest):
            rest = partial.of_ranges(values, needs, pieces.rest_start, pieces.rest_stop)
            state.absorb(pieces.rest, rest)
        return state

    def pair_ranges(self, window: int, hop: int) -> PairRanges:
        """States to be folded singly, and the questions whose window they are in."""
        seen, rule = self._seen, self._rule
        enters, leaves = rule.span(seen.event_time, window, hop)
        since = np.maximum(seen.visible_at, enters)
        until = np.minimum(seen.ranged_from, seen.until)
        rows = np.flatnonzero(since < until)
        until = np.minimum(until[rows], leaves[rows])
        entity = seen.entity[rows]
        start = self._spine_line.before(entity, since[rows])
        stop = np.maximum(start, self._spine_line.before(entity, until))
        return PairRanges(rows, start, stop)

    def add_pairs(
        self,
        state: Partial,
        column: Column,
        needs: frozenset[Need],
        ranges: PairRanges,
    ) -> None:
        """Merge in the late and the corrected, a bounded number of pairs at a time."""
        for unsorted, source in self._pairs(ranges.rows, ranges.start, ranges.stop):
            order = np.argsort(unsorted, kind="stable")
            target = unsorted[order]
            first = np.flatnonzero(np.diff(target, prepend=-1))
            values = column.take(self._seen.row[source[order]])
            last = np.append(first[1:], len(target))
            state.absorb(target[first], partial.of_ranges(values, needs, first, last))

    def _pairs(self, rows: Longs, start: Longs, stop: Longs) -> Iterator[tuple[Longs, Longs]]:
        some = np.flatnonzero(stop > start)
        rows, start, lengths = rows[some], start[some], (stop - start)[some]
        for part in chunks(lengths, PAIRS_AT_ONCE):
            target = expand(start[part], lengths[part])
            source = np.repeat(rows[part], lengths[part])
            event = self._seen.event_id[source]
            other = (event == NO_EVENT) | (event != self._question.own_event[target])
            yield target[other], source[other]


def _questions(spine: SpineArrays, asked: Longs) -> Questions:
    own = np.full(len(asked), NO_EVENT) if spine.own_event is None else spine.own_event[asked]
    return Questions(spine.entity[asked], spine.time[asked], own)


def _own_events(entity: Longs, event_id: Longs, question: Questions) -> tuple[Longs, Longs]:
    """Ids of the rows' events, none twice, and of the questions' own events among them.

    Where events out of reach were left out, one that moved may stand in the entity that it left,
    too: no question there sees it any more, but the row must not be taken for another entity's.
    """
    if bool((np.bincount(event_id[event_id != NO_EVENT]) <= 1).all()):
        return event_id, question.own_event
    ids = np.concatenate((event_id, question.own_event))
    entities = np.concatenate((entity, question.entity))
    codes = np.unique(entities * (ids.max() + 1) + ids, return_inverse=True)[1]
    codes[ids == NO_EVENT] = NO_EVENT
    return codes[: len(event_id)], codes[len(event_id) :]


def _places(event_id: Longs, wanted: Longs) -> Longs:
    """Where each wanted event stands among ``event_id`` (each named one at most once), or -1."""
    size = max(int(ids.max(initial=NO_EVENT)) for ids in (event_id, wanted)) + 2
    place = np.full(size, -1, dtype=np.int64)
    place[event_id] = np.arange(len(event_id))
    place[NO_EVENT] = -1  # the last slot: events without a name are nobody's own
    return place[wanted]


def _by_argument(
    aggregations: Sequence[AggregationPlan], window: int, hop: int
) -> tuple[dict[str | None, list[AggregationPlan]], list[AggregationPlan]]:
    """The aggregations of one size: those that merge by their argument, and the others."""
    groups: dict[str | None, list[AggregationPlan]] = {}
    here = [one for one in aggregations if (one.window_micros, one.hop_micros) == (window, hop)]
    for item in here:
        if item.is_merged:
            groups.setdefault(item.argument, []).append(item)
    return groups, [item for item in here if not item.is_merged]


def _argument(events: EventArrays, name: str | None) -> Column:
    if name is None:
        return Column(np.broadcast_to(np.int64(0), len(events.entity)))
    if name not in events.arguments:
        raise EngineError(f"no aggregated column {name!r} among {sorted(events.arguments)}")
    return events.arguments[name]


def _own(spine: SpineArrays, name: str | None, asked: Longs) -> Column:
    if name is None:
        return Column(np.broadcast_to(np.int64(0), len(asked)))
    if name not in spine.own:
        raise EngineError(
            f"the own event is folded in, but the spine does not say its {name!r}",
            hint="map it in own_arguments, or ask for request_event: exclude",
        )
    return spine.own[name].take(asked)


def _add_own(state: Partial, own: Column, needs: frozenset[Need], rows: Longs) -> None:
    state.absorb(rows, partial.of_ranges(own, needs, rows, rows + 1))


def _placed(found: Column, item: AggregationPlan, asked: Longs, size: int) -> pa.Array:
    """Answers in the order of the spine, with the default where there is none."""
    values = found.values
    there = np.ones(len(values), dtype=np.bool_) if found.valid is None else found.valid
    if item.default is not None and item.function != "count":
        if not isinstance(item.default, int):
            values = values.astype(np.float64)
        values, there = np.where(there, values, item.default), np.ones(len(there), dtype=np.bool_)
    answer = np.zeros(size, dtype=values.dtype)
    known: Bools = np.zeros(size, dtype=np.bool_)
    answer[asked], known[asked] = values, there
    placed = pa.array(answer, mask=~known)
    return placed if found.texts is None else found.texts.take(placed)

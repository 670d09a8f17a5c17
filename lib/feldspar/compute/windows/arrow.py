"""Windows over Arrow tables, without Spark: tests of definitions, small frames, one Spark bucket.

The spine comes back row by row as it was, with the output columns behind it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa

from feldspar.compute.columns import (
    Column,
    Longs,
    coded,
    find,
    flags,
    instants,
    longs,
    micros,
    numbers,
    refuse_taken,
    texts_of,
)
from feldspar.compute.keys import NO_KEY, KeyCodes, key_codes
from feldspar.compute.timeline import Timeline, in_order, narrow
from feldspar.compute.windows.arrays import EventArrays, SpineArrays
from feldspar.compute.windows.fold import fold
from feldspar.compute.windows.functions import output_type
from feldspar.compute.windows.plan import WindowPlan
from feldspar.errors import EngineError

EVENTS_AT_ONCE = 250_000
"""Events of a bucket that are folded together: what a kernel works on stays in a core's cache
(20 M payments: 1.5 us of CPU an event; 2.3 us where 1.25 M were folded at once)."""
SPARSE = 4
"""From so many events a question on it pays to look which of them it can see."""


def add_windows(spine: pa.Table, events: pa.Table, plan: WindowPlan) -> pa.Table:
    """The spine with one more column for each aggregation.

    Args:
        spine: n rows with the plan's keys and time, and any other columns.
        events: stored versions of events, in any order; key types as in the spine.
        plan: what to compute.

    Returns:
        n rows in the order of the spine: its columns, then the output columns.

    Raises:
        EngineError: a column is absent, has an unusable type, or an output column exists already.
    """
    refuse_taken((item.name for item in plan.aggregations), spine.column_names)
    entity = key_codes(spine, events, plan.spine_keys, plan.event_keys)
    asked, stored = _arrays(spine, events, plan, entity=entity)
    return _with_columns(spine, _answers(asked, stored, plan, output_fields(plan, events.schema)))


def add_windows_in_bucket(
    spine: pa.Table, events: pa.Table, plan: WindowPlan, *, at_once: int = EVENTS_AT_ONCE
) -> pa.Table:
    """``add_windows`` where the events hold departures (see ``departures.py``).

    Entities are folded in blocks of about ``at_once`` events, or one entity where it has more.
    Where questions are few, events that none of them can see are left out first.
    """
    codes = key_codes(spine, events, plan.spine_keys, plan.event_keys)
    if events is not spine and spine.num_rows * SPARSE <= events.num_rows:
        seen = rows_in_reach(spine, events, codes, plan)
        events, codes = events.take(seen), replace(codes, right=codes.right[seen])
    blocks = -(-events.num_rows // at_once)
    if blocks <= 1:
        return _with_columns(spine, _in_bucket(spine, events, plan, entity=codes))
    asked = _in_blocks(codes.left, blocks)
    stored = asked if events is spine else _in_blocks(codes.right, blocks)
    parts = []
    for rows, others in zip(asked, stored, strict=True):
        part = spine.take(rows)
        # codes are dense in a block too: those of it are all alike modulo the number of blocks
        entity = KeyCodes(
            codes.left[rows] // blocks, codes.right[others] // blocks, codes.size // blocks + 1
        )
        theirs = part if events is spine else events.take(others)
        parts.append(_in_bucket(part, theirs, plan, entity=entity))
    answers = pa.concat_tables(parts)
    place = np.argsort(np.concatenate(asked), kind="stable")
    return _with_columns(spine, answers.take(place))


def _in_blocks(codes: Longs, blocks: int) -> list[Longs]:
    """The rows of each block; all rows of an entity are in one."""
    block = codes % blocks
    order = np.argsort(narrow(block), kind="stable")
    ends = np.cumsum(np.bincount(block, minlength=blocks))
    return np.split(order, ends[:-1])


def rows_in_reach(spine: pa.Table, events: pa.Table, codes: KeyCodes, plan: WindowPlan) -> Longs:
    """The stored versions that some question can see, and not too old for it.

    A version counts, or hides one that does, only for a T from when it is visible on, and no more
    than the plan's reach after both its times: the first T of its entity tells.

    Args:
        spine, events: as in ``add_windows_in_bucket``.
        codes: of their entities.
        plan: what is to be computed.

    Returns:
        Ascending places in ``events``; all of them under ``as_of: event``, where a version hides
        others at any T.
    """
    if plan.rule.as_of == "event":
        return np.arange(events.num_rows)
    time = micros(spine, plan.spine_time)
    known = codes.left >= 0 if time.valid is None else (codes.left >= 0) & time.valid
    entity, asked = codes.left[known], time.values[known].astype(np.int64, copy=False)
    order = in_order(entity, asked)
    entity, asked = entity[order], asked[order]
    happened = instants(events, plan.columns.event_time)
    told = instants(events, plan.columns.known_time)
    visible_at = np.maximum(happened, told + plan.rule.serving_delay)
    first = Timeline(entity, asked).before(codes.right, visible_at)
    there = np.flatnonzero((first < len(entity)) & (codes.right >= 0))
    there = there[entity[first[there]] == codes.right[there]]
    young = asked[first[there]] - plan.reach <= np.maximum(happened, told)[there]
    seen: Longs = there[young]
    return seen


def _in_bucket(
    spine: pa.Table, events: pa.Table, plan: WindowPlan, *, entity: KeyCodes
) -> pa.Table:
    asked, stored = _arrays(spine, events, plan, entity=entity)
    stored = replace(stored, with_departures=True)
    return _answers(asked, stored, plan, output_fields(plan, events.schema))


def output_fields(plan: WindowPlan, events: pa.Schema) -> list[pa.Field]:
    """Name and type of the output columns, given the types of the aggregated ones."""
    absent = [name for name in plan.arguments if name not in events.names]
    if absent:
        raise EngineError(f"the events have no columns {absent}", hint=f"found: {events.names}")
    types = {name: events.field(name).type for name in plan.arguments}
    return [
        pa.field(
            item.name,
            output_type(
                item,
                None if item.argument is None else types[item.argument],
                None if item.by is None else types[item.by],
            ),
        )
        for item in plan.aggregations
    ]


def _answers(
    asked: SpineArrays, stored: EventArrays, plan: WindowPlan, fields: Sequence[pa.Field]
) -> pa.Table:
    """The output columns, in the order of the spine."""
    found = fold(asked, stored, plan.aggregations, rule=plan.rule)
    return pa.table([_typed(found[one.name], one.type) for one in fields], pa.schema(fields))


def _with_columns(spine: pa.Table, answers: pa.Table) -> pa.Table:
    for one in answers.schema:
        spine = spine.append_column(one.name, answers.column(one.name))
    return spine


def _typed(answer: pa.Array, kind: pa.DataType) -> pa.Array:
    """The kernel's numbers and texts in the type of the output column."""
    if answer.type == kind:
        return answer
    return (answer.cast(pa.int32()) if pa.types.is_date32(kind) else answer).cast(kind)


def _arrays(
    spine: pa.Table, events: pa.Table, plan: WindowPlan, *, entity: KeyCodes
) -> tuple[SpineArrays, EventArrays]:
    names = plan.columns
    time = micros(spine, plan.spine_time)
    asked = entity.left.copy()
    if time.valid is not None:
        asked[~time.valid] = NO_KEY
    # without own events the ids are coded against none
    own = _own(spine, events, plan)
    columns = {
        name: _columns(find(events, name), own.get(name), plan, name) for name in plan.arguments
    }
    holder = spine if plan.own_event_id else events.slice(0, 0)
    ids = key_codes(holder, events, (plan.own_event_id or names.event_id,), (names.event_id,))
    return (
        SpineArrays(
            asked,
            time.values.astype("int64", copy=False),
            ids.left if plan.own_event_id else None,
            {name: mine for name, (_, mine) in columns.items() if mine is not None},
        ),
        EventArrays(
            entity.right,
            ids.right,
            instants(events, names.event_time),
            instants(events, names.known_time),
            longs(events, names.batch),
            longs(events, names.position),
            {name: stored for name, (stored, _) in columns.items()},
            flags(events, names.retracted) if names.retracted else None,
        ),
    )


def _own(spine: pa.Table, events: pa.Table, plan: WindowPlan) -> dict[str, pa.ChunkedArray]:
    """Own values, in the type that the events give the column."""
    if not plan.folds_own:
        return {}
    own = {}
    for name in plan.arguments:
        column = find(spine, plan.own_arguments[name])
        try:
            own[name] = column.cast(find(events, name).type)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise EngineError(
                f"{plan.own_arguments[name]!r} does not fit {name!r} of the events: {error}"
            ) from error
    return own


def _columns(
    stored: pa.ChunkedArray, own: pa.ChunkedArray | None, plan: WindowPlan, name: str
) -> tuple[Column, Column | None]:
    """An aggregated column of the events and of the own events, numbered alike if it is texts."""
    if name not in plan.coded:
        own_name = plan.own_arguments.get(name, name)
        return numbers(stored, name), None if own is None else numbers(own, own_name)
    kind = stored.type
    texts = None
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        texts = texts_of(stored) if own is None else texts_of(stored, own)
    coded_own = None if own is None else coded(own, name, texts=texts)
    return coded(stored, name, texts=texts), coded_own

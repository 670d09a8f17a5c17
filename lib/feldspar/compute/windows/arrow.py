"""Windows over Arrow tables, without Spark: tests of definitions, small frames, one Spark bucket.

The spine comes back row by row as it was, with the output columns behind it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pyarrow as pa

from feldspar.compute.columns import (
    Column,
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
from feldspar.compute.keys import NO_KEY, key_codes
from feldspar.compute.windows.arrays import EventArrays, SpineArrays
from feldspar.compute.windows.fold import fold
from feldspar.compute.windows.functions import output_type
from feldspar.compute.windows.plan import WindowPlan
from feldspar.errors import EngineError


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
    asked, stored = _arrays(spine, events, plan)
    return _with_answers(spine, asked, stored, plan, output_fields(plan, events.schema))


def add_windows_in_bucket(spine: pa.Table, events: pa.Table, plan: WindowPlan) -> pa.Table:
    """``add_windows`` where the events hold departures (see ``batch.with_departures``)."""
    asked, stored = _arrays(spine, events, plan)
    stored = replace(stored, with_departures=True)
    return _with_answers(spine, asked, stored, plan, output_fields(plan, events.schema))


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


def _with_answers(
    spine: pa.Table,
    asked: SpineArrays,
    stored: EventArrays,
    plan: WindowPlan,
    fields: Sequence[pa.Field],
) -> pa.Table:
    answers = fold(asked, stored, plan.aggregations, rule=plan.rule)
    for one in fields:
        spine = spine.append_column(one.name, _typed(answers[one.name], one.type))
    return spine


def _typed(answer: pa.Array, kind: pa.DataType) -> pa.Array:
    """The kernel's numbers and texts in the type of the output column."""
    if answer.type == kind:
        return answer
    return (answer.cast(pa.int32()) if pa.types.is_date32(kind) else answer).cast(kind)


def _arrays(spine: pa.Table, events: pa.Table, plan: WindowPlan) -> tuple[SpineArrays, EventArrays]:
    names = plan.columns
    entity = key_codes(spine, events, plan.spine_keys, plan.event_keys)
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

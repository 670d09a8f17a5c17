"""Point-in-time joins over Arrow tables, without Spark: small frames and one Spark bucket.

The spine comes back row by row as it was, with the output columns behind it.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from feldspar.compute.columns import find, flags, instants, longs, micros
from feldspar.compute.keys import NO_KEY, key_codes
from feldspar.compute.pit.asof import NO_ROW, RowArrays, newest_rows
from feldspar.compute.pit.plan import PitPlan
from feldspar.errors import EngineError


def add_columns(spine: pa.Table, rows: pa.Table, plan: PitPlan) -> pa.Table:
    """The spine with the plan's columns of the newest visible row of each row's entity.

    Args:
        spine: n rows with the plan's keys and time, and any other columns.
        rows: the view's rows, in any order; key types as in the spine.
        plan: what to take.

    Returns:
        n rows in the order of the spine: its columns, then the output columns.

    Raises:
        EngineError: a column is absent, has an unusable type, or an output column exists already.
    """
    taken = [name for name in plan.columns.values() if name in spine.column_names]
    if taken:
        raise EngineError(f"the spine already has the output columns {taken}")
    codes = key_codes(spine, rows, plan.spine_keys, plan.row_keys)
    time = micros(spine, plan.spine_time)
    entity = codes.left if time.valid is None else np.where(time.valid, codes.left, NO_KEY)
    at = newest_rows(
        entity,
        time.values.astype(np.int64, copy=False),
        RowArrays(
            codes.right,
            instants(rows, plan.event_time),
            instants(rows, plan.known_time),
            longs(rows, plan.batch),
            longs(rows, plan.position),
        ),
        ttl=plan.ttl,
        serving_delay=plan.serving_delay,
        as_of=plan.as_of,
    )
    if plan.tombstone is not None:
        dead = flags(rows, plan.tombstone)
        at = np.where((at != NO_ROW) & dead[at], NO_ROW, at) if len(dead) else at
    chosen = pa.array(at, mask=at == NO_ROW)
    for source, name in plan.columns.items():
        column = find(rows, source)
        spine = spine.append_column(pa.field(name, column.type), column.take(chosen))
    return spine

"""A view's values for served rows, each from the version of gold that the row names.

Runs in a task that has the rows of one bucket: each version's files of that bucket are read once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from feldspar.compute.layout import BucketedRows, TableRun
from feldspar.compute.pit.plan import PitPlan
from feldspar.compute.services.bucketed import ViewRows
from feldspar.compute.windows.plan import WindowPlan

Plan = PitPlan | WindowPlan
Versions = Mapping[int, BucketedRows]
"""The version that a row names -> the rows of gold that it is answered from."""
_NONE = -1


@dataclass(frozen=True, eq=False)
class HeldRows:
    """Rows of gold in memory, of a few entities, as if they were a bucket's."""

    table: pa.Table
    buckets: int = 1

    @property
    def schema(self) -> pa.Schema:
        """Names and types of the columns."""
        return self.table.schema

    def runs(self, bucket: int, *, since: int | None = None) -> Iterator[TableRun]:
        """All of them, whatever the bucket."""
        del bucket, since
        yield TableRun(self.table)

    def until(self, batch: int, *, column: str) -> HeldRows:
        """Those that came with a batch or before it."""
        return HeldRows(self.table.filter(pc.less_equal(self.table[column], batch)))


def outputs(plan: Plan) -> tuple[str, ...]:
    """The columns that a plan adds."""
    if isinstance(plan, PitPlan):
        return tuple(plan.columns.values())
    return tuple(one.name for one in plan.aggregations)


def inputs(plan: Plan) -> tuple[str, ...]:
    """The columns of the spine that a plan reads."""
    own: tuple[str, ...] = ()
    if isinstance(plan, WindowPlan) and plan.own_event_id is not None:
        own = (plan.own_event_id, *plan.own_arguments.values())
    return tuple(dict.fromkeys((*plan.spine_keys, plan.spine_time, *own)))


def needed(plan: Plan) -> tuple[str, ...]:
    """The columns of gold that a plan reads."""
    return plan.row_columns if isinstance(plan, PitPlan) else plan.event_columns


def replayed(
    rows: pa.Table, bucket: int, plan: Plan, versions: Versions, *, named: str, schema: pa.Schema
) -> pa.Table:
    """The plan's columns for n rows, in their order; null where a version cannot be read.

    Args:
        rows: n of one bucket, with what the plan reads.
        bucket: which.
        plan: what to compute.
        versions: where from.
        named: the column of ``rows`` that says which version.
        schema: of what is returned.
    """
    spine = rows.select(list(inputs(plan)))
    asked = rows.column(named).fill_null(_NONE).to_numpy()
    parts, places = [schema.empty_table()], [np.empty(0, dtype=np.int64)]
    for version in np.unique(asked):
        place = np.flatnonzero(asked == version)
        parts.append(
            _part(spine.take(pa.array(place)), bucket, plan, versions.get(int(version)), schema)
        )
        places.append(place)
    order = np.argsort(np.concatenate(places), kind="stable")
    return pa.concat_tables(parts).take(pa.array(order))


def _part(
    spine: pa.Table, bucket: int, plan: Plan, gold: BucketedRows | None, schema: pa.Schema
) -> pa.Table:
    if gold is None:
        return pa.table([pa.nulls(spine.num_rows, one.type) for one in schema], schema=schema)
    added = ViewRows(plan, gold).added_to(spine, bucket)
    return pa.table([added.column(one.name).cast(one.type) for one in schema], schema=schema)


def held(rows: pa.Table, bucket: int, plan: Plan, gold: BucketedRows) -> HeldRows:
    """What gold has of the entities of some rows."""
    keys = plan.row_keys if isinstance(plan, PitPlan) else plan.event_keys
    wanted = pc.unique(rows.column(plan.spine_keys[0])).drop_null()
    columns: Sequence[str] = needed(plan)
    parts = [pa.schema([gold.schema.field(name) for name in columns]).empty_table()]
    for run in gold.runs(bucket % gold.buckets):
        table = run.read(columns)
        parts.append(table.filter(pc.is_in(table[keys[0]], wanted.cast(table[keys[0]].type))))
    return HeldRows(pa.concat_tables(parts).combine_chunks())

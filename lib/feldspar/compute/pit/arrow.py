"""Point-in-time joins over Arrow tables, without Spark: small frames and tests of definitions.

A table is a bucket of one run: bucketed.py decides.
"""

from __future__ import annotations

import pyarrow as pa

from feldspar.compute.columns import find
from feldspar.compute.layout import TableRun
from feldspar.compute.pit import bucketed
from feldspar.compute.pit.plan import PitPlan


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
    for name in plan.row_columns:
        find(rows, name)
    return bucketed.add_columns(spine, [TableRun(rows)], plan, types=rows.schema)

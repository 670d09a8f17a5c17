"""Windows over bucketed files: the events of one bucket from all its runs, folded by arrow.py."""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa

from feldspar.compute.layout import Run
from feldspar.compute.windows import arrow
from feldspar.compute.windows.plan import WindowPlan


def add_windows(
    spine: pa.Table, runs: Iterable[Run], plan: WindowPlan, *, types: pa.Schema
) -> pa.Table:
    """The spine with one more column for each aggregation.

    Args:
        spine: n rows of one bucket with the plan's keys and time, and any other columns.
        runs: the bucket's events, departures among them (see ``departures.py``).
        plan: what to compute.
        types: of the events' columns.

    Returns:
        n rows in the order of the spine: its columns, then the output columns.

    Raises:
        EngineError: a column is absent, has an unusable type, or an output column exists already.
    """
    columns = list(plan.event_columns)
    none = pa.schema([types.field(name) for name in columns]).empty_table()
    events = pa.concat_tables([none, *(run.read(columns) for run in runs)])
    return arrow.add_windows_in_bucket(spine, events, plan)

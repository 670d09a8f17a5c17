"""What was decided for tables and views with ``trigger: auto``, ``ops.decisions``.

A row is what a stream kept to from then on, why, from which figures, and what came of the decision
before it. Decided in ``monitor.auto``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

import pyarrow as pa

from feldspar.stores.tables import records
from feldspar.stores.tables.lake import Lake
from feldspar.stores.tables.log import Txn
from feldspar.times import to_micros

TABLE = "decisions"
NAMES_KEPT = timedelta(days=7)
"""A write is repeated within minutes or never."""
LOOKED_BACK = 200
"""Files, newest first, in which decisions are looked for."""
REMEMBERED = 20
"""Decisions of each table and view."""
Mode = Literal["stream", "batch", "mix"]
SCHEMA = pa.schema(
    {
        "run": pa.int64(),
        "decided_at": records.INSTANT,
        "name": pa.string(),
        "mode": pa.string(),
        "every_seconds": pa.float64(),
        "not_before_seconds": pa.float64(),
        "wake_at": pa.int64(),
        "cores": pa.int32(),
        "rows": pa.float64(),
        "seconds": pa.float64(),
        "delay_seconds": pa.float64(),
        "target_seconds": pa.float64(),
        "keeps_freshness": pa.bool_(),
        "share": pa.float64(),
        "cost": pa.float64(),
        "keeps_cost": pa.bool_(),
        "loads": pa.int32(),
        "fixed_seconds": pa.float64(),
        "row_seconds": pa.float64(),
        "rows_a_second": pa.float64(),
        "margin": pa.float64(),
        "arrival_seconds": pa.float64(),
        "came_loads": pa.int32(),
        "came_predicted": pa.float64(),
        "came_seconds": pa.float64(),
        "reasons": pa.list_(pa.string()),
        "passed_over": pa.list_(pa.string()),
    }
)


@dataclass(frozen=True)
class Decision:
    """What a stream keeps to for one table (silver and history) or view (gold and Redis).

    Attributes:
        run: the epoch of the stream that decided.
        decided_at: by the wall clock.
        name: ``silver.transactions`` or ``gold.customer_spend``.
        mode: stream: each round; batch: all that waits, every so often; mix: that, and sooner
            where many rows wait.
        every_seconds: from the start of a load to that of the next; 0: each round.
        not_before_seconds: how soon ``wake_at`` may count at all, by the cost limit.
        wake_at: so many waiting rows are loaded sooner; None: they wait their time.
        cores: how many a driver should have for it.
        rows: of a load, expected.
        seconds: that a load takes, expected.
        delay_seconds: from a row's event until it is there, at most, expected, with the margin.
        target_seconds: what this may be; None: nobody said.
        keeps_freshness: whether it is; True without a target.
        share: of the time that its steps take, expected.
        cost: what this may be; None: nobody said.
        keeps_cost: whether it is; True without a limit.
        loads: how many past ones the figures rest on; 0: nothing is measured yet.
        fixed_seconds: of a load, however few rows it has.
        row_seconds: that each row adds.
        rows_a_second: that arrive.
        margin: what is added to expected seconds; by it past loads took longer than was said.
        arrival_seconds: from an event to bronze, at least.
        came_loads: loads under the decision before this one.
        came_predicted: seconds that they should have taken.
        came_seconds: seconds that they took.
        reasons: in words.
        passed_over: the nearest other ways, and why not.
    """

    run: int
    decided_at: datetime
    name: str
    mode: Mode = "stream"
    every_seconds: float = 0.0
    not_before_seconds: float = 0.0
    wake_at: int | None = None
    cores: int = 1
    rows: float = 0.0
    seconds: float = 0.0
    delay_seconds: float = 0.0
    target_seconds: float | None = None
    keeps_freshness: bool = True
    share: float = 0.0
    cost: float | None = None
    keeps_cost: bool = True
    loads: int = 0
    fixed_seconds: float = 0.0
    row_seconds: float = 0.0
    rows_a_second: float = 0.0
    margin: float = 0.0
    arrival_seconds: float = 0.0
    came_loads: int = 0
    came_predicted: float = 0.0
    came_seconds: float = 0.0
    reasons: Sequence[str] = ()
    passed_over: Sequence[str] = ()


def append(lake: Lake, rows: Sequence[Decision]) -> None:
    """Appends decisions that were taken together, once.

    Args:
        lake: what they are about.
        rows: at least one.

    Raises:
        UnreachableError: the rows could not be written.
    """
    first = rows[0]
    txn = Txn(f"decisions:{first.run}:{to_micros(first.decided_at)}", 0)
    dicts = [asdict(row) for row in rows]
    records.append(lake, TABLE, dicts, schema=SCHEMA, txn=txn, kept=NAMES_KEPT)


def newest(lake: Lake) -> tuple[Decision, ...]:
    """The last ones of each table and view, in the order in which they were taken."""
    found = records.newest(
        lake, TABLE, SCHEMA, by="decided_at", files=LOOKED_BACK, most=("name", REMEMBERED)
    )
    return tuple(_decision(row) for row in found)


def _decision(row: dict[str, Any]) -> Decision:
    texts = {name: tuple(row[name]) for name in ("reasons", "passed_over")}
    return Decision(**{**row, **texts})

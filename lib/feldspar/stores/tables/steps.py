"""What runs did, ``ops.steps``: a row for each step that a run or a round of a stream carried out.

A round is one commit, under a name of the run's own: runs side by side do not shut each other out
here, for what they did has happened.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from feldspar.stores.tables import records
from feldspar.stores.tables.lake import Lake
from feldspar.stores.tables.log import Txn

TABLE = "steps"
NAMES_KEPT = timedelta(days=7)
"""A write is repeated within minutes or never."""
LOOKED_BACK = 500
"""Files, newest first, in which the last run of each step is looked for."""
Outcome = Literal["done", "nothing", "failed", "stuck"]
SCHEMA = pa.schema(
    {
        "run": pa.int64(),
        "round": pa.int32(),
        "verb": pa.string(),
        "step": pa.string(),
        "started_at": records.INSTANT,
        "seconds": pa.float64(),
        "rows_in": pa.int64(),
        "rows_out": pa.int64(),
        "refused": pa.int64(),
        "version": pa.int64(),
        "outcome": pa.string(),
        "error": pa.string(),
    }
)


@dataclass(frozen=True)
class StepRow:
    """One step of one round.

    Attributes:
        run: the run's epoch, its row in ``ops.runs`` (0: of a run without one).
        round: of a stream, from 1; 0 in a run that has no rounds.
        verb: the kind of step.
        step: what it makes, e.g. ``silver.transactions``.
        started_at: by the wall clock.
        seconds: to its end, or until it was given up.
        rows_in: rows read, entities for a push.
        rows_out: rows or entities written.
        refused: rows that went to quarantine.
        version: of the table that was made or looked at; of gold for a push. Its commit says how
            far the source was read.
        outcome: nothing: there was nothing to do after all; stuck: its round took too long.
        error: of a step that did not end well, its first line.
    """

    run: int
    round: int
    verb: str
    step: str
    started_at: datetime
    seconds: float
    rows_in: int | None = None
    rows_out: int | None = None
    refused: int | None = None
    version: int | None = None
    outcome: Outcome = "done"
    error: str = ""

    @property
    def went_wrong(self) -> bool:
        """Whether it failed or was given up."""
        return self.outcome in ("failed", "stuck")


def append(lake: Lake, rows: Sequence[StepRow]) -> None:
    """Appends the steps of one round (or of a run without rounds) once.

    Args:
        lake: what the run writes to.
        rows: at least one, all of one round.

    Raises:
        UnreachableError: the rows could not be written.
    """
    first = rows[0]
    txn = Txn(f"steps:{first.run}", first.round)
    dicts = [asdict(row) for row in rows]
    records.append(lake, TABLE, dicts, schema=SCHEMA, txn=txn, kept=NAMES_KEPT)


def newest(lake: Lake) -> dict[str, StepRow]:
    """The last run of each step, by the step's name; looked for in the newest files alone."""
    found = records.newest(lake, TABLE, SCHEMA, by="started_at", files=LOOKED_BACK)
    return {row["step"]: StepRow(**row) for row in found}


def done(lake: Lake, names: Sequence[str], *, since: datetime, most: int) -> tuple[StepRow, ...]:
    """What the given steps did well since a time, in the order in which they began.

    Args:
        lake: where the table lies.
        names: of the steps.
        since: earlier ones are not read.
        most: how many rows of each step, from the end.
    """
    wanted = (
        pc.field("step").isin(list(names))
        & (pc.field("outcome") == "done")
        & (pc.field("started_at") >= pa.scalar(since, records.INSTANT))
    )
    found = records.newest(
        lake,
        TABLE,
        SCHEMA,
        by="started_at",
        files=LOOKED_BACK,
        only=wanted,
        most=("step", most),
    )
    return tuple(StepRow(**row) for row in found)

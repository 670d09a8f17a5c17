"""What audits of served logs found, ``ops.audits``: a row a feature and audit.

An audit is one commit, under a name of its own, as runs are in ``steps``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

import pyarrow as pa

from feldspar.stores.tables import records
from feldspar.stores.tables.lake import Lake
from feldspar.stores.tables.log import Txn
from feldspar.times import to_micros

TABLE = "audits"
NAMES_KEPT = timedelta(days=7)
"""A write is repeated within minutes or never."""
LOOKED_BACK = 200
"""Files, newest first, in which the last audit of each service is looked for."""
SCHEMA = pa.schema(
    {
        "audited_at": records.INSTANT,
        "since": records.INSTANT,
        "service": pa.string(),
        "feature": pa.string(),
        "view": pa.string(),
        "served": pa.int64(),
        "compared": pa.int64(),
        "different": pa.int64(),
        "stale": pa.int64(),
        "late_seconds": pa.float64(),
        "cause": pa.string(),
        "examples": pa.list_(pa.string()),
        "failed": pa.bool_(),
    }
)


@dataclass(frozen=True)
class AuditRow:
    """One feature in one audit.

    Attributes:
        audited_at: by the wall clock.
        since: answers from then on were looked at; None: all.
        service, feature: whose, and the output column.
        view: whose stored column it is; empty where it is computed.
        served: answers that were replayed.
        compared: of them those whose version of gold could be read.
        different: values that differ from gold at the version that was served.
        stale: values that gold, as it is now, says were known otherwise by T.
        late_seconds: how late these came, at most; None: nothing is stale, or more than a week.
        cause: what most likely is the matter; empty where nothing is.
        examples: up to two, in words.
        failed: whether somebody must look at it.
    """

    audited_at: datetime
    since: datetime | None
    service: str
    feature: str
    view: str
    served: int
    compared: int
    different: int
    stale: int
    late_seconds: float | None
    cause: str
    examples: Sequence[str]
    failed: bool


def append(lake: Lake, rows: Sequence[AuditRow]) -> None:
    """Appends an audit's rows once.

    Args:
        lake: what was audited.
        rows: of one audit; where there are none, nothing is written.

    Raises:
        UnreachableError: the rows could not be written.
    """
    if rows:
        txn = Txn(f"audit:{rows[0].service}:{to_micros(rows[0].audited_at)}", 0)
        dicts = [asdict(row) for row in rows]
        records.append(lake, TABLE, dicts, schema=SCHEMA, txn=txn, kept=NAMES_KEPT)


def newest(lake: Lake) -> tuple[AuditRow, ...]:
    """The rows of each service's last audit; looked for in the newest files alone."""
    found = records.newest(lake, TABLE, SCHEMA, by="audited_at", files=LOOKED_BACK)
    rows = [AuditRow(**row) for row in found]
    last = {row.service: row.audited_at for row in rows}
    return tuple(row for row in rows if row.audited_at == last[row.service])

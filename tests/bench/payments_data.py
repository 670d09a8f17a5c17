"""Payments for the window benchmark: the published file, and the project's generator at any size.

The generator's days go straight to Parquet: what makes CSV lines, late copies and sessions of
them is not needed here and would take most of the time.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from bench.inputs import PaymentData
from payments.options import GeneratorOptions
from payments.payments import iter_days
from payments.world import make_world
from support.published import PAYMENTS as PUBLISHED

_SCHEMA = pa.schema(
    [
        ("transaction_id", pa.int64()),
        ("tx_datetime", pa.timestamp("us", tz="UTC")),
        ("customer_id", pa.int64()),
        ("terminal_id", pa.int64()),
        ("amount", pa.float64()),
    ]
)


@dataclass(frozen=True)
class Split:
    """Payments of which some come after all others were stored."""

    stored: PaymentData
    new: PaymentData


def published(folder: Path) -> PaymentData | None:
    """The published payments, their times marked as UTC; None where the file is not there."""
    if not PUBLISHED.exists():
        return None
    path = folder / "payments-published" / "part-0.parquet"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}")
        rows = pq.read_table(PUBLISHED, columns=_SCHEMA.names)
        pq.write_table(rows.cast(_SCHEMA), draft, compression="snappy")
        draft.replace(path)
    return PaymentData("published", str(path))


def generated(rows: int, folder: Path) -> PaymentData:
    """About ``rows`` payments of the project's generator; files that are complete stay."""
    home = folder / f"payments-{rows}"
    if not (home / "part-0.parquet").exists():
        home.mkdir(parents=True, exist_ok=True)
        draft = home / ".part-0.parquet"
        with pq.ParquetWriter(draft, _SCHEMA, compression="snappy") as writer:
            for day in iter_days(make_world(GeneratorOptions(payments=rows))):
                columns = {
                    "transaction_id": day["transaction_id"],
                    "tx_datetime": day["second"] * 1_000_000,
                    "customer_id": day["customer"],
                    "terminal_id": day["terminal"],
                    "amount": day["amount"],
                }
                arrays = [pa.array(columns[item.name]).cast(item.type) for item in _SCHEMA]
                writer.write_table(pa.Table.from_arrays(arrays, schema=_SCHEMA))
        draft.replace(home / "part-0.parquet")
    return PaymentData(home.name, str(home / "part-0.parquet"))


def newest(data: PaymentData, folder: Path) -> Split:
    """The newest 1 % by time, and the rest."""
    rank = f"(SELECT quantile_disc(tx_datetime, 0.99) FROM read_parquet('{data.events}'))"
    return _split(data, folder, name="newest", condition=f"tx_datetime > {rank}")


def late(data: PaymentData, folder: Path) -> Split:
    """A random 1 % across all customers, and the rest."""
    return _split(data, folder, name="late", condition="hash(transaction_id) % 100 = 0")


def _split(data: PaymentData, folder: Path, *, name: str, condition: str) -> Split:
    home = folder / f"{data.name}-{name}"
    home.mkdir(parents=True, exist_ok=True)
    parts = {"stored": f"NOT ({condition})", "new": condition}
    with duckdb.connect() as connection:
        for part, where in parts.items():
            path = home / f"{part}.parquet"
            if not path.exists():
                draft = home / f".{part}.parquet"
                rows = f"SELECT * FROM read_parquet('{data.events}') WHERE {where}"
                connection.execute(f"COPY ({rows}) TO '{draft}' (FORMAT parquet)")
                draft.replace(path)
    stored, new = (PaymentData(f"{home.name}-{one}", str(home / f"{one}.parquet")) for one in parts)
    return Split(stored, new)

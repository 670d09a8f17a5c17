"""DuckDB: window functions with RANGE frames; (T - N, T] is said to the microsecond."""

from __future__ import annotations

import duckdb

from bench.inputs import DAY_MICROS, WINDOW_DAYS, PaymentData, Settings
from bench.rivals.engine import Engine, Job


class DuckDBWindows(Engine[PaymentData]):
    """One connection in memory, with as many threads as everybody has."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._connection = duckdb.connect(config={"threads": settings.cores})
        self._connection.execute("SET preserve_insertion_order = false")
        self._connection.execute(f"SET temp_directory = '{settings.folder}'")

    def run(self, job: Job[PaymentData]) -> None:
        columns = ", ".join(
            f"count(*) OVER w{days} AS count_{days}d, avg(amount) OVER w{days} AS avg_{days}d"
            for days in WINDOW_DAYS
        )
        windows = ", ".join(
            f"w{days} AS (PARTITION BY customer_id ORDER BY tx_datetime RANGE BETWEEN"
            f" to_microseconds({days * DAY_MICROS - 1}) PRECEDING AND CURRENT ROW)"
            for days in WINDOW_DAYS
        )
        query = (
            f"SELECT transaction_id, customer_id, tx_datetime, {columns}"
            f" FROM read_parquet('{job.data.events}') WINDOW {windows}"
        )
        target = job.made() / "part-0.parquet"
        self._connection.execute(f"COPY ({query}) TO '{target}' (FORMAT parquet)")

"""DuckDB: one ASOF LEFT JOIN a view, the ttl as a condition on what was found.

The known question (both clocks) is asked by the marks of docs/time-and-windows.md in SQL.
"""

from __future__ import annotations

import duckdb

from bench.inputs import ENTITY, KNOWN, ROW, TIME, PitData, Settings, View
from bench.rivals.engine import Engine, Job


class DuckDBAsof(Engine[PitData]):
    """One connection in memory, with as many threads as everybody has."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._connection = duckdb.connect(config={"threads": settings.cores})
        self._connection.execute("SET preserve_insertion_order = false")
        self._connection.execute(f"SET temp_directory = '{settings.folder}'")

    def run(self, job: Job[PitData]) -> None:
        query = _query(job.data, known=job.options.get("as_of") == "known")
        target = job.made() / "part-0.parquet"
        self._connection.execute(f"COPY ({query}) TO '{target}' (FORMAT parquet)")


def _query(data: PitData, *, known: bool) -> str:
    features = ", ".join(
        _if_alive(view, name, data) for view in data.views for name in view.features
    )
    joins = "\n".join(_join(view, known=known) for view in data.views)
    spine = f"read_parquet('{data.spine}/*.parquet')"
    return f"SELECT s.{ROW}, s.{ENTITY}, s.{TIME}, {features} FROM {spine} s {joins}"


def _if_alive(view: View, name: str, data: PitData) -> str:
    age = f"epoch_us(s.{TIME}) - epoch_us({view.name}.{TIME})"
    return f"CASE WHEN {age} <= {data.ttl_micros} THEN {view.name}.{name} END AS {name}"


def _join(view: View, *, known: bool) -> str:
    rows, clock = f"read_parquet('{view.folder}/*.parquet')", TIME
    if known:
        rows, clock = f"({_marked(rows)})", "visible_at"
    return (
        f"ASOF LEFT JOIN {rows} {view.name}"
        f" ON s.{ENTITY} = {view.name}.{ENTITY} AND s.{TIME} >= {view.name}.{clock}"
    )


def _marked(rows: str) -> str:
    """The rows that are newer than every row of the entity that was visible before them."""
    newest = f"max({TIME}) OVER (PARTITION BY {ENTITY} ORDER BY visible_at, {TIME})"
    visible = f"SELECT *, greatest({TIME}, {KNOWN}) AS visible_at FROM {rows}"
    return f"SELECT * FROM ({visible}) QUALIFY {TIME} = {newest}"

"""The rivals by name, and which Python runs each."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Rival:
    """One way to do the job.

    Attributes:
        target: ``module:class`` of its engine.
        is_guest: whether it needs the rivals' environment, not the project's own.
    """

    target: str
    is_guest: bool = False


PIT = {
    "feldspar": Rival("bench.rivals.feldspar_pit:FeldsparPit"),
    "duckdb": Rival("bench.rivals.duckdb_asof:DuckDBAsof"),
    "polars": Rival("bench.rivals.polars_asof:PolarsAsof", is_guest=True),
    "range": Rival("bench.rivals.range_join:RangeJoin"),
    "tempo": Rival("bench.rivals.tempo_asof:TempoAsof", is_guest=True),
    "feast": Rival("bench.rivals.feast_spark:FeastSpark", is_guest=True),
}
WINDOWS = {
    "feldspar": Rival("bench.rivals.feldspar_windows:FeldsparWindows"),
    "duckdb": Rival("bench.rivals.duckdb_windows:DuckDBWindows"),
    "spark": Rival("bench.rivals.spark_windows:SparkWindows"),
}
CHECKS = {
    "bare": Rival("bench.rivals.delta_engine:BareWrite"),
    "spark": Rival("bench.rivals.spark_checks:SparkChecks"),
    "feldspar": Rival("bench.rivals.feldspar_checks:FeldsparChecks"),
    "gx": Rival("bench.rivals.gx_checks:GreatExpectations"),
}

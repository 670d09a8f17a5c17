"""What loads of every kind do to ``bronze.<source>``: claim it, and append to it once.

Bronze takes every column; what a source's rows are read from is in ``files`` and ``topics``.
"""

from __future__ import annotations

from datetime import datetime

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from feldspar.graph.steps import IngestStep
from feldspar.ingest.columns import INGESTED_AT, PROVENANCE
from feldspar.names import BATCH
from feldspar.stores.tables.epochs import refuse_stale
from feldspar.stores.tables.log import Commit, Txn
from feldspar.stores.tables.spark import Declared, SparkTables, nullable


def claim(step: IngestStep, app: str, tables: SparkTables, *, listed: str) -> None:
    """Makes sure that the loads are as the plan found them, and that no earlier run writes there.

    Bronze comes first, as it is written: a load that it has and the list has not is completed.

    Args:
        step: the load.
        app: its cursor.
        tables: the lake.
        listed: the table of ops that lists what was loaded.
    """
    if not tables.epoch:
        return
    places = (("bronze", step.source), ("ops", listed))
    found = [tables.claim(layer, name, app).position for layer, name in places]
    loads = [-1 if position is None else position for position in found]
    planned = step.batch if step.resume else step.batch - 1
    refuse_stale(f"{step.name}, load", planned=planned, found=max(loads))


def own_columns(rows: DataFrame) -> list[tuple[str, str]]:
    """Names and types of a frame's columns but for provenance."""
    return [(name, kind) for name, kind in rows.dtypes if name not in PROVENANCE]


def known_columns(tables: SparkTables, source: str) -> dict[str, str]:
    """Names and types of bronze's columns but for provenance; none where there is no bronze."""
    if not tables.exists("bronze", source):
        return {}
    held = tables.schema("bronze", source)
    kinds = {one.name: one.dataType.simpleString() for one in held}
    return {name: kind for name, kind in kinds.items() if name not in PROVENANCE}


def append(
    rows: DataFrame, step: IngestStep, *, tables: SparkTables, txn: Txn, now: datetime
) -> Commit:
    """Appends the rows of a load once; columns that bronze has not yet are added to it."""
    rows = rows.withColumn(BATCH, F.lit(step.batch).cast("bigint")).withColumn(
        INGESTED_AT, F.lit(now).cast("timestamp")
    )
    declared = Declared(nullable(rows.schema))
    if not tables.exists("bronze", step.source):
        return tables.append(rows, "bronze", step.source, txn=txn, declared=declared)
    tables.ensure("bronze", step.source, declared)
    return tables.append(_as_stored(rows, tables, step.source), "bronze", step.source, txn=txn)


def _as_stored(rows: DataFrame, tables: SparkTables, source: str) -> DataFrame:
    """Rows with bronze's columns in bronze's types (only widening ones got this far)."""
    stored = tables.schema("bronze", source)
    present = set(rows.columns)
    return rows.select(
        [
            (F.col(f"`{field.name}`") if field.name in present else F.lit(None))
            .cast(field.dataType)
            .alias(field.name)
            for field in stored
        ]
    )

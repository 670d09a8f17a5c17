"""Finished tables -> findings: every expectation of a table, stored as rows and as Data Docs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

import pyarrow as pa

from feldspar.compute.checks.suites import (
    Finding,
    data_docs,
    gold_expectations,
    silver_expectations,
    validate,
)
from feldspar.graph.graph import Graph
from feldspar.graph.steps import QualityStep
from feldspar.names import cursor
from feldspar.stores.tables import records
from feldspar.stores.tables.spark import SparkTables

SCHEMA = pa.schema(
    {
        "table": pa.string(),
        "version": pa.int64(),
        "expectation": pa.string(),
        "column": pa.string(),
        "success": pa.bool_(),
        "detail": pa.string(),
        "checked_at": records.INSTANT,
    }
)


@dataclass(frozen=True)
class QualityResult:
    """A suite over one version of one table."""

    table: str
    version: int
    findings: tuple[Finding, ...]
    docs: str

    @property
    def failed(self) -> tuple[Finding, ...]:
        """Expectations that did not hold."""
        return tuple(one for one in self.findings if not one.success)


def check_table(
    step: QualityStep,
    graph: Graph,
    *,
    tables: SparkTables,
    folder: Path,
    now: datetime,
    progress: Callable[[str], None],
) -> QualityResult:
    """Validates the newest version of a table and stores what was found.

    Args:
        step: names the table.
        graph: says what it promises.
        tables: the lake.
        folder: where Data Docs are kept.
        now: time of the check.
        progress: takes one line.
    """
    name = f"{step.layer}.{step.table}"
    version = tables.version(step.layer, step.table)
    if step.layer == "silver":
        expectations = silver_expectations(graph.table(step.table))
    else:
        expectations = gold_expectations(graph.view(step.table))
    progress(f"{step.name}: {len(expectations)} expectations at version {version}")
    df = tables.read(step.layer, step.table, version=version)
    findings = validate(df, expectations, name=name, folder=folder)
    rows = [{**asdict(one), "version": version, "checked_at": now} for one in findings]
    txn = tables.txn(cursor("quality", name), version)
    tables.claim("ops", "validations", txn.app)
    records.append(tables.lake, "validations", rows, schema=SCHEMA, txn=txn)
    return QualityResult(name, version, tuple(findings), str(data_docs(folder)))

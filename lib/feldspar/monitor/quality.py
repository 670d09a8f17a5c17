"""Finished tables -> findings: every expectation of a table, stored as rows and as Data Docs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

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
from feldspar.stores.tables.spark import SparkTables, Txn, struct

SCHEMA = (
    "table string, version bigint, expectation string, column string, success boolean, "
    "detail string, checked_at timestamp"
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
    rows = [
        (name, version, one.expectation, one.column, one.success, one.detail, now)
        for one in findings
    ]
    tables.ensure("ops", "validations", schema=struct(SCHEMA), properties={})
    frame = tables.spark.createDataFrame(rows, SCHEMA).coalesce(1)
    tables.append(frame, "ops", "validations", txn=Txn(cursor("quality", name), version))
    return QualityResult(name, version, tuple(findings), str(data_docs(folder)))

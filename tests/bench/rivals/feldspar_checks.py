"""Feldspar's own evaluation of a batch: the rules as a table's definition has them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import yaml
from pyspark import StorageLevel
from pyspark.sql import functions as F

from bench.checks_rules import (
    COLUMNS,
    KEY,
    NUMBERS,
    TIME,
    Among,
    Matching,
    NotBelow,
    NotNull,
    Rule,
    Within,
    rules,
)
from bench.inputs import CheckData, Settings
from bench.rivals.delta_engine import DeltaEngine, answer, write
from bench.rivals.engine import Job
from feldspar.graph.compile import compile_graph
from feldspar.graph.graph import Table
from feldspar.names import BATCH, POSITION, REASONS
from feldspar.refine.rows import checked_rows, silver_columns
from feldspar.refine.table import QUARANTINE_COLUMNS
from feldspar.spec.loading import load_definitions
from feldspar.times import utc_now

TYPES = {KEY: "bigint", TIME: "timestamp", **NUMBERS}


class FeldsparChecks(DeltaEngine):
    """What ``refine`` does with a batch, up to dropping copies: judged once, counted, split."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.table = table_of(Path(settings.folder) / "conf")

    def run(self, job: Job[CheckData]) -> None:
        raw = self.rows(job).withColumns(
            {
                "_file": F.lit(job.data.events),
                BATCH: F.lit(0).cast("bigint"),
                POSITION: F.monotonically_increasing_id(),
                "_ingested_at": F.lit(utc_now()).cast("timestamp"),
            }
        )
        rows = checked_rows(raw, self.table).persist(StorageLevel.MEMORY_AND_DISK)
        counts = rows.groupBy(REASONS).count().collect()
        failed = rows.where(F.size(REASONS) > 0)
        write(failed.select(*QUARANTINE_COLUMNS), job, "quarantine")
        valid = rows.where(F.size(REASONS) == 0)
        write(valid.select(*silver_columns(valid, self.table)), job, "silver")
        rows.unpersist()
        failing: Counter[str] = Counter()
        for row in counts:
            failing.update(dict.fromkeys(row[REASONS], row["count"]))
        answer(failing, job)


def table_of(folder: Path) -> Table:
    """The table that the rules define, written as files below a folder and read from there."""
    checks: dict[str, list[object]] = {}
    written: dict[str, str] = {}
    for reason, rule in rules().items():
        if reason.startswith("rule:"):
            written[reason.partition(":")[2]] = _condition(rule)
        else:
            checks.setdefault(rule.column, []).append(_check(rule))
    documents: dict[str, object] = {
        "project.yaml": {"name": "bench"},
        "sources/input.yaml": {
            "kind": "files",
            "path": "input",
            "event_time": TIME,
            "known_time": "event_time + 0s",
        },
        "tables/rows.yaml": {
            "from": "input",
            "key": KEY,
            "columns": {name: TYPES.get(name, "string") for name in COLUMNS},
            "checks": checks,
            "rules": written,
        },
    }
    for name, document in documents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    return compile_graph(load_definitions(folder, {})).table("rows")


def _check(rule: Rule) -> object:
    match rule:
        case NotNull():
            return "not_null"
        case Within(low=low, high=high):
            return {"between": [low, high]}
        case Among(values=values):
            return {"in": list(values)}
        case Matching(pattern=pattern):
            return {"matches": pattern}
        case NotBelow():
            raise ValueError(f"no check of one column: {rule}")


def _condition(rule: Rule) -> str:
    match rule:
        case Within(column=column, low=low, high=None):
            return f"{column} >= {low}"
        case Within(column=column, low=None, high=high):
            return f"{column} <= {high}"
        case NotBelow(column=column, other=other):
            return f"{column} >= {other}"
        case _:
            raise ValueError(f"no rule of a row: {rule}")

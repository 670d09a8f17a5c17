"""The rules by hand: one Spark expression makes the reasons of a row, and the rows are split."""

from __future__ import annotations

from pyspark import StorageLevel
from pyspark.sql import Column
from pyspark.sql import functions as F

from bench.checks_rules import Among, Matching, NotBelow, NotNull, Rule, Within, rules
from bench.inputs import CheckData, Settings
from bench.rivals.delta_engine import DeltaEngine, answer, write
from bench.rivals.engine import Job

REASONS = "_reasons"


class SparkChecks(DeltaEngine):
    """An array of reasons in each row, evaluated once and kept while the tables are written.

    As it is written without knowing better: with Spark's own settings where Feldspar has others.
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.spark.conf.set("spark.sql.codegen.hugeMethodLimit", "65535")
        self.spark.conf.set("spark.sql.inMemoryColumnarStorage.compressed", "true")

    def run(self, job: Job[CheckData]) -> None:
        broken = [F.when(fails(rule), F.lit(reason)) for reason, rule in rules().items()]
        reasons = F.array_compact(F.array(*broken))
        rows = self.rows(job).withColumn(REASONS, reasons).persist(StorageLevel.MEMORY_AND_DISK)
        failed = rows.where(F.size(REASONS) > 0)
        broken_rules = failed.select(F.explode(REASONS).alias("reason"))
        counts = broken_rules.groupBy("reason").count().collect()
        write(failed, job, "quarantine")
        write(rows.where(F.size(REASONS) == 0).drop(REASONS), job, "silver")
        rows.unpersist()
        answer({row["reason"]: row["count"] for row in counts}, job)


def fails(rule: Rule) -> Column:
    """True where a row breaks a rule, null where a value is missing."""
    value = F.col(rule.column)
    match rule:
        case NotNull():
            return value.isNull()
        case Within(low=low, high=high):
            bounds = [] if low is None else [value < low]
            bounds += [] if high is None else [value > high]
            return bounds[0] if len(bounds) == 1 else bounds[0] | bounds[1]
        case Among(values=values):
            return ~value.isin(*values)
        case Matching(pattern=pattern):
            return ~value.rlike(f"^(?:{pattern})$")
        case NotBelow(other=other):
            return ~(value >= F.col(other))

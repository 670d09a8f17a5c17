"""What the rivals in the benchmark of checks share: Delta tables written, rows counted by rule."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import DataFrame

from bench.checks_rules import rules
from bench.inputs import CheckData
from bench.rivals.engine import Job
from bench.rivals.feldspar_session import FeldsparEngine


class DeltaEngine(FeldsparEngine[CheckData]):
    """A session with Delta and the settings that Feldspar's has."""

    def rows(self, job: Job[CheckData]) -> DataFrame:
        """The rows to be checked."""
        return self.spark.read.parquet(job.data.events)


class BareWrite(DeltaEngine):
    """Parquet in, Delta out, nothing checked."""

    def run(self, job: Job[CheckData]) -> None:
        write(self.rows(job), job, "silver")


def write(rows: DataFrame, job: Job[CheckData], name: str) -> None:
    """A Delta table of its own below the folder of the answers."""
    rows.write.format("delta").save(str(job.out / name))


def answer(failing: Mapping[str, int], job: Job[CheckData]) -> None:
    """Writes how many rows fail each rule."""
    counts = [failing.get(reason, 0) for reason in rules()]
    job.out.mkdir(parents=True, exist_ok=True)
    table = pa.table({"rule": list(range(len(counts))), "rows": counts})
    pq.write_table(table, job.out / "counts.parquet")

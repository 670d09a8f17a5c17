"""Thousands of small batches: how many files lie there, what is rewritten, how long a scan takes.

``make care`` is the long form, ``make care TABLE=events`` that of one table; figures are printed
and kept as JSON under ``out/``. Times are told, never asserted. A table's first batch is written by
Spark, as the stages write it; the others are like it and come by delta-rs, in milliseconds, for
merges are what is measured.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from delta.tables import DeltaTable
from deltalake import write_deltalake
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from feldspar.features.gold import append_rows, gold_rows
from feldspar.features.layout import lay_anew, with_bucket
from feldspar.features.merging import full_size, merge_runs
from feldspar.graph.compile import compile_graph
from feldspar.graph.graph import Graph
from feldspar.graph.view import View
from feldspar.names import BATCH, BUCKET
from feldspar.spec.environment import Environment
from feldspar.spec.loading import load_definitions
from feldspar.stores.tables import arrow
from feldspar.stores.tables.bucketed import BUCKETS, bucketed_table
from feldspar.stores.tables.compaction import compact
from feldspar.stores.tables.lake import Lake
from feldspar.stores.tables.log import Txn, file_sizes
from feldspar.stores.tables.spark import Declared, SparkTables, nullable
from feldspar.stores.tables.tiers import FRESH, FULL, RUNS
from support.places import REPOSITORY
from support.small_project import write_project

BATCHES = int(os.environ.get("BATCHES", "60"))
ROWS = 1_000
SCANS = 8
MOST_REWRITTEN = 4
"""Bytes to those that batches wrote, over 2,000 batches."""


@dataclass(frozen=True)
class Figures:
    """What came of a table.

    ``most_files``: after any batch, in the bucket that had the most, beside full ones, which are
    never merged again (slices of a windowed view fill up); ``scan_ratio``: seconds of a
    scan to those of the same rows freshly optimised, which are ``optimised_seconds``.
    """

    table: str
    batches: int
    rows: int
    most_files: int
    files: int
    merges: int
    mebibytes_written: float
    times_rewritten: float
    seconds_a_merge: float
    scan_seconds: float
    optimised_seconds: float
    scan_ratio: float
    put_off: tuple[str, ...]


@dataclass
class Written:
    """A table under test: how its first batch is written, how it is cared for, and made one."""

    tables: SparkTables
    layer: str
    name: str
    first: Callable[[], None]
    care: Callable[[Callable[[str], None]], object]
    optimise: Callable[[], object]
    view: View | None = None

    def template(self) -> pa.Table:
        """The first batch, which is all there is yet."""
        return arrow.read(self.tables.lake, self.layer, self.name)

    def append(self, template: pa.Table, number: int) -> None:
        """A batch like the first, with its own ids, times and amounts."""
        rows = pa.table(
            {field.name: _shifted(template[field.name], field, number) for field in template.schema}
        )
        uri = self.tables.lake.native_uri(self.layer, self.name)
        split_by = [BUCKET] if BUCKET in rows.column_names else None
        write_deltalake(uri, rows, mode="append", partition_by=split_by)

    def most_files(self) -> int:
        """Files of the bucket that has the most, beside full ones."""
        if self.view is None:
            sizes = file_sizes(self.tables.lake, self.layer, self.name)
            return sum(size < FULL for size in sizes)
        version = self.tables.version(self.layer, self.name)
        found = bucketed_table(self.tables.lake, self.layer, self.name, version=version)
        assert found is not None
        full = full_size(self.view, found)
        return max(sum(file.size < full for file in held) for held in found.files.values())

    def files(self) -> int:
        return len(file_sizes(self.tables.lake, self.layer, self.name))

    def bytes_added(self) -> Counter[bool]:
        """Whether they were news to bytes of files."""
        found: Counter[bool] = Counter()
        for path in Path(self.tables.lake.uri(self.layer, self.name)).glob("_delta_log/*.json"):
            for line in path.read_text(encoding="utf-8").splitlines():
                added = json.loads(line).get("add")
                if added:
                    found[added["dataChange"]] += added["size"]
        return found

    def scans(self) -> tuple[float, float]:
        """Seconds that all rows and columns take, as they lie and freshly optimised: medians.

        In turn, of two versions of one table: warmth, load and its log are the same for both.
        """
        before = self.tables.version(self.layer, self.name)
        self.optimise()
        versions = before, self.tables.version(self.layer, self.name)
        frames = [self.tables.read(self.layer, self.name, version=one) for one in versions]
        seconds = [[_scan(frame) for frame in frames] for _ in range(SCANS)]
        # the first of each makes the list of its files
        cared, optimised = map(statistics.median, zip(*seconds[1:], strict=True))
        return cared, optimised


def _scan(rows: DataFrame) -> float:
    begun = time.monotonic()
    rows.write.format("noop").mode("overwrite").save()
    return time.monotonic() - begun


def _shifted(column: pa.ChunkedArray, field: pa.Field, number: int) -> pa.ChunkedArray | pa.Array:
    """Ids and times go on where the last batch ended; entities and buckets stay what they are."""
    if field.name == BATCH:
        return pa.array([number] * ROWS, field.type)
    if pa.types.is_timestamp(field.type):
        return pc.add(column, pa.scalar(timedelta(seconds=number * ROWS), pa.duration("us")))
    if pa.types.is_floating(field.type):
        return pa.array(np.random.default_rng(number).uniform(0, 1_000, ROWS))
    if pa.types.is_int64(field.type):
        return pc.add(column, number * ROWS)
    return column


@pytest.fixture
def tables(spark: SparkSession, environment: Environment) -> SparkTables:
    return SparkTables(spark, Lake.of(environment))


@pytest.fixture
def graph(tmp_path: Path) -> Graph:
    return compile_graph(load_definitions(write_project(tmp_path), {}))


def silver_rows(spark: SparkSession) -> DataFrame:
    """Payments, a second apart, as silver holds them."""
    ident = F.col("id")
    happened = F.timestamp_seconds(F.lit(1_522_540_800) + ident)
    columns = {
        "transaction_id": ident,
        "tx_datetime": happened,
        "customer_id": F.abs(F.hash(ident)) % 5_000,
        "terminal_id": F.abs(F.hash(ident, ident)) % 500,
        "amount": F.rand(0) * 1_000,
        "is_fraud": ident % 97 == 0,
        "_event_time": happened,
        "_known_time": happened,
        "_batch": F.lit(0).cast("bigint"),
        "_position": ident,
        "_row_hash": F.xxhash64(ident),
    }
    rows = spark.range(0, ROWS, numPartitions=1)
    return rows.select(*[value.alias(name) for name, value in columns.items()])


def silver(tables: SparkTables, graph: Graph) -> Written:
    del graph
    place = ("silver", "transactions")

    def first() -> None:
        rows = silver_rows(tables.spark)
        declared = Declared(nullable(rows.schema))
        tables.append(rows, *place, txn=Txn("batch", 0), declared=declared)

    return Written(
        tables,
        *place,
        first,
        care=lambda said: compact(tables, *place, progress=said),
        optimise=lambda: (
            DeltaTable.forPath(tables.spark, tables.lake.uri(*place)).optimize().executeCompaction()
        ),
    )


def events(tables: SparkTables, graph: Graph) -> Written:
    return gold(tables, graph, "customer_spend")


def plain(tables: SparkTables, graph: Graph) -> Written:
    return gold(tables, graph, "last_payment")


def gold(tables: SparkTables, graph: Graph, name: str) -> Written:
    view, table = graph.view(name), graph.table("transactions")

    def first() -> None:
        rows = gold_rows(silver_rows(tables.spark), view, table)
        schema = nullable(with_bucket(rows, view, 8).schema)
        declared = Declared(schema, {BUCKETS: "8"}, (BUCKET,))
        append_rows(rows, view, tables, txn=Txn("batch", 0), declared=declared)

    def merge(said: Callable[[str], None]) -> int:
        return merge_runs(view, tables, progress=said)

    return Written(
        tables,
        "gold",
        view.name,
        first,
        care=merge,
        optimise=lambda: lay_anew(view, tables),
        view=view,
    )


@pytest.mark.parametrize("made", [silver, plain, events])
def test_files_stay_few_and_little_is_rewritten(
    made: Callable[[SparkTables, Graph], Written], tables: SparkTables, graph: Graph
) -> None:
    table = made(tables, graph)
    lines: list[str] = []
    most, merges = 0, list[float]()
    table.first()
    template = table.template()
    for number in range(1, BATCHES):
        table.append(template, number)
        before = time.monotonic()
        if table.care(lines.append):
            merges.append(time.monotonic() - before)
        most = max(most, table.most_files())
    added, files = table.bytes_added(), table.files()
    scan, optimised = table.scans()
    figures = Figures(
        table=f"{table.layer}.{table.name}",
        batches=BATCHES,
        rows=tables.read(table.layer, table.name).count(),
        most_files=most,
        files=files,
        merges=len(merges),
        mebibytes_written=round(added[True] / 2**20, 1),
        times_rewritten=round(added[False] / added[True], 2),
        seconds_a_merge=round(statistics.fmean(merges), 2),
        scan_seconds=round(scan, 3),
        optimised_seconds=round(optimised, 3),
        scan_ratio=round(scan / optimised, 2),
        put_off=tuple(line for line in lines if "put off" in line),
    )
    report(figures)

    assert figures.rows == BATCHES * ROWS
    assert figures.most_files <= FRESH + RUNS
    assert figures.times_rewritten <= MOST_REWRITTEN
    assert figures.put_off == ()


def report(figures: Figures) -> None:
    text = json.dumps(asdict(figures), indent=2)
    sys.stdout.write(f"{text}\n")
    path = REPOSITORY / "out" / f"care-{figures.table}-{figures.batches}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text + "\n", encoding="utf-8")

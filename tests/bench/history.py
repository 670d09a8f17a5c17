"""``make bench-history``: SCD1 by Feldspar beside a hand-written latest-per-key MERGE.

Both take the same versions of silver, batch after batch, into tables of the same files and
properties, in one session; who is first changes from round to round. Ours also looks up old
deletes, so that a late change does not bring a key back, names its commit, and reads it back. The
rows are such that the MERGE is right too: no late change is older than a delete of its key.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from delta.tables import DeltaTable
from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from bench.figures import ratio, spread
from feldspar.graph.compile import compile_graph
from feldspar.graph.graph import Table
from feldspar.graph.steps import HistoryStep, Mode, Status
from feldspar.refine.history import keep_history
from feldspar.run.session import open_session
from feldspar.spec.environment import SparkSpec
from feldspar.spec.loading import load_definitions
from feldspar.stores.tables.lake import Lake
from feldspar.stores.tables.log import Txn
from feldspar.stores.tables.spark import KEEP_SIMPLE, Declared, SparkTables
from support.places import REPOSITORY, disk_environment, silent
from support.small_project import write_project

KEYS, CHANGES = 2_000_000, 200_000
AT_LEAST = 0.9
FILES = {
    "sources/changes.yaml": """\
kind: files
path: data/changes
event_time: changed_at
known_time: event_time + 0s
""",
    "tables/customers.yaml": """\
from: changes
key: customer_id
columns:
  customer_id: bigint
  changed_at: timestamp
  op: string
  name: string
  city: string
  level: int
  balance: double
history: {kind: scd1, delete_when: op = 'd'}
""",
}


@dataclass(frozen=True)
class Place:
    """The tables of both, and how large they are."""

    tables: SparkTables
    table: Table
    by_hand: str
    keys: int
    changes: int

    @property
    def spark(self) -> SparkSession:
        return self.tables.spark

    def append(self, rows: DataFrame, batch: int) -> None:
        """One more version of silver, as ``refine`` writes it."""
        system = {
            "_event_time": F.col("changed_at"),
            "_known_time": F.col("changed_at"),
            "_batch": F.lit(batch).cast("bigint"),
            "_position": F.monotonically_increasing_id(),
            "_row_hash": F.xxhash64("customer_id", "changed_at"),
        }
        whole = rows.select(*self.table.spec.columns).withColumns(system)
        declared = Declared(whole.schema)
        self.tables.append(
            whole, "silver", self.table.name, txn=Txn("bench", batch), declared=declared
        )

    def ours(self, after: int | None) -> None:
        """What a step of the plan does."""
        step = HistoryStep(
            "history.customers",
            Status.RUN,
            "",
            table=self.table.name,
            after=after,
            mode=Mode.APPEND,
            generation=0,
            source_generation=0,
        )
        keep_history(step, self.table, tables=self.tables, progress=silent)

    def hand_written(self, after: int | None) -> None:
        """Latest change a key, then one MERGE."""
        upto = self.tables.version("silver", self.table.name)
        rows = self.tables.added("silver", self.table.name, after=after, upto=upto)
        last = Window.partitionBy("customer_id").orderBy(F.col("changed_at").desc())
        ranked = rows.withColumn("rank", F.row_number().over(last)).where("rank = 1")
        latest = ranked.select(*self.table.spec.columns)
        if after is None:
            writer = latest.where("op <> 'd'").write.format("delta").options(**KEEP_SIMPLE)
            writer.save(self.by_hand)
            return
        (
            DeltaTable.forPath(self.spark, self.by_hand)
            .alias("old")
            .merge(latest.alias("new"), "old.customer_id = new.customer_id")
            .whenMatchedDelete("new.op = 'd' and new.changed_at > old.changed_at")
            .whenMatchedUpdateAll("new.changed_at > old.changed_at")
            .whenNotMatchedInsertAll("new.op <> 'd'")
            .execute()
        )

    def differences(self) -> int:
        """Rows that only one of the two tables has."""
        ours = self.tables.read("history", self.table.name)
        theirs = self.spark.read.format("delta").load(self.by_hand).select(*ours.columns)
        return ours.exceptAll(theirs).count() + theirs.exceptAll(ours).count()


def first_rows(place: Place) -> DataFrame:
    """Each key once."""
    return _filled(place.spark.range(place.keys).withColumn("customer_id", F.col("id")), 0)


def batch_rows(place: Place, batch: int) -> DataFrame:
    """Changes of random keys, some of them new or changed twice, every tenth of them late."""
    among = place.keys + place.keys // 50 * batch
    key = F.pmod(F.xxhash64("id", F.lit(batch)), F.lit(among))
    return _filled(place.spark.range(place.changes).withColumn("customer_id", key), batch)


def _filled(rows: DataFrame, batch: int) -> DataFrame:
    """Every twentieth key is deleted once it comes again, and never comes back."""
    chance = F.pmod(F.xxhash64(F.lit(7), "id", F.lit(batch)), F.lit(1_000_000_007))
    days = 10 * batch
    day = F.when(chance % 10 == 0, chance % max(days, 1)).otherwise(days)
    second = F.lit(1_700_000_000) + day * 86_400 + chance % 86_400
    gone = (F.col("customer_id") % 20 == 7) & F.lit(batch > 0)
    values = {
        "name": F.concat(F.lit("customer "), F.col("customer_id").cast("string")),
        "city": F.concat(F.lit("city "), (chance % 500).cast("string")),
        "level": (chance % 9).cast("int"),
        "balance": (chance % 100_000) / 100,
    }
    stated = {name: F.when(~gone, value) for name, value in values.items()}
    # no two changes of a key in one microsecond
    at = F.timestamp_micros(second * 1_000_000 + F.col("id") % 1_000_000)
    op = F.when(gone, "d").otherwise("c" if batch == 0 else "u")
    return rows.withColumns({"changed_at": at, "op": op, **stated})


def measure(place: Place, rounds: int) -> dict[str, list[float]]:
    """Seconds of each in rounds that both take part in; the first is not counted."""
    found: dict[str, list[float]] = {"ours": [], "hand-written": []}
    contestants: dict[str, Callable[[int | None], None]] = {
        "ours": place.ours,
        "hand-written": place.hand_written,
    }
    after = None
    for number in range(rounds + 2):
        rows = batch_rows(place, number) if number else first_rows(place)
        place.append(rows, number)
        names = sorted(contestants, reverse=number % 2 == 0)
        for name in names:
            begun = time.perf_counter()
            contestants[name](after)
            seconds = time.perf_counter() - begun
            print(f"batch {number}, {name}: {seconds:.2f} s", flush=True)
            if number > 1:
                found[name].append(seconds)
        after = place.tables.version("silver", place.table.name)
    return found


def main() -> None:
    """Prints seconds and the ratio of throughputs; writes out/bench/history.json."""
    options = _options()
    folder = options.out / "history"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    graph = compile_graph(load_definitions(write_project(folder, FILES), {}))
    spec = SparkSpec(
        master=f"local[{options.cores}]",
        driver_memory=options.memory,
        conf={"spark.sql.shuffle.partitions": str(4 * options.cores)},
    )
    environment = disk_environment(folder).model_copy(update={"spark": spec})
    tables = SparkTables(open_session(environment, app_name="bench"), Lake.of(environment))
    place = Place(
        tables,
        graph.table("customers"),
        by_hand=str(folder / "by_hand"),
        keys=round(KEYS * options.scale),
        changes=round(CHANGES * options.scale),
    )
    seconds = measure(place, options.runs)
    reached = ratio(seconds["hand-written"], seconds["ours"])
    assert reached is not None
    spreads = {name: spread(values) for name, values in seconds.items()}
    different = place.differences()
    report = {
        "about": f"{place.keys:,} keys, batches of {place.changes:,} changes",
        "seconds": seconds,
        "rows_per_second": {
            name: round(place.changes / one.median) for name, one in spreads.items() if one
        },
        "throughput, ours / hand-written": reached.as_document(),
        "at_least": AT_LEAST,
        "reached": reached.median >= AT_LEAST and different == 0,
        "different_rows": different,
        "cores": options.cores,
    }
    place.spark.stop()
    shutil.rmtree(folder)
    (options.out / "history.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(report, indent=2))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="rounds after the first two")
    parser.add_argument("--scale", type=float, default=1.0, help="part of the rows; 0.1 is quick")
    parser.add_argument("--cores", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--memory", default="4g", help="heap of the driver")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "out" / "bench")
    return parser.parse_args()


if __name__ == "__main__":
    main()

"""``make bench-online-load``: entities with 20 features from a Delta table to Redis, all of them.

Gold is made first, in the layout that features write; then it is pushed to an empty server of its
own, with Spark's driver at 1 GB. Then shuffled and duplicated updates: each key must end with its
newest value.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import psutil
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from feldspar.features.gold import append_rows
from feldspar.features.layout import bucket_count, with_bucket
from feldspar.graph.compile import compile_graph
from feldspar.graph.view import View
from feldspar.online.push import push
from feldspar.run.session import open_session
from feldspar.spec.environment import Environment, RedisSpec, SparkSpec
from feldspar.spec.loading import load_definitions
from feldspar.stores.online import OnlineSettings, OnlineStore, Patience
from feldspar.stores.tables.bucketed import BUCKETS
from feldspar.stores.tables.lake import Lake
from feldspar.stores.tables.log import Txn
from feldspar.stores.tables.spark import Declared, SparkTables, nullable
from feldspar.times import parse_instant, to_micros
from support.places import REPOSITORY, disk_environment
from support.small_project import FILES, write_project
from support.updates import newest_of, shuffled, write_shuffled
from support.valkey import valkey

COLUMNS = 20
AIM = 100_000
NOON = parse_instant("2024-05-20T12:00:00Z")
ONE = FILES["tables/transactions.yaml"].partition("checks:")[0]
NAMES = [f"f{number}" for number in range(COLUMNS)]


@dataclass(frozen=True)
class Loaded:
    """One load.

    ``heap_mib`` is what the driver's JVM had taken from the system at its end, ``cpu_seconds`` what
    driver, workers and Redis used together: what a busy machine does to ``seconds`` shows beside
    it.
    """

    entities: int
    seconds: float
    cpu_seconds: float
    entities_a_second: int
    redis_mib: int
    bytes_an_entity: int
    heap_mib: int
    heap_limit_mib: int
    python_mib: int


def project(folder: Path) -> View:
    """A plain view of an entity with 20 doubles."""
    declared = "".join(f"  {name}: {{type: double, optional: true}}\n" for name in NAMES)
    features = "".join(f"  {name}: {name}\n" for name in NAMES)
    files = {
        "tables/transactions.yaml": ONE + declared,
        "views/wide.yaml": f"entity: customer\nfrom: transactions\nfeatures:\n{features}",
    }
    return compile_graph(load_definitions(write_project(folder, files), {})).view("wide")


def gold(view: View, tables: SparkTables, entities: int) -> None:
    """A row for each entity."""
    rows = tables.spark.range(0, entities, numPartitions=8).select(
        F.col("id").alias("customer_id"),
        F.lit(NOON).alias("_event_time"),
        F.lit(NOON).alias("_known_time"),
        F.lit(0).cast("bigint").alias("_batch"),
        F.col("id").alias("_position"),
        *(F.rand(seed).alias(name) for seed, name in enumerate(NAMES)),
    )
    buckets = bucket_count(entities)
    frame: DataFrame = with_bucket(rows, view, buckets)
    declared = Declared(nullable(frame.schema), {BUCKETS: str(buckets)}, partition_by=("_bucket",))
    append_rows(rows, view, tables, txn=Txn("features:wide#0", 0), declared=declared)


def load(view: View, tables: SparkTables, store: OnlineStore) -> Loaded:
    """Pushes every entity and says what it took."""
    before = store.memory() or 0
    started, used = time.perf_counter(), _cpu_seconds()
    done = push(
        view,
        tables=tables,
        store=store,
        after=None,
        generation=0,
        clock=to_micros(NOON),
        progress=print,
    )
    seconds = time.perf_counter() - started
    held = (store.memory() or 0) - before
    runtime = tables.spark._jvm.java.lang.Runtime.getRuntime()  # noqa: SLF001
    return Loaded(
        done.written,
        round(seconds, 1),
        round(_cpu_seconds() - used, 1),
        round(done.written / seconds),
        held >> 20,
        held // max(1, done.written),
        runtime.totalMemory() >> 20,
        runtime.maxMemory() >> 20,
        resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10,
    )


def _cpu_seconds() -> float:
    """Of this process and all that it started and that still run."""
    me = psutil.Process()
    times = [one.cpu_times() for one in (me, *me.children(recursive=True))]
    return sum(one.user + one.system for one in times)


def run(entities: int, folder: Path) -> Loaded:
    """One size in a session of its own."""
    spark = SparkSpec(
        master="local[2]",
        driver_memory="1g",
        conf={"spark.sql.shuffle.partitions": "16", "spark.default.parallelism": "2"},
    )
    with valkey(folder / "valkey") as server:
        update = {"redis": RedisSpec(url=server.url), "spark": spark, "namespace": "bench"}
        place: Environment = disk_environment(folder).model_copy(update=update)
        session = open_session(place, app_name="bench-online-load")
        try:
            view, tables = project(folder), SparkTables(session, Lake.of(place))
            gold(view, tables, entities)
            with OnlineStore(OnlineSettings(server.url, "bench", "data"), Patience.JOB) as store:
                return load(view, tables, store)
        finally:
            session.stop()


def updates(count: int, folder: Path) -> str:
    """Shuffled and duplicated updates, and how many keys ended with another than the newest."""
    with valkey(folder) as server:
        found = shuffled(count, np.random.default_rng(7))
        with OnlineStore(OnlineSettings(server.url, "updates"), Patience.JOB) as store:
            started = time.perf_counter()
            write_shuffled(store, found)
            seconds = time.perf_counter() - started
            wrong = newest_of(store, found)
    return f"{count:,} updates in {seconds:.1f} s, {len(wrong)} keys without their newest value"


def main() -> None:
    """Runs the sizes asked for and writes ``out/bench/online_load.json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entities", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--updates", type=int, default=1_000_000)
    asked = parser.parse_args()
    found = []
    for entities in asked.entities:
        with tempfile.TemporaryDirectory(prefix="online-load-") as folder:
            done = run(entities, Path(folder))
        found.append(done)
        print(json.dumps(asdict(done)))
        verdict = "holds" if done.entities_a_second >= AIM else "does not hold"
        print(f"{done.entities_a_second:,} entities/s; the aim of {AIM:,} {verdict}")
    with tempfile.TemporaryDirectory(prefix="online-load-") as folder:
        print(updates(asked.updates, Path(folder)))
    out = REPOSITORY / "out" / "bench" / "online_load.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps([asdict(one) for one in found], indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()

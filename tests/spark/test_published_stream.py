"""The published payments as a stream: after each micro-batch the store is folded at every payment's
time, and equals the batch engine and what the publisher computed.

The gate replays the payments of some customers and terminals in a few micro-batches; ``CASES=1000``
replays all of them in more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import DataFrame, SparkSession

from feldspar.compute.expressions.online import compile_row
from feldspar.compute.services.batch import SpineColumns, add_features
from feldspar.compute.services.joining import Gold
from feldspar.compute.services.online import WindowReader
from feldspar.compute.services.plans import folds_own
from feldspar.compute.windows.online import OwnEvent
from feldspar.features.gold import append_rows, gold_rows
from feldspar.features.layout import with_bucket
from feldspar.graph.view import WindowedView
from feldspar.online.push import PushResult
from feldspar.online.stream import PushBatch, start_stream
from feldspar.spec.environment import Environment
from feldspar.spec.types import ColumnType
from feldspar.stores.events import PackedEvents, StoredEvents, pack_events
from feldspar.stores.online import OnlineSettings, OnlineStore
from feldspar.stores.parts import write_folder
from feldspar.stores.tables.bucketed import BUCKETS
from feldspar.stores.tables.log import Txn
from feldspar.stores.tables.spark import Declared, nullable
from feldspar.stores.tiles import unpack, value_layout
from property.frames import CASES
from spark.test_published_payments import LAST_DAY, SERVICE, WINDOWS
from support.pipeline import Pipeline, open_project_pipeline
from support.published import PAYMENTS, SAMPLE, without_published_payments
from support.valkey import valkey

pytestmark = without_published_payments

SHARE, BATCHES, HOURS = (1, 24, 4) if CASES >= 1000 else (40, 3, 32)
BUCKET_COUNT = 8


@dataclass
class Replay:
    """One view whose gold grows by micro-batches, and the folds after each.

    Attributes:
        view: what is streamed.
        silver: payments of its chosen entities as silver holds them, by micro-batch.
        payments: the same in memory, without the first batch.
    """

    pipeline: Pipeline
    store: OnlineStore
    view: WindowedView
    silver: DataFrame
    payments: pd.DataFrame
    clock: int = 0
    done: list[PushResult] = field(default_factory=list)
    found: list[dict[str, Any]] = field(default_factory=list)

    def append(self, number: int) -> None:
        view, tables = self.view, self.pipeline.tables
        table = self.pipeline.graph.table(view.table)
        rows = gold_rows(self.silver.where(f"_batch = {number}"), view, table)
        schema = nullable(with_bucket(rows, view, BUCKET_COUNT).schema)
        declared = Declared(schema, {BUCKETS: str(BUCKET_COUNT)}, partition_by=("_bucket",))
        append_rows(rows, view, tables, txn=Txn("replay", number), declared=declared)
        self.clock = _micros(LAST_DAY - timedelta(hours=HOURS * (BATCHES - number)))

    def run(self, checkpoint: Path) -> None:
        tables = self.pipeline.tables
        batch = PushBatch(
            self.view, tables, self.store, lambda: self.clock, self.done.append, lambda _: None
        )
        with ExitStack() as stack:
            self.append(0)
            query = start_stream(batch, checkpoint=str(checkpoint), every=timedelta(0))
            stack.callback(query.stop)
            query.processAllAvailable()
            for number in range(1, BATCHES + 1):
                self.append(number)
                query.processAllAvailable()
                self.fold(self.payments[self.payments["_batch"] == number])

    def fold(self, rows: pd.DataFrame) -> None:
        view, layout = self.view, value_layout(self.view)
        names = rows[view.keys[0]].unique().tolist()
        keys = [self.store.key(view.entity, [name], view.online_name) for name in names]
        values = zip(names, self.store.get(keys), strict=True)
        held = {name: None if value is None else unpack(layout, value) for name, value in values}
        self.found += folds(self.pipeline, view, rows, held)


def folds(
    pipeline: Pipeline, view: WindowedView, rows: pd.DataFrame, held: dict[int, Any]
) -> list[dict[str, Any]]:
    """The windows of each payment at its time, the payment itself as the view says."""
    reader, types = WindowReader(view), pipeline.graph.table(view.table).types()
    own = [(one.name, compile_row(one.expression, types)) for one in view.columns]
    found = []
    for row in rows.to_dict("records"):
        arguments = {name: value(row) for name, value in own} if folds_own(view) else {}
        event = OwnEvent(row["transaction_id"], arguments)
        reading = reader.read(held[row[view.keys[0]]], row["micros"], event)
        found.append({"transaction_id": row["transaction_id"], **reading.values})
    return found


@dataclass(frozen=True)
class Replayed:
    """Both views after their streams."""

    pipeline: Pipeline
    replays: dict[str, Replay]
    folder: Path


def _micros(at: Any) -> int:
    return pd.Timestamp(at).value // 1_000


def _payments() -> pd.DataFrame:
    """Payments up to the last published day, in micro-batches: 0 is all before the last days."""
    table = pq.read_table(PAYMENTS, filters=[("tx_datetime", "<", LAST_DAY)])
    payments: pd.DataFrame = table.to_pandas().drop(columns="fraud_scenario")
    payments["is_fraud"] = payments["is_fraud"] == 1
    payments["micros"] = payments["tx_datetime"].astype("datetime64[us]").astype("int64")
    left = (_micros(LAST_DAY) - payments["micros"] - 1) // (HOURS * 3_600_000_000)
    payments["_batch"] = (BATCHES - left).clip(lower=0).astype("int64")
    payments["_position"] = np.arange(len(payments))
    return payments


def _silver(spark: SparkSession, payments: pd.DataFrame, file: Path) -> DataFrame:
    table = pa.Table.from_pandas(payments.drop(columns="micros"), preserve_index=False)
    times = table["tx_datetime"].cast(pa.timestamp("us", "UTC"))
    table = table.set_column(table.column_names.index("tx_datetime"), "tx_datetime", times)
    for name in ("customer_id", "terminal_id"):
        place = table.column_names.index(name)
        table = table.set_column(place, name, table[name].cast(pa.int64()))
    for name in ("_event_time", "_known_time"):
        table = table.append_column(name, times)
    pq.write_table(table, file)
    return spark.read.parquet(str(file))


@pytest.fixture(scope="module")
def replayed(
    spark: SparkSession, disk: Environment, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Replayed]:
    """Each view's gold streamed in micro-batches of some hours after all that was before."""
    folder = tmp_path_factory.mktemp("streamed")
    pipeline = open_project_pipeline(spark, disk, folder, {"INPUT": str(PAYMENTS)})
    payments = _payments()
    with (
        valkey(folder) as server,
        OnlineStore(OnlineSettings(server.url, "streamed", "data")) as store,
    ):
        replays = {}
        for name in ("customer_spend", "terminal_risk"):
            view = pipeline.graph.view(name)
            assert isinstance(view, WindowedView)
            chosen = payments[payments[view.keys[0]] % SHARE == 0]
            silver = _silver(spark, chosen, folder / f"{name}.parquet")
            streamed = chosen[chosen["_batch"] > 0]
            replays[name] = Replay(pipeline, store, view, silver, streamed)
            replays[name].run(folder / "checkpoints" / name)
        yield Replayed(pipeline, replays, folder)


def differences(found: pd.DataFrame, expected: pd.DataFrame, names: dict[str, str]) -> int:
    """Numbers that differ: counts at all, means by more than 1e-9 of themselves."""
    both = found.merge(expected, on="transaction_id", suffixes=("", "_expected"))
    assert len(both) > 0
    wrong = 0
    for name, column in names.items():
        other = both[column if column in both else f"{name}_expected"]
        tolerance = 0.0 if "__count_" in name else 1e-9
        near = np.isclose(
            both[name].astype(float), other.astype(float), rtol=tolerance, atol=tolerance
        )
        wrong += int((~near).sum())
    return wrong


def _names(view: str) -> dict[str, str]:
    return {name: column for name, column in WINDOWS.items() if name.startswith(view)}


@pytest.mark.parametrize("name", ["customer_spend", "terminal_risk"])
def test_the_stream_has_the_published_windows(replayed: Replayed, name: str) -> None:
    published: pd.DataFrame = pq.read_table(SAMPLE).to_pandas()

    replay = replayed.replays[name]
    assert len(replay.done) == BATCHES + 1
    assert len(replay.found) == len(replay.payments)
    assert differences(pd.DataFrame(replay.found), published, _names(name)) == 0


@pytest.mark.parametrize("name", ["customer_spend", "terminal_risk"])
def test_the_stream_has_the_windows_of_the_batch_engine(replayed: Replayed, name: str) -> None:
    pipeline, replay = replayed.pipeline, replayed.replays[name]
    service = pipeline.graph.service(SERVICE)
    gold = {view.name: Gold(pipeline.tables.read("gold", view.name)) for view in service.views}
    spine = replay.silver.where("_batch > 0").select(
        "transaction_id", "tx_datetime", "customer_id", "terminal_id", "amount"
    )
    columns = SpineColumns("tx_datetime", "transaction_id")
    batch = add_features(spine, service, gold, columns=columns, buckets=BUCKET_COUNT)
    file = replayed.folder / f"batch_{name}"
    write_folder(batch, str(file), storage=pipeline.tables.lake.storage)
    names = {one: f"{one}_expected" for one in _names(name)}

    assert differences(pd.DataFrame(replay.found), pq.read_table(file).to_pandas(), names) == 0


@pytest.mark.parametrize("name", ["customer_spend", "terminal_risk"])
def test_online_folds_of_whole_histories_are_the_published_windows(
    replayed: Replayed, name: str
) -> None:
    view = replayed.replays[name].view
    key = view.keys[0]
    published: pd.DataFrame = pq.read_table(SAMPLE).to_pandas()
    asked = published.sample(20_000 // (1 if SHARE == 1 else 10), random_state=7)
    payments = _payments()
    amounts = payments[["transaction_id", "amount", "is_fraud", "micros"]]
    asked = asked.merge(amounts, on="transaction_id")
    touched = payments[payments[key].isin(asked[key])]
    types = replayed.pipeline.graph.table(view.table).types()
    held = {entity: _whole(view, types, rows) for entity, rows in touched.groupby(key)}

    found = pd.DataFrame(folds(replayed.pipeline, view, asked, held))

    assert differences(found, published, _names(name)) == 0


def _whole(view: WindowedView, types: Mapping[str, ColumnType], rows: pd.DataFrame) -> PackedEvents:
    """All payments of one entity, packed as they lie in the store."""
    columns = {name: rows[name].tolist() for name in ("transaction_id", "micros", "_position")}
    records = rows.to_dict("records")
    arguments = {
        one.name: list(map(compile_row(one.expression, types), records)) for one in view.columns
    }
    times = columns["micros"]
    none = [0] * len(rows)
    ids, places = columns["transaction_id"], columns["_position"]
    events = StoredEvents(ids, times, times, none, places, [False] * len(rows), arguments)
    layout = value_layout(view)
    return PackedEvents(layout, pack_events(layout, events, epoch=1, version=0))

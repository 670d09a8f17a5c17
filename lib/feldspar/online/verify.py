"""Proves that Redis equals gold: every entity, every feature, at any T the store answers.

Online values are read and folded as serving does it, batch values computed as training does it,
and compared in Spark tasks; only counts and a few examples reach the driver.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from feldspar.compute.services.joining import Gold, Planned, add_planned
from feldspar.compute.services.online import WindowReader, read_plain
from feldspar.compute.services.plans import lookup_plan
from feldspar.errors import UsageError
from feldspar.graph.view import PlainView, View
from feldspar.names import feature_column
from feldspar.online.frames import entities
from feldspar.stores.online import OnlineSettings, OnlineStore, Patience
from feldspar.stores.tables.spark import SparkTables
from feldspar.stores.tiles import unpack, value_layout
from feldspar.times import from_micros

EXAMPLES = 20
_AT = "__at"
_KEYS_A_CALL = 1_000
_CLOSE = 1e-9
"""Sums are added up in another order; docs of windows allow 1e-9 x sum(|x|)."""
_INEXACT = ("sum", "avg", "stddev", "variance")
_COUNTS = "entities bigint, compared bigint, different bigint, examples array<string>"


@dataclass(frozen=True)
class VerifyResult:
    """How Redis and gold compare for one view.

    Attributes:
        view: which.
        at: T in microseconds.
        entities: how many were looked at: all that gold knows.
        compared: feature values compared.
        different: values that differ.
        examples: up to 20 differences in words.
    """

    view: str
    at: int
    entities: int
    compared: int
    different: int
    examples: tuple[str, ...]


def verify(
    views: Sequence[View],
    *,
    tables: SparkTables,
    store: OnlineStore,
    at: int,
    buckets: int = 8,
) -> tuple[VerifyResult, ...]:
    """Compares Redis with gold at ``at`` (microseconds), view by view.

    Args:
        views: what to compare; the gold version is the one that was pushed.
        tables: the lake.
        store: the store.
        at: any T from the floor of the last push on.
        buckets: tasks of the batch side.

    Raises:
        UsageError: a view was never pushed, or ``at`` is earlier than what the store keeps.
        UnreachableError: Redis does not answer.
    """
    with OnlineStore(store.settings, Patience.JOB) as patient:
        cursors = patient.cursors([view.online_name for view in views])
    for view in views:
        if view.online_name not in cursors:
            raise UsageError(f"view {view.name} was never pushed", hint="feldspar apply")
        floor = cursors[view.online_name].floor
        if at < floor:
            raise UsageError(
                f"Redis answers for view {view.name} from {from_micros(floor):%Y-%m-%d %H:%M:%S}Z "
                f"on; asked for {from_micros(at):%Y-%m-%d %H:%M:%S}Z",
                hint="for the past, build a training set: it reads gold at any T",
            )
    results = []
    for view in views:
        version = cursors[view.online_name].version
        batch = _batch(view, tables, version=version, at=at, buckets=buckets)
        counts = batch.mapInArrow(CompareTask(store.settings, view, at), _COUNTS)
        results.append(_result(view, at, counts))
    return tuple(results)


def _batch(view: View, tables: SparkTables, *, version: int, at: int, buckets: int) -> DataFrame:
    """Every entity with its features at T, computed from gold."""
    spine = entities(view, tables, version=version)
    asked = spine.withColumn(_AT, F.timestamp_micros(F.lit(at)))
    gold = Gold(
        tables.read("gold", view.name, version=version),
        tables.files("gold", view.name, version=version),
    )
    plan = lookup_plan(view, keys=view.keys, time=_AT)
    return add_planned(asked, [Planned(view, plan, gold)], buckets=buckets).frame()


def _result(view: View, at: int, counts: DataFrame) -> VerifyResult:
    totals = counts.agg(
        *[F.coalesce(F.sum(name), F.lit(0)) for name in ("entities", "compared", "different")],
        # each task gives a bounded number, and so do tasks together
        F.slice(F.flatten(F.collect_list("examples")), 1, EXAMPLES),
    ).first()
    if totals is None:
        return VerifyResult(view.name, at, 0, 0, 0, ())
    return VerifyResult(
        view.name, at, int(totals[0]), int(totals[1]), int(totals[2]), tuple(totals[3])
    )


@dataclass(frozen=True)
class CompareTask:
    """Compares batch values of entities with what the store holds of them."""

    settings: OnlineSettings
    view: View
    at: int

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        seen, compared, different = 0, 0, 0
        examples: list[str] = []
        with OnlineStore(self.settings, Patience.JOB) as store:
            for rows in _pages(batches, self.view):
                found = self._online(store, rows)
                for row, online in zip(rows, found, strict=True):
                    seen += 1
                    compared += len(online)
                    wrong = self._differences(row, online)
                    different += len(wrong)
                    examples += wrong[: max(0, EXAMPLES - len(examples))]
        yield pa.RecordBatch.from_pydict(
            {
                "entities": [seen],
                "compared": [compared],
                "different": [different],
                "examples": pa.array([examples], pa.list_(pa.string())),
            }
        )

    def _online(
        self, store: OnlineStore, rows: Sequence[Mapping[str, Any]]
    ) -> list[Mapping[str, Any]]:
        view, layout = self.view, value_layout(self.view)
        name = view.online_name
        keys = [store.key(view.entity, [row[key] for key in view.keys], name) for row in rows]
        values = store.get(keys)
        stored: list[Any] = [None if value is None else unpack(layout, value) for value in values]
        if isinstance(view, PlainView):
            return [read_plain(view, one or (), self.at).values for one in stored]
        reader = WindowReader(view)
        return [reader.read(one, self.at).values for one in stored]

    def _differences(self, row: Mapping[str, Any], online: Mapping[str, Any]) -> list[str]:
        keys = ", ".join(f"{key} {row[key]}" for key in self.view.keys)
        inexact = _inexact(self.view)
        return [
            f"{keys}: {name} is {value!r} in Redis, {row[name]!r} from gold"
            for name, value in online.items()
            if not _equal(value, row[name], close=name in inexact)
        ]


def _pages(batches: Iterator[pa.RecordBatch], view: View) -> Iterator[list[dict[str, Any]]]:
    features = {feature_column(view.name, name) for name in view.feature_types()}
    for batch in batches:
        table = pa.Table.from_batches([batch])
        columns = {
            name: _stored(table.column(name)) if name in features else table.column(name)
            for name in (*view.keys, *features)
        }
        rows = iter(pa.table(columns).to_pylist())
        while page := list(islice(rows, _KEYS_A_CALL)):
            yield page


def _stored(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Instants in microseconds and dates in days, as the store keeps them."""
    if pa.types.is_timestamp(column.type):
        return column.cast(pa.int64())
    return column.cast(pa.int32()) if pa.types.is_date(column.type) else column


def _inexact(view: View) -> frozenset[str]:
    if isinstance(view, PlainView):
        return frozenset()
    return frozenset(
        feature_column(view.name, one.name) for one in view.aggregates if one.function in _INEXACT
    )


def _equal(online: Any, batch: Any, *, close: bool) -> bool:
    if online is None or batch is None:
        return online is batch
    if isinstance(online, float) and isinstance(batch, float):
        if math.isnan(online) or math.isnan(batch):
            return math.isnan(online) and math.isnan(batch)
        return online == batch or (
            close and math.isclose(online, batch, rel_tol=_CLOSE, abs_tol=_CLOSE)
        )
    return bool(online == batch)

"""Random cases by the hundred or the ten thousand in one job: every Spark engine and the oracle."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import count

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from pyspark.sql import SparkSession

from feldspar.compute.pit import arrow as pit_arrow
from feldspar.compute.pit.plan import PitPlan
from feldspar.compute.services.joining import Gold, Planned, add_planned
from feldspar.compute.windows import arrow as window_arrow
from feldspar.compute.windows.departures import departures
from feldspar.features.gold import append_rows
from feldspar.features.layout import lay_anew, with_bucket
from feldspar.graph.view import PlainView, WindowedView
from feldspar.names import BUCKET
from feldspar.spec.environment import Environment
from feldspar.stores.tables.bucketed import BUCKETS
from feldspar.stores.tables.compaction import merge_files
from feldspar.stores.tables.lake import Lake
from feldspar.stores.tables.log import Txn
from feldspar.stores.tables.spark import Declared, SparkTables, nullable
from feldspar.stores.tables.tiers import FULL, Merge
from property import packing, shapes, shrinking
from property.frames import CASES
from property.packing import Ask, Case, Packed, Plan

SEED = int(os.environ.get("SEED", random.SystemRandom().randrange(2**32)))
AT_ONCE = max(CASES // 10, min(CASES, 200))
DRAWN = ((packing.instant_case, 1), (packing.hourly_case, packing.HOUR))
_COMMON = {
    "name": "rows",
    "entity": "customer",
    "keys": shapes.ROW_KEYS,
    "table": "payments",
    "event_key": ("_event_id",),
    "columns": (),
    "derived": (),
    "serving_delay": timedelta(0),
    "definition": "{}",
}
VIEWS = {
    "rows": PlainView(**_COMMON, features=(), ttl=None),
    "events": WindowedView(**_COMMON, aggregates=(), delay=timedelta(0), request_event="include"),
}
PLANS = {"rows": shapes.random_pit_plan, "events": shapes.random_window_plan}
ROWS_A_FILE = 50
EVERY_FILE = Merge(below=FULL, upto=FULL)
numbers = count()


@dataclass(frozen=True)
class Engine:
    """One kind of view, and gold either as frames that Spark moves or as files of tasks."""

    tables: SparkTables
    kind: str
    direct: bool

    def asks(self, plans: Sequence[Plan]) -> Ask:
        """What answers packed cases by these plans."""

        def ask(packed: Packed) -> pa.Table:
            gold = self._written(packed) if self.direct else self._framed(packed)
            planned = [Planned(VIEWS[self.kind], plan, gold) for plan in plans]
            spine = self.tables.spark.createDataFrame(packed.spine)
            return add_planned(spine, planned, buckets=3).frame().toArrow()

        return ask

    def cases(self, draw: Callable[[random.Random], Case], seed: int) -> list[Case]:
        """So many as share a job."""
        generator = random.Random(seed)
        drawn = [draw(generator) for _ in range(AT_ONCE)]
        if self.kind == "events" and self.direct:
            return [packing.without_tombstones(case) for case in drawn]
        return drawn

    def _framed(self, packed: Packed) -> Gold:
        rows = self.tables.spark.createDataFrame(packed.rows)
        left = departures(rows, shapes.ROW_KEYS) if self.kind == "events" else None
        return Gold(rows if left is None else rows.unionByName(left))

    def _written(self, packed: Packed) -> Gold:
        """Gold as the features stage writes it, load after load; of three tables one is left so, of
        one the runs are merged, and of one sorted again.
        """
        number = next(numbers)
        view = replace(VIEWS[self.kind], name=f"{self.kind}_{number}")
        for load in range(packing.DELIVERIES):
            self._append(packed.rows.filter(pc.equal(packed.rows["delivery"], load)), view, load)
        if number % 3 == 1:
            lay_anew(view, self.tables)
        elif number % 3:
            merge_files(self.tables, "gold", view.name, EVERY_FILE)
        version = self.tables.version("gold", view.name)
        files = self.tables.files("gold", view.name, version=version)
        return Gold(self.tables.read("gold", view.name), files)

    def _append(self, part: pa.Table, view: PlainView | WindowedView, load: int) -> None:
        rows = self.tables.spark.createDataFrame(part)
        if self.kind == "rows":
            rows = rows.dropna(subset=list(view.keys))
        schema = nullable(with_bucket(rows, view, 4).schema)
        limit = ROWS_A_FILE if self.kind == "events" else None
        declared = Declared(schema, {BUCKETS: "4"}, (BUCKET,), limit)
        append_rows(rows, view, self.tables, txn=Txn(view.name, load), declared=declared)


def alone_in_arrow(plans: Sequence[Plan]) -> Ask:
    """The Arrow engine of the same meaning."""

    def ask(packed: Packed) -> pa.Table:
        table = packed.spine
        for plan in plans:
            engine = (
                pit_arrow.add_columns if isinstance(plan, PitPlan) else window_arrow.add_windows
            )
            table = engine(table, packed.rows, plan)
        return table

    return ask


def assert_oracles(cases: Sequence[Case], plans: Sequence[Plan], ask: Ask) -> None:
    """Fails with the first case that differs, alone and as small as it gets."""

    def wrong(some: Sequence[Case]) -> list[list[str]]:
        return packing.wrong_cases(some, plans, ask)

    differing = [(case, found) for case, found in zip(cases, wrong(cases), strict=True) if found]
    if not differing:
        return
    case, packed = differing[0]
    (alone,) = wrong([case])
    if alone:
        case = shrinking.shrunk(case, lambda some: [bool(found) for found in wrong(some)])
    (shrunk,) = wrong([case])
    (arrow,) = packing.wrong_cases([case], plans, alone_in_arrow(plans))
    text = shrinking.told(case, plans, packed=packed, alone=alone, shrunk=shrunk, arrow=arrow)
    pytest.fail(f"{len(differing)} of {len(cases)} cases differ, SEED={SEED}; the first:\n{text}")


@pytest.fixture
def tables(spark: SparkSession, environment: Environment) -> SparkTables:
    return SparkTables(spark, Lake.of(environment))


@pytest.mark.parametrize("direct", [True, False], ids=["files", "frames"])
@pytest.mark.parametrize("kind", VIEWS)
def test_every_answer_is_the_oracles(tables: SparkTables, kind: str, direct: bool) -> None:
    engine = Engine(tables, kind, direct)
    for job in range(CASES // AT_ONCE):
        draw, unit = DRAWN[(SEED + job) % len(DRAWN)]
        chance = random.Random(SEED + job)
        plans = [PLANS[kind](chance, name, unit) for name in ("one", "two")]
        assert_oracles(engine.cases(draw, SEED + job), plans, engine.asks(plans))

"""A feed that changes its columns: each kind of change has one outcome, and no row is lost.

The first file of a source is as declared; the second load has a file a kind of drift. Text is CSV
and JSON lines, whose values bronze keeps as text; Parquet brings types of its own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from feldspar.errors import InputError
from feldspar.names import REASONS, RESCUED
from feldspar.refine.promote import PromoteResult, promote
from feldspar.spec.environment import Environment
from support.pipeline import Pipeline, open_pipeline
from support.places import silent

AT = "2018-04-01T10:00:00Z"
MORNING = datetime(2018, 4, 1, 10, tzinfo=UTC)
TABLE = "tables/transactions.yaml"
DECLARED = """\
from: payments
key: transaction_id
unknown_columns: {policy}
columns:
  transaction_id: bigint
  tx_datetime: timestamp
  customer_id: bigint
  terminal_id: bigint
  amount: double
  is_fraud: {{type: boolean, known_after: 7d}}
  channel: {{type: string, optional: true}}
"""
HEADER = "transaction_id,tx_datetime,customer_id,terminal_id,amount,is_fraud,channel"
ACCEPTED: tuple[str, ...] = ()


@dataclass(frozen=True)
class Drift:
    """A file of one row that has drifted, and what is to come of it.

    ``{id}`` and ``{at}`` in ``text`` are filled in. ``unknown``: values in columns that are not
    declared; ``reasons`` hold whatever the policy; ``aside``: the file is not read, and why.
    """

    name: str
    text: str = ""
    unknown: Mapping[str, Any] = field(default_factory=dict)
    reasons: tuple[str, ...] = ACCEPTED
    aside: str = ""
    ending: str = "csv"
    columns: Mapping[str, pa.Array] = field(default_factory=dict)
    """Of a Parquet file: in place of, or beside, the declared ones; None: left out."""


def csv(header: str, row: str, **facts: Any) -> dict[str, Any]:
    return {"text": f"{header}\n{row}\n", **facts}


ROW = "{id},{at},7,3,12.5,false,pos"
OBJECT = (
    '{{"transaction_id": {id}, "tx_datetime": "{at}", "customer_id": 7, "terminal_id": 3, '
    '"amount": 12.5, "is_fraud": false, "channel": "pos"%s}}\n'
)


def line(more: str = "", *, old: str = "", new: str = "") -> str:
    text = OBJECT % more
    assert old in text
    return text.replace(old, new)


TEXTS = (
    Drift("as before", **csv(HEADER, ROW)),
    Drift("added last", **csv(f"{HEADER},tip", f"{ROW},2.5", unknown={"tip": "2.5"})),
    Drift("added first", **csv(f"a1,{HEADER}", f"x,{ROW}", unknown={"a1": "x"})),
    Drift("two added", **csv(f"{HEADER},b1,b2", f"{ROW},1,2", unknown={"b1": "1", "b2": "2"})),
    Drift("added, without a value", **csv(f"{HEADER},empty", f"{ROW},")),
    Drift(
        "reordered",
        **csv(
            "amount,channel,is_fraud,terminal_id,customer_id,tx_datetime,transaction_id",
            "12.5,pos,false,3,7,{at},{id}",
        ),
    ),
    Drift(
        "optional one removed",
        **csv(HEADER.removesuffix(",channel"), "{id},{at},7,3,12.5,false"),
    ),
    Drift(
        "required one removed",
        **csv(HEADER.replace(",amount", ""), "{id},{at},7,3,false,pos"),
        reasons=("amount:missing_column",),
    ),
    Drift(
        "two required ones removed",
        **csv("transaction_id,tx_datetime,customer_id,amount", "{id},{at},7,1"),
        reasons=("is_fraud:missing_column", "terminal_id:missing_column"),
    ),
    Drift(
        "key removed",
        **csv("tx_datetime,customer_id,terminal_id,amount,is_fraud", "{at},7,3,{id},false"),
        reasons=("transaction_id:missing_column",),
    ),
    Drift(
        "renamed",
        **csv(HEADER.replace("amount", "amt"), ROW),
        unknown={"amt": "12.5"},
        reasons=("amount:missing_column",),
    ),
    Drift(
        "spelled in upper case",
        **csv(HEADER.replace("amount", "Amount"), ROW),
        aside="column Amount is spelled amount in what was read before",
    ),
    Drift(
        "a blank in a name",
        **csv(f"{HEADER},the tip", f"{ROW},1"),
        aside="column 'the tip' has a blank or one of ,;{}()= in its name",
    ),
    Drift(
        "a name twice",
        **csv(f"{HEADER},amount", f"{ROW},1"),
        aside="cannot be read as csv: its first line is no header of distinct names",
    ),
    Drift(
        "a name of the platform",
        **csv(f"{HEADER},_batch", f"{ROW},1"),
        aside="a column is named _batch, which the platform uses itself",
    ),
    Drift(
        "no header",
        text=f"{ROW}\n",
        aside="its first line names none of the columns that were read before",
    ),
    Drift(
        "another separator",
        **csv(HEADER.replace(",", ";"), ROW.replace(",", ";")),
        aside="has a blank or one of ,;{}()= in its name",
    ),
    Drift("a mark of byte order", **csv("\ufeff" + HEADER, ROW)),
    Drift(
        "a value too many",
        **csv(HEADER, f"{ROW},more"),
        reasons=("line:not_parsed",),
    ),
    Drift(
        "numbers with a comma",
        **csv(HEADER, '{id},{at},7,3,"12,5",false,pos'),
        reasons=("amount:not_a_finite_number",),
    ),
    Drift(
        "whole numbers with a point",
        **csv(HEADER, "{id},{at},7.0,3,12.5,false,pos"),
        reasons=("customer_id:not_a_bigint",),
    ),
    Drift(
        "times as numbers",
        **csv(HEADER, "{id},1522576800000,7,3,12.5,false,pos"),
        reasons=("tx_datetime:not_a_timestamp",),
    ),
    Drift("truth as a number", **csv(HEADER, "{id},{at},7,3,12.5,0,pos")),
    Drift("other format", text=line(), ending="jsonl"),
    Drift(
        "key added to lines",
        text=line(', "k1": 7'),
        ending="jsonl",
        unknown={"k1": "7"},
    ),
    Drift(
        "object added to lines",
        text=line(', "device": {{"os": "x", "sizes": [1, 2]}}'),
        ending="jsonl",
        unknown={"device": '{"os": "x", "sizes": [1, 2]}'},
    ),
    Drift("optional key removed from lines", text=line(old=', "channel": "pos"'), ending="jsonl"),
    Drift(
        "number becomes an object",
        text=line(old="12.5", new='{{"value": 12.5}}'),
        ending="jsonl",
        reasons=("amount:not_a_finite_number",),
    ),
    Drift(
        "number becomes a list",
        text=line(old="12.5", new="[12.5]"),
        ending="jsonl",
        reasons=("amount:not_a_finite_number",),
    ),
    Drift(
        "key in upper case in lines",
        text=line(old='"amount"', new='"AMOUNT"'),
        ending="jsonl",
        aside="column AMOUNT is spelled amount in what was read before",
    ),
)


def numbers(kind: pa.DataType, value: Any = 7) -> pa.Array:
    return pa.array([value], kind)


TYPED: Mapping[str, pa.Array] = {
    "transaction_id": numbers(pa.int64()),
    "tx_datetime": pa.array([MORNING], pa.timestamp("us", "UTC")),
    "customer_id": numbers(pa.int32()),
    "terminal_id": numbers(pa.int64()),
    "amount": numbers(pa.float64(), 12.5),
    "is_fraud": pa.array([False]),
    "channel": pa.array(["pos"]),
}


def parquet(name: str, **facts: Any) -> Drift:
    """A Parquet file whose ``columns`` differ."""
    outcome = {key: facts.pop(key) for key in ("unknown", "reasons", "aside") if key in facts}
    return Drift(name, ending="parquet", columns=facts, **outcome)


PARQUETS = (
    parquet("as before"),
    parquet("whole numbers wider", customer_id=numbers(pa.int64())),
    parquet("whole numbers narrower", terminal_id=numbers(pa.int16())),
    parquet("no sign", customer_id=numbers(pa.uint32())),
    parquet("numbers narrower", amount=numbers(pa.float32(), 12.5)),
    parquet("numbers become whole", amount=numbers(pa.int32())),
    parquet(
        "numbers become wide whole ones",
        amount=numbers(pa.int64()),
        aside="column amount is bigint here, double in what was read before",
    ),
    parquet(
        "whole numbers get nulls and a point",
        customer_id=numbers(pa.float64(), 7.0),
        aside="column customer_id is double here, bigint in what was read before",
    ),
    parquet(
        "numbers become text",
        customer_id=pa.array(["7"]),
        aside="column customer_id is string here, bigint in what was read before",
    ),
    parquet(
        "times become text",
        tx_datetime=pa.array([AT]),
        aside="column tx_datetime is string here, timestamp in what was read before",
    ),
    parquet(
        "times lose their zone",
        tx_datetime=pa.array([MORNING.replace(tzinfo=None)], pa.timestamp("us")),
        aside="column tx_datetime is timestamp_ntz here, timestamp in what was read before",
    ),
    parquet("times to the nanosecond", tx_datetime=pa.array([MORNING], pa.timestamp("ns", "UTC"))),
    parquet("text as a dictionary", channel=pa.array(["pos"]).dictionary_encode()),
    parquet("nothing but nulls", channel=pa.nulls(1)),
    parquet("optional one removed", channel=None),
    parquet("required one removed", amount=None, reasons=("amount:missing_column",)),
    parquet("number added", tip=numbers(pa.float64(), 2.5), unknown={"tip": 2.5}),
    parquet(
        "decimal added",
        fee=numbers(pa.decimal128(10, 2), Decimal("1.25")),
        unknown={"fee": Decimal("1.25")},
    ),
    parquet("object added", device=pa.array([{"os": "x"}]), unknown={"device": '{"os":"x"}'}),
    parquet("list added", sizes=pa.array([[1, 2]]), unknown={"sizes": "[1,2]"}),
)


def deliver(drift: Drift, folder: Path, *, ident: int) -> None:
    """Writes the file of one kind of drift."""
    path = folder / f"{ident}.{drift.ending}"
    if drift.ending != "parquet":
        path.write_text(drift.text.format(id=ident, at=AT), encoding="utf-8")
        return
    columns = {**TYPED, "transaction_id": numbers(pa.int64(), ident), **drift.columns}
    pq.write_table(pa.table({key: one for key, one in columns.items() if one is not None}), path)


def drifted(
    spark: SparkSession, disk: Environment, folder: Path, *, kinds: tuple[Drift, ...], policy: str
) -> Pipeline:
    """A source after its first file, and a load of files that have drifted."""
    pipeline = open_pipeline(spark, disk, folder, {TABLE: DECLARED.format(policy=policy)})
    first = kinds[0]
    deliver(first, pipeline.inbox, ident=1)
    pipeline.run("ingest", "refine")
    for number, drift in enumerate(kinds):
        deliver(drift, pipeline.inbox, ident=100 + number)
    pipeline.run("ingest", "refine")
    return pipeline


FEEDS = {"text": TEXTS, "parquet": PARQUETS}
POLICIES = {"text": ("quarantine", "rescue", "evolve", "ignore"), "parquet": ("rescue", "evolve")}
RUNS = [(feed, policy) for feed, policies in POLICIES.items() for policy in policies]


@pytest.fixture(scope="module", params=RUNS, ids=lambda one: f"{one[0]}-{one[1]}")
def run(
    request: pytest.FixtureRequest,
    spark: SparkSession,
    disk: Environment,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Pipeline, str, tuple[Drift, ...]]:
    feed, policy = request.param
    kinds = FEEDS[feed]
    folder = tmp_path_factory.mktemp("drift")
    return drifted(spark, disk, folder, kinds=kinds, policy=policy), policy, kinds


def number_of(uri: str) -> int:
    return int(Path(uri).stem)


Run = tuple[Pipeline, str, tuple[Drift, ...]]


def test_files_that_do_not_fit_are_set_aside_and_say_why(run: Run) -> None:
    pipeline, _, kinds = run
    listed = pipeline.rows("ops", "files", "uri", "error")
    errors = {number_of(uri): error for uri, error in listed if error}

    for ident, drift in enumerate(kinds, start=100):
        assert drift.aside in errors.pop(ident, ""), drift.name
        assert bool(drift.aside) == (ident in {number_of(uri) for uri, error in listed if error})
    assert errors == {}


def test_each_row_is_in_silver_or_in_quarantine_for_its_reasons(run: Run) -> None:
    pipeline, policy, kinds = run
    valid = {ident for (ident,) in pipeline.rows("silver", "transactions", "transaction_id")}
    refused = pipeline.rows("quarantine", "transactions", "_file", REASONS)
    found = {number_of(uri): tuple(sorted(reasons)) for uri, reasons in refused}

    expected = {}
    for ident, drift in enumerate(kinds, start=100):
        unknown = drift.unknown if policy == "quarantine" else {}
        reasons = (*drift.reasons, *(f"{name}:unknown_column" for name in unknown))
        if not drift.aside:
            expected[ident] = tuple(sorted(reasons))
    assert {one: found.get(one, ()) for one in expected} == expected
    assert valid == {1, *(ident for ident, reasons in expected.items() if not reasons)}


def test_unknown_values_are_where_the_policy_says(run: Run) -> None:
    pipeline, policy, kinds = run
    accepted = {
        ident: drift.unknown
        for ident, drift in enumerate(kinds, start=100)
        if drift.unknown and not drift.reasons and not drift.aside
    }
    names = sorted({name for unknown in accepted.values() for name in unknown})
    columns = pipeline.tables.read("silver", "transactions").columns

    match policy:
        case "rescue":
            rows = pipeline.rows("silver", "transactions", "transaction_id", RESCUED)
            kept = {ident: json.loads(text) for ident, text in rows if text}
            texts = {ident: {k: str(v) for k, v in one.items()} for ident, one in accepted.items()}
            assert kept == texts
        case "evolve":
            rows = pipeline.rows("silver", "transactions", "transaction_id", *names)
            kept = {
                ident: {k: v for k, v in zip(names, values, strict=True) if v is not None}
                for ident, *values in rows
            }
            assert {ident: one for ident, one in kept.items() if one} == accepted
        case _:
            assert not {*names, RESCUED} & {*columns}


def test_the_history_of_schemas_says_what_changed(run: Run) -> None:
    pipeline, _, kinds = run
    rows = pipeline.rows("ops", "schemas", "file", "format", "added", "removed", "retyped")
    changes = {number_of(uri): tuple(change) for uri, form, *change in rows if form != "json"}

    assert all(changes.get(ident) is None for ident, one in enumerate(kinds, 100) if one.aside)
    assert changes[1] == ([], [], [])
    removed = next(n for n, one in enumerate(kinds, 100) if one.name == "required one removed")
    assert [text.split()[0] for text in changes[removed][1]][:1] == ["amount"]


def test_fail_ends_the_step_before_it_writes_and_goes_on_under_another_policy(
    spark: SparkSession, disk: Environment, tmp_path: Path
) -> None:
    pipeline = open_pipeline(spark, disk, tmp_path, {TABLE: DECLARED.format(policy="fail")})
    deliver(TEXTS[0], pipeline.inbox, ident=1)
    pipeline.run("ingest", "refine")
    deliver(TEXTS[0], pipeline.inbox, ident=2)
    deliver(TEXTS[1], pipeline.inbox, ident=3)
    with pytest.raises(InputError, match=r"1 rows have values in tip, .*3\.csv; nothing was"):
        pipeline.run("ingest", "refine")
    before = pipeline.rows("silver", "transactions", "transaction_id")

    pipeline.with_files({TABLE: DECLARED.format(policy="rescue")}).run("refine")

    rows = pipeline.rows("silver", "transactions", "transaction_id", RESCUED)
    assert (before, rows) == ([(1,)], [(1, None), (2, None), (3, '{"tip":"2.5"}')])


class TestPromotion:
    """Rescued values get a column of their own."""

    TIPPED = DECLARED.format(policy="rescue") + "  tip: {type: double, optional: true}\n"

    @pytest.fixture
    def rescued(self, spark: SparkSession, disk: Environment, tmp_path: Path) -> Pipeline:
        pipeline = open_pipeline(spark, disk, tmp_path, {TABLE: DECLARED.format(policy="rescue")})
        self.put(pipeline, "a", ("1", "2.5", "x"), ("2", "none", ""), ("3", "", "y"))
        pipeline.run("ingest", "refine", "features")
        return pipeline.with_files({TABLE: self.TIPPED})

    def put(self, pipeline: Pipeline, name: str, *rows: tuple[str, str, str]) -> None:
        lines = [f"{ident},{AT},7,3,1,false,pos,{tip},{more}" for ident, tip, more in rows]
        pipeline.put(f"{name}.csv", *lines, header=f"{HEADER},tip,more\n")

    def promoted(self, pipeline: Pipeline) -> PromoteResult:
        table = pipeline.graph.table("transactions")
        return promote(table, "tip", tables=pipeline.tables, progress=silent)

    def test_values_move_to_their_column_and_others_stay(self, rescued: Pipeline) -> None:
        result = self.promoted(rescued)

        rows = rescued.rows("silver", "transactions", "transaction_id", "tip", RESCUED)
        assert (result.moved, result.kept, result.examples) == (1, 1, ("none",))
        assert rows == [
            (1, 2.5, '{"more":"x"}'),
            (2, None, '{"tip":"none"}'),
            (3, None, '{"more":"y"}'),
        ]

    def test_a_second_time_moves_nothing(self, rescued: Pipeline) -> None:
        self.promoted(rescued)
        version = rescued.version("silver", "transactions")

        result = self.promoted(rescued)

        assert (result.moved, rescued.version("silver", "transactions")) == (0, version)

    def test_what_reads_silver_sees_no_new_rows(self, rescued: Pipeline) -> None:
        self.promoted(rescued)

        results = rescued.run("refine", "features")

        assert [results[name].rows for name in ("gold.customer_spend", "gold.last_payment")] == [
            0,
            0,
        ]

    def test_a_copy_that_comes_later_is_still_a_copy(self, rescued: Pipeline) -> None:
        self.promoted(rescued)
        self.put(rescued, "b", ("1", "2.5", "x"), ("3", "", "y"), ("4", "1", ""))

        result = rescued.run("ingest", "refine")["silver.transactions"]

        assert (result.valid, result.duplicates) == (1, 2)


def test_an_evolved_column_that_is_declared_as_another_type_waits_for_a_rebuild(
    spark: SparkSession, disk: Environment, tmp_path: Path
) -> None:
    declared = DECLARED.format(policy="evolve")
    pipeline = open_pipeline(spark, disk, tmp_path, {TABLE: declared})
    deliver(TEXTS[1], pipeline.inbox, ident=1)
    pipeline.run("ingest", "refine")
    as_text = pipeline.with_files({TABLE: declared + "  tip: {type: string, optional: true}\n"})
    as_number = pipeline.with_files({TABLE: declared + "  tip: {type: double, optional: true}\n"})
    [blocked] = as_number.plan().of("refine").blocked
    waiting = as_text.plan().of("refine").blocked

    as_number.run("refine", accept=True)

    assert waiting == ()
    assert blocked.reason.startswith("columns have other types: tip is string, declared double")
    assert as_number.rows("silver", "transactions", "tip") == [(2.5,)]

"""A fifth of all payments arrives up to ten days late: what training sets held stays, what they get
is equal to one built whole, and what changed is explained.

Two deliveries go from files to gold by the real stages; every set is built before or after the
second one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from feldspar.compute.windows.functions import AsOf
from feldspar.errors import InputError
from feldspar.spec.environment import Environment
from feldspar.stores.tables import arrow
from feldspar.times import from_micros
from feldspar.training.arrivals import changes_in_the_past
from feldspar.training.differences import Difference, difference
from feldspar.training.extend import Extended, extend_training_set
from feldspar.training.held import open_set
from feldspar.training.manifest import Manifest
from feldspar.training.sets import training_set
from support.late_payments import (
    CONF,
    FIRST_DELIVERY,
    HEADER,
    Payment,
    expected,
    payments,
    write_spine,
)
from support.pipeline import TO_GOLD, Pipeline, open_pipeline
from support.small_project import FILES

STORED = (
    "customer_spend__count_1d",
    "customer_spend__count_7d",
    "customer_spend__avg_amount_1d",
    "customer_spend__avg_amount_7d",
    "last_payment__last_amount",
)
SUMS = ("customer_spend__avg_amount_1d", "customer_spend__avg_amount_7d", "last_payment__ratio")
MORE_SPEND = FILES["views/customer_spend.yaml"].replace("[1d, 7d]", "[1d, 5d, 7d]")


@dataclass(frozen=True)
class Deliveries:
    """The lake after both deliveries, with sets of before and after.

    ``training.known@0`` and ``training.event@0`` were built before the second one, the others
    after it.
    """

    pipeline: Pipeline
    first: tuple[Payment, ...]
    everything: tuple[Payment, ...]
    held: tuple[Payment, ...]
    more: tuple[Payment, ...]
    folder: Path
    made: Extended
    grown: Extended
    whole: Manifest

    def extend(self, spine: str, out: str, *, pipeline: Pipeline | None = None) -> Extended:
        return extend(pipeline or self.pipeline, self.folder / spine, out)

    def rows(self, name: str, version: int | None = None) -> pa.Table:
        found = arrow.dataset(self.pipeline.lake, "training", name, version=version).to_table()
        return found.sort_by([(one, "ascending") for one in ("transaction_id", "amount")])

    def values(self, name: str, version: int | None = None) -> dict[tuple[int, str], Any]:
        """(transaction, feature) to value, of the stored features."""
        return {
            (row["transaction_id"], feature): row[feature]
            for row in self.rows(name, version).to_pylist()
            for feature in STORED
        }


def build(pipeline: Pipeline, spine: Path, out: str, as_of: AsOf = "known") -> Manifest:
    graph, event = pipeline.graph, pipeline.graph.table("transactions")
    return training_set(
        graph.service("fraud"), event, pipeline.tables, spine=str(spine), out=out, as_of=as_of
    )


def extend(pipeline: Pipeline, spine: Path, out: str) -> Extended:
    graph, event = pipeline.graph, pipeline.graph.table("transactions")
    return extend_training_set(
        graph.service("fraud"), event, pipeline.tables, spine=str(spine), out=out
    )


@pytest.fixture(scope="module")
def lake(
    spark: SparkSession, disk: Environment, tmp_path_factory: pytest.TempPathFactory
) -> Deliveries:
    folder = tmp_path_factory.mktemp("late")
    pipeline = open_pipeline(spark, disk, folder, CONF)
    everything = tuple(payments())
    first = tuple(one for one in everything if one.received <= FIRST_DELIVERY)
    second = everything[len(first) :]
    held, more = first[::3], (first[0], *second[::3])
    write_spine(folder / "held.parquet", held)
    # a row that the set holds once stands here twice, and others that it holds are left out
    write_spine(folder / "more.parquet", [*held[:100], *more])
    write_spine(folder / "whole.parquet", [*held, *more])

    pipeline.put("1.csv", *[one.line for one in first], header=HEADER)
    pipeline.run(*TO_GOLD)
    # nothing is there to be extended yet
    made = extend(pipeline, folder / "held.parquet", "training.known")
    build(pipeline, folder / "held.parquet", "training.event", "event")

    pipeline.put("2.csv", *[one.line for one in second], header=HEADER)
    pipeline.run(*TO_GOLD)
    build(pipeline, folder / "held.parquet", "training.event", "event")
    grown = extend(pipeline, folder / "more.parquet", "training.known")
    whole = build(pipeline, folder / "whole.parquet", "training.whole")
    return Deliveries(pipeline, first, everything, held, more, folder, made, grown, whole)


@pytest.fixture(scope="module")
def late(lake: Deliveries) -> Difference:
    return difference("training.event@0", "training.event", lake.pipeline.tables)


@pytest.fixture(scope="module")
def grown(lake: Deliveries) -> Difference:
    return difference("training.known@0", "training.known", lake.pipeline.tables)


def differing(left: dict[Any, Any], right: dict[Any, Any]) -> set[Any]:
    assert left.keys() == right.keys()
    return {key for key, value in left.items() if not near(value, right[key])}


def near(left: float | None, right: float | None) -> bool:
    return left == right if left is None or right is None else left == pytest.approx(right, 1e-9)


def unlike(left: pa.Table, right: pa.Table) -> list[tuple[str, Any, Any]]:
    """Column and both values wherever two sets differ, in the order of rows.

    To the bit, but for what is made of sums: their last bits depend on what else there is.
    """
    assert left.schema.equals(right.schema)
    assert left.num_rows == right.num_rows
    return [
        (name, ours, theirs)
        for name in left.column_names
        for ours, theirs in zip(left[name].to_pylist(), right[name].to_pylist(), strict=True)
        if not (near(ours, theirs) if name in SUMS else ours == theirs)
    ]


def after_the_late(lake: Deliveries, rows: dict[Any, Any]) -> dict[Any, Any]:
    """The values that a set built after the second delivery has of the same rows."""
    found = lake.values("whole")
    return {key: found[key] for key in rows}


class TestLateRows:
    def test_a_fifth_is_late(self, lake: Deliveries) -> None:
        late = [one for one in lake.everything if one.received > one.time]

        assert 0.17 < len(late) / len(lake.everything) < 0.23

    def test_as_known_the_same_rows_of_a_spine_give_the_same_values(self, lake: Deliveries) -> None:
        before = lake.values("known", 0)

        assert differing(before, after_the_late(lake, before)) == set()

    def test_as_known_both_are_what_the_oracle_says(self, lake: Deliveries) -> None:
        graph = lake.pipeline.graph

        before = differing(lake.values("known", 0), expected(graph, lake.first, lake.held, "known"))
        held = expected(graph, lake.everything, lake.held, "known")
        after = differing(after_the_late(lake, held), held)
        assert (before, after) == (set(), set())

    def test_as_of_event_they_differ_exactly_where_the_oracle_says(self, lake: Deliveries) -> None:
        graph = lake.pipeline.graph
        before = expected(graph, lake.first, lake.held, "event")
        after = expected(graph, lake.everything, lake.held, "event")

        found = differing(lake.values("event", 0), lake.values("event", 1))

        assert found == differing(before, after) != set()

    def test_as_of_event_both_are_what_the_oracle_says(self, lake: Deliveries) -> None:
        graph = lake.pipeline.graph

        before = differing(lake.values("event", 0), expected(graph, lake.first, lake.held, "event"))
        after = differing(
            lake.values("event", 1), expected(graph, lake.everything, lake.held, "event")
        )
        assert (before, after) == (set(), set())


class TestExtension:
    def test_it_equals_a_set_built_whole(self, lake: Deliveries) -> None:
        assert unlike(lake.rows("known"), lake.rows("whole")) == []

    def test_it_computed_only_what_was_not_held(self, lake: Deliveries) -> None:
        assert (lake.grown.held, lake.grown.added) == (len(lake.held), len(lake.more))

    def test_its_manifest_says_what_one_built_whole_would_and_its_parts(
        self, lake: Deliveries
    ) -> None:
        manifest, whole = lake.grown.manifest, lake.whole

        assert (manifest.spine_rows, manifest.spine_hash, manifest.tables) == (
            whole.spine_rows,
            whole.spine_hash,
            whole.tables,
        )
        assert [part.spine_rows for part in manifest.parts] == [len(lake.held), len(lake.more)]

    def test_again_it_finds_nothing_to_add(self, lake: Deliveries) -> None:
        version = lake.pipeline.version("training", "known")

        again = lake.extend("whole.parquet", "training.known")

        assert (again.added, lake.pipeline.version("training", "known")) == (0, version)

    def test_a_set_that_is_not_there_is_built_whole(self, lake: Deliveries) -> None:
        assert (lake.made.held, lake.made.added) == (0, len(lake.held))

    def test_rows_computed_before_what_they_must_count_was_loaded_are_found(
        self, lake: Deliveries
    ) -> None:
        tables, service = lake.pipeline.tables, lake.pipeline.graph.service("fraud")
        held = open_set(tables, "training.known@0")
        late = next(one for one in lake.everything[len(lake.first) :] if one.received > one.time)
        row = (late.ident, from_micros(late.received), late.customer)
        names = ["transaction_id", "tx_datetime", "customer_id"]
        early = replace(held, rows=tables.spark.createDataFrame([row], names))

        found = list(changes_in_the_past(early, service, tables, upto=lake.whole.tables))

        start = "got rows between version 0 and 1 that were visible at times of rows it holds, for "
        assert [reason.partition("1 entities")[0] for reason in found] == [
            f"gold.customer_spend {start}",
            f"gold.last_payment {start}",
        ]

    def test_a_refusal_says_how_to_build_it_whole(self, lake: Deliveries) -> None:
        with pytest.raises(InputError) as caught:
            lake.extend("whole.parquet", "training.event")

        assert str(caught.value).splitlines() == [
            (
                "training.event@1 cannot be extended: it is built as_of event, asked for is as_of "
                "known; with event each late row changes rows that it holds"
            ),
            (
                "  build it whole: feldspar training-set fraud "
                f"--spine {lake.folder / 'whole.parquet'} --out training.event"
            ),
        ]

    def test_another_definition_is_refused(self, lake: Deliveries) -> None:
        changed = FILES["views/customer_spend.yaml"].replace("avg(amount)", "max(amount)")
        other = lake.pipeline.with_files({**CONF, "views/customer_spend.yaml": changed})

        with pytest.raises(
            InputError,
            match="defined otherwise since then: customer_spend__avg_amount_1d, "
            "customer_spend__avg_amount_7d, last_payment__ratio",
        ):
            lake.extend("whole.parquet", "training.known", pipeline=other)

    def test_a_feature_more_is_refused(self, lake: Deliveries) -> None:
        other = lake.pipeline.with_files({**CONF, "views/customer_spend.yaml": MORE_SPEND})

        with pytest.raises(InputError, match="service fraud or a view of it is defined otherwise"):
            lake.extend("whole.parquet", "training.known", pipeline=other)

    def test_another_column_is_refused(self, lake: Deliveries) -> None:
        spine = lake.rows("known").select(["transaction_id", "tx_datetime", "customer_id"])
        pq.write_table(
            spine.append_column("remark", pa.array(["a"] * spine.num_rows)),
            lake.folder / "other.parquet",
        )

        with pytest.raises(InputError, match="lacks amount of its columns and has remark besides"):
            lake.extend("other.parquet", "training.known")


class TestDifference:
    def test_values_that_differ_are_counted_by_feature(
        self, lake: Deliveries, late: Difference
    ) -> None:
        before, after = lake.values("event", 0), lake.values("event", 1)
        wrong = [feature for _, feature in differing(before, after)]

        found = {one.name: one.rows for one in late.features if one.name in STORED}

        assert found == {name: wrong.count(name) for name in STORED if name in wrong}

    def test_rows_that_arrived_are_named_as_the_cause(
        self, lake: Deliveries, late: Difference
    ) -> None:
        rows = len(lake.everything) - len(lake.first)
        (spend,) = (one for one in late.features if one.name == "customer_spend__count_7d")

        assert spend.causes == (
            f"{rows:,} new rows arrived in gold.customer_spend between version 0 and 1",
        )

    def test_examples_show_the_row_and_both_values(
        self, lake: Deliveries, late: Difference
    ) -> None:
        before, after = lake.values("event", 0), lake.values("event", 1)
        (spend,) = (one for one in late.features if one.name == "customer_spend__count_7d")
        example = spend.examples[0]
        ident = int(example.row.partition(",")[0].removeprefix("transaction_id="))

        assert (example.left, example.right) == (
            str(before[ident, spend.name]),
            str(after[ident, spend.name]),
        )

    def test_an_extension_has_rows_of_its_own_and_changes_none(
        self, lake: Deliveries, grown: Difference
    ) -> None:
        assert (grown.both, grown.only_left.rows, grown.only_right.rows, grown.features) == (
            len(lake.held),
            0,
            len(lake.more),
            (),
        )

    def test_it_is_told_in_lines(self, lake: Deliveries, grown: Difference) -> None:
        lines = list(grown.lines())

        assert lines[:2] == ["training.known@0 and training.known@1 differ", "made differently:"]
        assert f"rows of training.known@1 alone: {len(lake.more):,}" in lines
        assert "  parts: built in 1 and 2" in lines

    def test_sets_with_the_same_rows_are_equal_however_they_were_built(
        self, lake: Deliveries
    ) -> None:
        found = difference("training.known", "training.whole", lake.pipeline.tables)

        assert (found.equal, found.causes) == (True, ("parts: built in 2 and 1",))

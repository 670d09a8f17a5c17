"""silver -> history on a real lake: what holds now, what held when, what was refused on the way.

Random histories are in tests/property/test_histories.py.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from feldspar.errors import UsageError
from feldspar.graph.steps import HistoryStep, Mode, Status
from feldspar.spec.environment import Environment
from support.people import TABLES, Row, deliver, files_of, held, open_people, refine
from support.pipeline import Pipeline

MOVES, DELETED, BACK, LATE, LATE_OF_DELETED, SAME, NO_LONGER_SAME, TIE, TOLD_TWICE = range(1, 10)
FIRST = (
    Row(MOVES, 3, "u", "Bruges"),
    Row(MOVES, 0, "c", "Ghent"),
    Row(DELETED, 0, "c", "Ghent", 1),
    Row(BACK, 0, "c", "Ghent"),
    Row(LATE, 0, "c", "Ghent"),
    Row(LATE, 4, "u", "Antwerp"),
    Row(LATE_OF_DELETED, 0, "c", "Ghent"),
    Row(LATE_OF_DELETED, 4, "d"),
    Row(SAME, 0, "c", "Ghent", 1),
    Row(NO_LONGER_SAME, 0, "c", "Ghent"),
    Row(NO_LONGER_SAME, 4, "u", "Ghent"),
    Row(TIE, 0, "c", "Ghent", number=2),
    Row(TIE, 0, "c", "Antwerp", 9, number=2),
    Row(TOLD_TWICE, 0, "c", "Ghent"),
    Row(TOLD_TWICE, 1, "c", None, 3),
    Row(TOLD_TWICE, 1, "c", "Ghent", 12),
    Row(TOLD_TWICE, 1, "c", "Ghent", "many"),
)
SECOND = (
    Row(DELETED, 2, "d", None, "gone"),
    Row(BACK, 2, "d", "Ghent", 12),
    Row(LATE, 2, "u", "Bruges"),
    Row(LATE_OF_DELETED, 2, "u", "Bruges"),
    Row(SAME, 3, "u", "Ghent", 1),
    Row(NO_LONGER_SAME, 2, "u", "Bruges"),
    Row(TOLD_TWICE, 0, "c", "Ghent"),
    Row(None, 2, "d"),
    Row(TOLD_TWICE, 2, "d", number=None),
)
THIRD = (Row(BACK, 5, "c", "Bruges"),)


@pytest.fixture(scope="module")
def people(
    spark: SparkSession, disk: Environment, tmp_path_factory: pytest.TempPathFactory
) -> Pipeline:
    """Both histories after three batches, of which two are taken together."""
    people = open_people(spark, disk, tmp_path_factory.mktemp("people"))
    refine(people, *FIRST)
    deliver(people, SECOND)
    people.run("refine")
    refine(people, *THIRD)
    return people


def intervals(people: Pipeline) -> dict[int, list[tuple[Any, ...]]]:
    found = defaultdict(list)
    for person, *rest in held(people, "person", "valid_from", "valid_to", "city", "level"):
        found[person].append(tuple(rest))
    return dict(found)


THEN = {
    MOVES: [(0, 3, "Ghent", None), (3, None, "Bruges", None)],
    DELETED: [(0, 2, "Ghent", 1)],
    BACK: [(0, 2, "Ghent", None), (5, None, "Bruges", None)],
    LATE: [(0, 2, "Ghent", None), (2, 4, "Bruges", None), (4, None, "Antwerp", None)],
    LATE_OF_DELETED: [(0, 2, "Ghent", None), (2, 4, "Bruges", None)],
    SAME: [(0, None, "Ghent", 1)],
    NO_LONGER_SAME: [(0, 2, "Ghent", None), (2, 4, "Bruges", None), (4, None, "Ghent", None)],
    TIE: [(0, None, "Ghent", None)],
    TOLD_TWICE: [(0, None, "Ghent", None)],
}
NOW = [
    (MOVES, 3, "Bruges"),
    (BACK, 5, "Bruges"),
    (LATE, 4, "Antwerp"),
    (SAME, 3, "Ghent"),
    (NO_LONGER_SAME, 4, "Ghent"),
    (TIE, 0, "Ghent"),
    (TOLD_TWICE, 0, "Ghent"),
]


class TestThreeBatches:
    def test_all_that_held_has_its_time(self, people: Pipeline) -> None:
        assert intervals(people) == THEN

    def test_what_holds_now_is_one_row_a_key(self, people: Pipeline) -> None:
        assert held(people, "person", "changed_at", "city", table="people_now") == NOW

    def test_columns_left_out_are_in_neither(self, people: Pipeline) -> None:
        columns = [people.tables.read("history", name).columns for name in ("people_now", "people")]

        assert columns == [
            ["region", "person", "changed_at", "number", "city", "level"],
            ["region", "person", "changed_at", "number", "city", "level", "valid_from", "valid_to"],
        ]

    def test_deletes_are_checked_in_key_sequence_and_times_alone(self, people: Pipeline) -> None:
        rows = people.rows("quarantine", "people", "_reasons")

        assert sorted(reasons for (reasons,) in rows) == [
            ["city:not_null"],
            ["level:not_a_int"],
            ["number:not_null"],
            ["person:not_null"],
            ["rule:level_is_small"],
        ]

    def test_the_ledger_adds_up(self, people: Pipeline) -> None:
        columns = ("rows_in", "valid", "quarantined", "duplicates")
        rows = people.rows("ops", "ledger", "table", *columns)

        assert [row[1:] for row in rows if row[0] == "people"] == [
            (1, 1, 0, 0),
            (17, 14, 3, 0),
            (9, 6, 2, 1),
        ]

    def test_nothing_is_left_to_do(self, people: Pipeline) -> None:
        assert people.plan().of("history").to_run == ()


def test_a_step_that_did_not_hear_of_its_commit_repeats_it_to_no_effect(
    spark: SparkSession, disk: Environment, tmp_path: Path
) -> None:
    people = open_people(spark, disk, tmp_path)
    built = twice(people, Row(1, 0, "c", "A"), Row(2, 0, "c", "A"), Row(3, 4, "c", "A"))

    merged = twice(people, Row(1, 1, "u", "B"), Row(2, 1, "d"), Row(3, 2, "c", "A"))

    # of person 3 the interval that began on day 4 begins on day 2 now
    assert (built, merged) == (
        {"history.people_now": (3, 0), "history.people": (3, 0)},
        {"history.people_now": (1, 1), "history.people": (4, 1)},
    )
    assert held(people, "person", "valid_from", "valid_to", "city") == [
        (1, 0, 1, "A"),
        (1, 1, None, "B"),
        (2, 0, 1, "A"),
        (3, 2, None, "A"),
    ]


def twice(people: Pipeline, *rows: Row) -> dict[str, tuple[int, int]]:
    """Rows written and removed by steps whose repetition says, and does, the same."""
    deliver(people, rows)
    people.run("refine")
    steps = [one for one in people.plan().to_run if isinstance(one, HistoryStep)]
    first = [people.carry_out(step) for step in steps]
    again = [people.carry_out(step) for step in steps]
    assert again == first
    return {step.name: (one.rows, one.removed) for step, one in zip(steps, first, strict=True)}


class TestChangedDefinition:
    ROWS = (Row(1, 0, "c", "Ghent"), Row(1, 3, "u", "Bruges"), Row(2, 0, "c", "Ghent"))

    def opened(
        self, spark: SparkSession, disk: Environment, folder: Path, definition: str
    ) -> Pipeline:
        people = open_people(spark, disk, folder, {"people": definition})
        refine(people, *self.ROWS)
        return people

    def test_another_kind_waits_and_is_then_made_from_silver_as_it_is(
        self, spark: SparkSession, disk: Environment, tmp_path: Path
    ) -> None:
        people = self.opened(spark, disk, tmp_path, TABLES["people_now"])
        before = people.version("silver", "people")
        changed = people.with_files(files_of({"people": TABLES["people"]}))
        blocked = [step.name for step in changed.plan().blocked]

        changed.run("refine", "history", accept=True)

        assert (blocked, people.version("silver", "people")) == (["history.people"], before)
        assert held(changed, "person", "valid_from", "valid_to") == [
            (1, 0, 3),
            (1, 3, None),
            (2, 0, None),
        ]

    def test_a_further_column_is_added(
        self, spark: SparkSession, disk: Environment, tmp_path: Path
    ) -> None:
        people = self.opened(spark, disk, tmp_path, TABLES["people"])
        email = "  level: int\n  email: {type: string, optional: true}\n"
        wider = TABLES["people"].replace("  level: int\n", email)

        refine(people.with_files(files_of({"people": wider})), Row(1, 9, "u", "Ghent"))

        assert held(people, "person", "valid_from", "email")[2:] == [(1, 9, None), (2, 0, None)]

    def test_a_table_that_gets_a_history_keeps_its_silver(
        self, spark: SparkSession, disk: Environment, tmp_path: Path
    ) -> None:
        people = self.opened(spark, disk, tmp_path, TABLES["people"].partition("history:")[0])
        before = people.version("silver", "people")

        done = people.with_files(files_of({"people": TABLES["people"]})).run("refine", "history")

        assert (people.version("silver", "people"), done["history.people"].rows) == (before, 3)


def test_a_history_that_is_not_defined_is_said(
    spark: SparkSession, disk: Environment, tmp_path: Path
) -> None:
    people = open_people(spark, disk, tmp_path)
    step = HistoryStep(
        "history.transactions",
        Status.RUN,
        "",
        table="transactions",
        after=None,
        mode=Mode.APPEND,
        generation=0,
        source_generation=0,
    )

    with pytest.raises(UsageError, match=r"'history' is not in conf/tables/transactions\.yaml"):
        people.carry_out(step)

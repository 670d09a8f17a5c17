"""Whole snapshots, in which a missing key was deleted, as SCD1 and SCD2; one of them comes late."""

from __future__ import annotations

import random
from pathlib import Path

from pyspark.sql import SparkSession

from feldspar.spec.environment import Environment
from support.people import TABLES, Row, held, open_people, refine
from support.pipeline import Pipeline

ALWAYS, MOVED, BACK, LEFT = range(1, 5)
SNAPSHOTS = (
    [
        Row(ALWAYS, 0, "", "Ghent"),
        Row(MOVED, 0, "", "Ghent"),
        Row(BACK, 0, "", "Ghent"),
        Row(LEFT, 0, "", "Ghent"),
    ],
    [Row(ALWAYS, 1, "", "Ghent"), Row(MOVED, 1, "", "Bruges"), Row(LEFT, 1, "", None)],
    # a row that is refused is no reason to take its key for gone
    [Row(ALWAYS, 2, "", None), Row(MOVED, 2, "", "Bruges"), Row(BACK, 2, "", "Ghent")],
    [Row(ALWAYS, 3, "", "Ghent"), Row(MOVED, 3, "", "Ghent"), Row(BACK, 3, "", "Ghent")],
)
THEN = [
    (ALWAYS, 0, None, "Ghent"),
    (MOVED, 0, 1, "Ghent"),
    (MOVED, 1, 3, "Bruges"),
    (MOVED, 3, None, "Ghent"),
    (BACK, 0, 1, "Ghent"),
    (BACK, 2, None, "Ghent"),
    (LEFT, 0, 2, "Ghent"),
]
NOW = [(ALWAYS, 3, "Ghent"), (MOVED, 3, "Ghent"), (BACK, 3, "Ghent")]


def of_snapshots(text: str) -> str:
    kind = "scd1" if "scd1" in text else "scd2"
    history = f"{{kind: {kind}, rows: snapshots, sequence_by: changed_at, without: [op, number]}}"
    return f"{text.partition('history:')[0]}history: {history}\n"


def test_late_snapshots_come_where_they_belong(
    spark: SparkSession, disk: Environment, tmp_path: Path
) -> None:
    tables = {name: of_snapshots(text) for name, text in TABLES.items()}
    people = open_people(spark, disk, tmp_path, tables)

    for batch in ((0, 2), (3, 1)):
        rows = [row for number in batch for row in SNAPSHOTS[number]]
        refine(people, *random.sample(rows, len(rows)))

    assert (told(people), now(people)) == (THEN, NOW)


def told(people: Pipeline) -> list[tuple[object, ...]]:
    return held(people, "person", "valid_from", "valid_to", "city")


def now(people: Pipeline) -> list[tuple[object, ...]]:
    return held(people, "person", "changed_at", "city", table="people_now")

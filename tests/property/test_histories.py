"""Random histories in any order and any cut into batches: SCD1 and SCD2 are the oracle's.

Every permutation of a history is a key of its own, so that all of them share the jobs of a few
batches; some changes are refused on the way, and some come twice.
"""

from __future__ import annotations

import os
import random
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from feldspar.spec.environment import Environment
from property.frames import CASES
from property.histories import Change, delivered, random_history, scd1, scd2
from support.people import Row, deliver, held, open_people
from support.pipeline import Pipeline

SEED = int(os.environ.get("SEED", random.SystemRandom().randrange(2**32)))
PERMUTATIONS, BATCHES = 20, 3
HISTORIES = min(CASES, 1_000)
"""Of one table; more cases are further tables."""
_KEY = ("region", "person")


@pytest.mark.parametrize("table", range(max(1, CASES // HISTORIES)))
def test_every_history_is_the_oracles(
    spark: SparkSession, disk: Environment, tmp_path: Path, table: int
) -> None:
    generator = random.Random(SEED + table)
    histories = [random_history(generator) for _ in range(HISTORIES)]
    people = open_people(spark, disk, tmp_path)

    _deliver_all(people, histories, generator)

    now, then = _now(people), _then(people)
    wrong = [
        f"{history}, permutation {number}: {now[key]}, {then[key]}"
        for person, history in enumerate(histories)
        for number in range(PERMUTATIONS)
        if (key := (number, person))
        and (now[key], then[key]) != ([*_expected(history)], sorted(scd2(history)))
    ]
    assert (len(wrong), wrong[:3]) == (0, []), f"SEED={SEED}"


def _deliver_all(people: Pipeline, histories: list[list[Change]], generator: random.Random) -> None:
    batches = defaultdict(list)
    for person, history in enumerate(histories):
        for number in range(PERMUTATIONS):
            for batch, change in delivered(history, generator, BATCHES):
                batches[batch].append(_row(change, number, person))
    for batch in range(BATCHES):
        deliver(people, batches[batch])
        people.run("refine", "history")


def _row(change: Change, region: int, person: int) -> Row:
    op = "d" if change.deleted else "u"
    return Row(person, change.moment, op, *change.values, number=change.number, region=region)


def _expected(history: Iterable[Change]) -> list[tuple[object, ...]]:
    row = scd1(history)
    return [] if row is None else [(row.moment, row.number, row.values)]


def _now(people: Pipeline) -> dict[tuple[int, int], list[tuple[object, ...]]]:
    found = defaultdict(list)
    columns = (*_KEY, "changed_at", "number", "city", "level")
    for region, person, moment, number, *values in held(people, *columns, table="people_now"):
        found[region, person].append((moment, number, tuple(values)))
    return found


def _then(people: Pipeline) -> dict[tuple[int, int], list[tuple[object, ...]]]:
    found = defaultdict(list)
    columns = (*_KEY, "valid_from", "valid_to", "number", "city", "level")
    for region, person, start, end, number, *values in held(people, *columns):
        found[region, person].append((start, end, number, tuple(values)))
    return found

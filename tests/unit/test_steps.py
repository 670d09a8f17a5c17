"""``ops.steps`` on a disk: each round once, whoever else writes; the last run of each step."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from feldspar.stores.tables import arrow, log, steps
from feldspar.stores.tables.lake import Lake
from feldspar.stores.tables.steps import StepRow
from feldspar.stores.tables.tiers import FRESH, RUNS
from support.places import disk_environment

STARTED = datetime(2026, 11, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
SILVER = StepRow(
    run=1,
    round=0,
    verb="refine",
    step="silver.payments",
    started_at=STARTED,
    seconds=2.5,
    rows_in=10,
    rows_out=8,
    refused=1,
    version=4,
)
GOLD = replace(SILVER, verb="features", step="gold.spend", rows_in=None, refused=None)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake.of(disk_environment(tmp_path))


def test_there_is_nothing_before_the_first_run(lake: Lake) -> None:
    assert steps.newest(lake) == {}


def test_a_row_is_read_back_as_it_was_written(lake: Lake) -> None:
    steps.append(lake, [SILVER, GOLD])

    assert steps.newest(lake) == {"silver.payments": SILVER, "gold.spend": GOLD}


def test_a_round_is_one_commit_however_often_it_is_written(lake: Lake) -> None:
    for _ in range(3):
        steps.append(lake, [SILVER, GOLD])

    rows = arrow.read(lake, "ops", "steps").num_rows
    assert (rows, log.open_table(lake, "ops", "steps").version()) == (2, 0)


def test_a_run_beside_a_later_one_is_entered_too(lake: Lake) -> None:
    for run, number in ((5, 1), (6, 0), (5, 2)):
        steps.append(lake, [replace(SILVER, run=run, round=number)])

    entered = arrow.read(lake, "ops", "steps").select(["run", "round"]).to_pylist()
    assert sorted(tuple(row.values()) for row in entered) == [(5, 1), (5, 2), (6, 0)]


def test_the_last_run_is_the_one_that_began_last(lake: Lake) -> None:
    later = replace(SILVER, run=2, started_at=STARTED + timedelta(hours=1), outcome="failed")
    steps.append(lake, [later])
    steps.append(lake, [SILVER, GOLD])

    assert steps.newest(lake) == {"silver.payments": later, "gold.spend": GOLD}


def test_the_last_ones_of_each_step_are_found(lake: Lake) -> None:
    rows = [replace(SILVER, round=one, started_at=STARTED + one * SECOND) for one in range(5)]
    failed = replace(SILVER, round=9, started_at=STARTED + 9 * SECOND, outcome="failed")
    steps.append(lake, [*rows, failed, GOLD])

    names = ["silver.payments", "gold.spend"]
    found = steps.done(lake, names, since=STARTED - SECOND, most=2)
    later = steps.done(lake, names[:1], since=STARTED + 4 * SECOND, most=2)
    assert ([one.round for one in found], later) == ([0, 3, 4], (rows[4],))
    assert steps.done(lake, ["gold.other"], since=STARTED, most=2) == ()


def test_many_small_files_become_few_with_the_same_rows(lake: Lake) -> None:
    numbers = list(range(1, FRESH + RUNS + 10))
    for number in numbers:
        steps.append(lake, [replace(SILVER, round=number)])
    steps.append(lake, [replace(SILVER, round=numbers[-1])])

    files = log.open_table(lake, "ops", "steps").get_add_actions().num_rows
    rows = arrow.read(lake, "ops", "steps")["round"].to_pylist()
    assert (files <= FRESH + RUNS, sorted(rows)) == (True, numbers)


def test_names_of_old_runs_are_forgotten(lake: Lake) -> None:
    steps.append(lake, [SILVER])

    settings = log.open_table(lake, "ops", "steps").metadata().configuration
    assert settings == {"delta.setTransactionRetentionDuration": "interval 7 days"}

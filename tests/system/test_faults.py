"""Runs that are killed, stopped, doubled and disturbed end as if nothing had happened.

A seed is a run of faults of its own, compared with the oracle; what it came to is kept under
out/faults, and with RESUME=1 a seed that came out right is not run again. ``SEEDS=200`` runs so
many, ``STORES=20`` sends as many runs through a store that fails, each in its own way. Runs that
are stopped and go on behind another one are in test_zombies.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from random import Random
from threading import Event

import pytest

from feldspar.stores.tables.steps import newest
from support.faults import report
from support.faults.points import POINTS
from support.faults.seeded import (
    FILES,
    KINDS,
    LEAVE_ROWS,
    NEED_ROWS,
    SECOND,
    WIPED,
    Outcome,
    disturbances,
    run_seed,
)
from support.killing import Project, write_payments
from support.places import REPOSITORY, LocalStack
from support.s3_faults import Fault, FaultyS3, faulty_s3, one_in
from support.valkey import valkey

OUT = REPOSITORY / "out" / "faults"
SEED = int(os.environ.get("SEED", "1"))
SEEDS = range(SEED, SEED + int(os.environ.get("SEEDS", "5")))
STORES = range(SEED, SEED + int(os.environ.get("STORES", "1")))


@pytest.fixture(scope="module")
def outcome_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Outcome]:
    """What a seed came to; run by whichever test asks first."""

    @cache
    def outcome(seed: int) -> Outcome:
        done = report.load(OUT, seed) if os.environ.get("RESUME") else None
        if done is None:
            done = run_seed(seed, tmp_path_factory.mktemp(f"seed{seed}"))
            report.save(OUT, done)
        return done

    return outcome


@pytest.mark.parametrize("seed", SEEDS)
def test_a_run_of_faults_ends_as_the_oracle_says(
    outcome_of: Callable[[int], Outcome], seed: int
) -> None:
    assert outcome_of(seed).differences == ()


def test_every_kind_of_fault_was_met_and_the_report_says_how_often(
    outcome_of: Callable[[int], Outcome],
) -> None:
    outcomes = [outcome_of(seed) for seed in SEEDS]
    report.write(OUT, outcomes)
    missed = [name for name, number in report.hits_of(outcomes).items() if not number]
    assert len(outcomes) * FILES < len(KINDS) or missed == []


def test_every_point_is_drawn_and_none_that_needs_rows_comes_first() -> None:
    drawn = [disturbances(seed) for seed in range(len(KINDS))]

    early = [one for one in drawn if NEED_ROWS & {*one} and one[0] not in LEAVE_ROWS]
    assert ({*KINDS}, early) == ({*POINTS, WIPED, SECOND}, [])


def test_a_seed_that_came_out_right_is_not_run_again(tmp_path: Path) -> None:
    drawn = disturbances(7)
    right = Outcome(7, drawn, drawn, 600)
    others = [
        Outcome(8, disturbances(8), (), 600, ("silver lacks a row",)),
        Outcome(9, disturbances(8), (), 600),
    ]
    for outcome in (right, *others):
        report.save(tmp_path, outcome)

    assert [report.load(tmp_path, seed) for seed in (7, 8, 9, 10)] == [right, None, None, None]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """Streamed: one process takes the first file, and the second one when it comes."""
    with valkey(tmp_path_factory.mktemp("valkey")) as server:
        project = Project.make(tmp_path_factory.mktemp("undisturbed"), server.url)
        _first(project)
        with project.streaming() as process:
            project.wait_for(project.nothing_waits, process)
            _more(project)
            project.wait_for(project.nothing_waits, process)
        yield project


def _first(project: Project) -> None:
    write_payments(project.folder / "data" / "payments" / "first.csv", first=0, rows=600)


def _more(project: Project) -> None:
    write_payments(project.folder / "data" / "payments" / "second.csv", first=550, rows=300)


@pytest.mark.stack
def test_a_stream_that_hangs_ends_with_what_was_running(
    stack: LocalStack, tmp_path_factory: pytest.TempPathFactory
) -> None:
    ended = Event()

    def no_answer_to_rows(method: str, path: str) -> Fault:
        if method == "PUT" and "/bronze/" in path:
            ended.wait()
        return Fault.NONE

    storage = stack.environment.storage
    with (
        valkey(tmp_path_factory.mktemp("valkey")) as server,
        faulty_s3(str(storage.endpoint)) as proxy,
    ):
        folder = tmp_path_factory.mktemp("hanging")
        project = Project.make(folder, server.url, storage, through=proxy.endpoint)
        _first(project)
        proxy.chooser = no_answer_to_rows
        with project.streaming("--stuck-after", "15s") as process:
            code = project.code_of(process)
        ended.set()
        last = newest(project.lake)["bronze.payments"]
    said = re.search(
        r"round 1 is stuck: .*\n  ingest bronze.payments runs since", project.log_end()
    )
    assert (code, bool(said), last.outcome) == (1, True, "stuck")


@pytest.mark.stack
@pytest.mark.parametrize("seed", STORES)
def test_a_store_that_fails_one_call_in_twenty_changes_nothing(
    undisturbed: Project,
    stack: LocalStack,
    tmp_path_factory: pytest.TempPathFactory,
    seed: int,
) -> None:
    storage = stack.environment.storage
    with (
        valkey(tmp_path_factory.mktemp("valkey")) as server,
        faulty_s3(str(storage.endpoint)) as proxy,
    ):
        folder = tmp_path_factory.mktemp("faulty")
        project = Project.make(folder, server.url, storage, through=proxy.endpoint)
        _first(project)
        proxy.chooser = one_in(20, Random(seed))
        with project.streaming() as process:
            project.wait_for(project.nothing_waits, process)
            _more(project)
            project.wait_for(project.nothing_waits, process)
        expected, found = undisturbed.contents(), project.contents()
        online = project.online()
    _report(seed, proxy)
    assert {fault for fault, *_ in proxy.met} == {*Fault} - {Fault.NONE, Fault.PRAISED}
    assert {name for name in expected if expected[name] != found[name]} <= {"ops.runs"}
    assert online == undisturbed.online()


def _report(seed: int, proxy: FaultyS3) -> None:
    """out/faults/s3-<seed>.json: how many calls there were, and how many faults of each kind."""
    kinds = Counter(fault.name.lower() for fault, *_ in proxy.met)
    OUT.mkdir(parents=True, exist_ok=True)
    path = OUT / f"s3-{seed}.json"
    path.write_text(json.dumps({"seed": seed, "calls": proxy.calls, "faults": kinds}, indent=2))


def test_the_ledger_of_an_undisturbed_stream_has_what_came_in(undisturbed: Project) -> None:
    files = (undisturbed.folder / "data" / "payments").glob("*.csv")
    lines = sum(len(file.read_text(encoding="utf-8").splitlines()) - 1 for file in files)
    rows = undisturbed.contents()["ops.ledger"]
    assert sum(int(row["rows_in"]) for row in rows) == lines

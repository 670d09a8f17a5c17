"""Runs that are killed at any point and run again end like a stream that was never disturbed.

``ZOMBIES=20`` stops a run twenty times at each point and lets it go on behind another one;
``SEEDS=20`` sends as many runs through a store that fails, each in its own way.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest

from support.killing import Project, write_payments
from support.places import REPOSITORY, LocalStack
from support.s3_faults import Fault, FaultyS3, faulty_s3, one_in
from support.valkey import valkey

SILVER, GOLD = ("silver", "transactions"), ("gold", "last_payment")
QUARANTINE = ("quarantine", "transactions")
OVERTAKEN = re.compile("later run has taken over|another run has meanwhile|CONCURRENT_TRANSACTION")


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Two servers: each project needs a Redis of its own."""
    with (
        valkey(tmp_path_factory.mktemp("one")) as one,
        valkey(tmp_path_factory.mktemp("two")) as two,
    ):
        yield one.url, two.url


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, servers: tuple[str, str]) -> Project:
    """Streamed: one process takes the first file, and the second one when it comes."""
    project = Project.make(tmp_path_factory.mktemp("undisturbed"), servers[0])
    with project.streaming() as process:
        project.wait_for(project.nothing_waits, process)
        _more(project)
        project.wait_for(project.nothing_waits, process)
    return project


@pytest.fixture(scope="module")
def disturbed(tmp_path_factory: pytest.TempPathFactory, servers: tuple[str, str]) -> Project:
    """Killed five times: between bronze and its list, in silver's first append, between silver and
    the ledger; with one more file inside the MERGE into silver, and between gold and Redis."""
    project = Project.make(tmp_path_factory.mktemp("disturbed"), servers[1])
    project.kill_when(
        lambda: count(project, "bronze", "payments") == 1 and count(project, "ops", "files") == 0
    )
    project.kill_when(lambda: project.data_files(*SILVER) > 0 and count(project, *SILVER) == 0)
    project.kill_when(lambda: _has_rows(project) and count(project, "ops", "ledger") == 0)
    _more(project)
    project.kill_when(in_silver(project))
    project.kill_when(in_gold(project))
    project.apply()
    return project


def count(project: Project, layer: str, name: str) -> int:
    return len(project.commits(layer, name))


def _has_rows(project: Project) -> bool:
    """Whether silver's first rows are committed; the folder was not free, so it began empty."""
    return any('"add"' in text for text in project.commits(*SILVER))


def _more(project: Project) -> None:
    write_payments(project.folder / "data" / "payments" / "second.csv", first=550, rows=300)


def in_bronze(project: Project) -> Callable[[], bool]:
    """Rows are in bronze, and their file is not in the list."""
    loads = count(project, "bronze", "payments"), count(project, "ops", "files")
    return lambda: (
        count(project, "bronze", "payments") > loads[0]
        and count(project, "ops", "files") == loads[1]
    )


def in_quarantine(project: Project) -> Callable[[], bool]:
    """Refused rows are committed, and the valid ones are not."""
    refused, valid = count(project, *QUARANTINE), count(project, *SILVER)
    return lambda: count(project, *QUARANTINE) > refused and count(project, *SILVER) == valid


def in_silver(project: Project) -> Callable[[], bool]:
    """Files of a MERGE into silver are written and not committed."""
    commits, files = count(project, *SILVER), project.data_files(*SILVER)
    return lambda: project.data_files(*SILVER) > files and count(project, *SILVER) == commits


def before_the_ledger(project: Project) -> Callable[[], bool]:
    """Silver is committed, and the ledger does not confirm it."""
    commits, confirmed = count(project, *SILVER), count(project, "ops", "ledger")
    return lambda: (
        count(project, *SILVER) > commits and count(project, "ops", "ledger") == confirmed
    )


def in_gold(project: Project) -> Callable[[], bool]:
    """One of the gold tables is committed."""
    silver, gold = count(project, *SILVER), count(project, *GOLD)
    return lambda: count(project, *SILVER) > silver and count(project, *GOLD) > gold


POINTS = (in_silver, in_bronze, in_quarantine, before_the_ledger, in_gold)
TIMES = int(os.environ.get("ZOMBIES", "0"))
CASES = POINTS * TIMES or POINTS[:1]
SEEDS = int(os.environ.get("SEEDS", "1"))
SEED = int(os.environ.get("SEED", "1"))


@pytest.mark.stack
@pytest.mark.parametrize("point", CASES, ids=lambda one: one.__name__)
def test_a_run_that_goes_on_after_another_one_took_over_publishes_nothing(
    undisturbed: Project,
    stack: LocalStack,
    tmp_path_factory: pytest.TempPathFactory,
    point: Callable[[Project], Callable[[], bool]],
) -> None:
    with valkey(tmp_path_factory.mktemp("valkey")) as server:
        folder = tmp_path_factory.mktemp("overtaken")
        project = Project.make(folder, server.url, stack.environment.storage)
        with project.streaming() as stopped:
            project.wait_for(project.nothing_waits, stopped)
            reached = point(project)
            _more(project)
            project.stop_when(reached, stopped)
            project.apply()
            project.let_go(stopped)
            project.wait_for(lambda: bool(OVERTAKEN.search(project.log_end())), stopped)
        expected, found = undisturbed.contents(), project.contents()
        online = project.online()
    assert {name for name in expected if expected[name] != found[name]} == {"ops.runs"}
    assert online == undisturbed.online()


@pytest.mark.stack
@pytest.mark.parametrize("seed", range(SEED, SEED + SEEDS))
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
    path = REPOSITORY / "out" / "faults" / f"s3-{seed}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"seed": seed, "calls": proxy.calls, "faults": kinds}, indent=2))


def test_every_table_is_the_same(undisturbed: Project, disturbed: Project) -> None:
    expected, found = undisturbed.contents(), disturbed.contents()
    # a stream runs no suites, and a killed run is one more
    assert expected.keys() - {"ops.runs"} == found.keys() - {"ops.runs", "ops.validations"}
    for name in expected.keys() - {"ops.runs"}:
        assert found[name] == expected[name], name


def test_redis_is_the_same(undisturbed: Project, disturbed: Project) -> None:
    assert disturbed.online() == undisturbed.online()


def test_the_silver_table_holds_what_came_in(undisturbed: Project) -> None:
    rows = undisturbed.contents()["ops.ledger"]
    assert sum(int(row["rows_in"]) for row in rows) == _lines(undisturbed.folder)


def _lines(folder: Path) -> int:
    files = (folder / "data" / "payments").glob("*.csv")
    return sum(len(file.read_text(encoding="utf-8").splitlines()) - 1 for file in files)

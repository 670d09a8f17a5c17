"""A run that is killed at any point and run again ends like one that was never disturbed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.killing import Project, write_payments
from support.valkey import valkey


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
    project = Project.make(tmp_path_factory.mktemp("undisturbed"), servers[0])
    project.apply()
    _more(project)
    project.apply()
    return project


@pytest.fixture(scope="module")
def disturbed(tmp_path_factory: pytest.TempPathFactory, servers: tuple[str, str]) -> Project:
    """Killed five times: between bronze and its list, in silver's first append, between silver and
    the ledger; with one more file inside the MERGE into silver, and between gold and Redis."""
    project = Project.make(tmp_path_factory.mktemp("disturbed"), servers[1])
    project.kill_when(
        lambda: project.commits("bronze", "payments") == 1 and not project.commits("ops", "files")
    )
    project.kill_when(
        lambda: (
            project.data_files("silver", "transactions") > 0
            and project.commits("silver", "transactions") == 0
        )
    )
    project.kill_when(lambda: _has_rows(project) and not project.commits("ops", "ledger"))
    _more(project)
    silver = project.commits("silver", "transactions")
    files = project.data_files("silver", "transactions")
    project.kill_when(
        lambda: (
            project.data_files("silver", "transactions") > files
            and project.commits("silver", "transactions") == silver
        )
    )
    gold = project.commits("gold", "last_payment")
    project.kill_when(
        lambda: (
            project.commits("silver", "transactions") > silver
            and project.commits("gold", "last_payment") > gold
        )
    )
    project.apply()
    return project


def _has_rows(project: Project) -> bool:
    """Whether silver's first rows are committed; the folder was not free, so it began empty."""
    return any(
        '"add"' in commit.read_text(encoding="utf-8")
        for commit in project.log("silver", "transactions")
    )


def _more(project: Project) -> None:
    write_payments(project.folder / "data" / "payments" / "second.csv", first=550, rows=300)


def test_every_table_is_the_same(undisturbed: Project, disturbed: Project) -> None:
    expected, found = undisturbed.contents(), disturbed.contents()
    assert expected.keys() == found.keys()
    for name, rows in expected.items():
        if name != "ops.validations":
            assert found[name] == rows, name


def test_redis_is_the_same(undisturbed: Project, disturbed: Project) -> None:
    assert disturbed.online() == undisturbed.online()


def test_the_silver_table_holds_what_came_in(undisturbed: Project) -> None:
    rows = undisturbed.contents()["ops.ledger"]
    assert sum(int(row["rows_in"]) for row in rows) == _lines(undisturbed.folder)


def _lines(folder: Path) -> int:
    files = (folder / "data" / "payments").glob("*.csv")
    return sum(len(file.read_text(encoding="utf-8").splitlines()) - 1 for file in files)

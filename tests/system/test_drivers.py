"""Several Spark drivers append to one Delta table on S3 at the same time.

``DRIVERS=4 COMMITS=100 SERVERS=weed,minio`` makes it long.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO

import pytest
from deltalake import DeltaTable, write_deltalake
from pyarrow import table as arrow_table

from feldspar.spec.environment import StorageSpec
from support.driver import ROWS
from support.killing import Project
from support.places import REPOSITORY

pytestmark = pytest.mark.stack
DRIVERS = int(os.environ.get("DRIVERS", "2"))
COMMITS = int(os.environ.get("COMMITS", "4"))
TABLE = ("silver", "payments")
NO_REDIS = "redis://127.0.0.1:1/0"


@pytest.fixture
def project(s3: StorageSpec, tmp_path: Path) -> Project:
    return Project.make(tmp_path, NO_REDIS, s3)


@pytest.fixture
def drivers(project: Project, tmp_path: Path) -> Iterator[list]:
    """Drivers that wait for a line before their first commit, to an empty table."""
    empty = arrow_table({"driver": ["x"], "commit": [0], "row": [0]}).slice(1)
    lake = project.lake
    write_deltalake(lake.native_uri(*TABLE), empty, storage_options=lake.options())
    paths = os.pathsep.join(str(REPOSITORY / one) for one in ("lib", "tests"))
    with ExitStack() as running:
        started = []
        for number in range(DRIVERS):
            conf, table = str(tmp_path / "conf"), lake.uri(*TABLE)
            words = (conf, table, f"driver {number}", str(COMMITS))
            log = running.enter_context((tmp_path / f"{number}.log").open("wb"))
            process = subprocess.Popen(
                [sys.executable, "-m", "support.driver", *words],
                env={**os.environ, **project.variables, "PYTHONPATH": paths},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
            running.enter_context(process)
            running.callback(process.kill)
            started.append(process)
        yield started


def line_of(stream: IO[str] | None) -> str:
    assert stream is not None
    return stream.readline().strip()


def test_no_drivers_commit_is_lost_or_doubled(
    drivers: list[subprocess.Popen[str]], project: Project, tmp_path: Path
) -> None:
    assert [line_of(one.stdout) for one in drivers] == ["ready"] * DRIVERS
    for one in drivers:
        assert one.stdin is not None
        one.stdin.write("go\n")
        one.stdin.flush()
    acknowledged = {
        (number, int(line))
        for number, one in enumerate(drivers)
        for line in one.communicate()[0].splitlines()
    }
    logs = [(tmp_path / f"{number}.log").read_text()[-2000:] for number in range(DRIVERS)]
    assert [one.returncode for one in drivers] == [0] * DRIVERS, logs
    assert acknowledged == {(number, at) for number in range(DRIVERS) for at in range(COMMITS)}
    lake = project.lake
    found = DeltaTable(lake.native_uri(*TABLE), storage_options=lake.options())
    rows = found.to_pyarrow_table().to_pylist()
    assert found.version() == DRIVERS * COMMITS
    assert Counter((row["driver"], row["commit"]) for row in rows) == {
        (f"driver {number}", at): ROWS for number, at in acknowledged
    }

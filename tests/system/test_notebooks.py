"""Each notebook, run as plain Python against a small lake that a whole run has made."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import pytest

from support.documents import REPOSITORY

NOTEBOOKS = sorted((REPOSITORY / "notebooks").glob("*.py"))
PATIENCE = 300


class FinishedRun(Protocol):
    """What these tests need of ``small_lake``: a project's folder and its variables."""

    @property
    def folder(self) -> Path: ...
    @property
    def environ(self) -> Mapping[str, str]: ...


@pytest.mark.long
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_as_plain_python(path: Path, small_lake: FinishedRun) -> None:
    done = subprocess.run(
        [sys.executable, str(path)],
        cwd=small_lake.folder,
        env=dict(small_lake.environ),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"

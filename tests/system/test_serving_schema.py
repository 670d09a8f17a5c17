"""The running server against its own OpenAPI document, by requests that schemathesis makes up.

Examples, borders, random, wrong and linked ones. ``FUZZ=20000`` sends at least so many to each app.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from feldspar.serving.app import create_app
from feldspar.serving.backend import Backend
from feldspar.stores.online import OnlineStore
from feldspar.times import utc_now
from support.http import serving
from support.scoring import Payment, crown_champion, environment_with, put_features, small_graph
from support.valkey import valkey
from support.visits import visits_project

WANTED = int(os.environ.get("FUZZ", "0"))
PAYMENTS = {1: [Payment(11, 10.0, 0.5), Payment(12, 30.0, 5)], 2: [Payment(21, 7.0, 100)]}
_SHORT, _LONG = 8, 200
"""Random requests of an operation, beside the examples and the borders."""


@pytest.fixture
def scoring(tmp_path: Path) -> Iterator[httpx.Client]:
    with valkey(tmp_path / "valkey") as server:
        graph = small_graph(tmp_path)
        environment = environment_with(tmp_path, server.url, "schema")
        for model in ("fraud", "lending"):
            crown_champion(graph, environment, model)
        with OnlineStore.of(environment) as store:
            put_features(graph, store, PAYMENTS)
        with serving(create_app(Backend(graph, environment))) as found:
            yield found


@pytest.fixture
def pushing(tmp_path: Path) -> Iterator[httpx.Client]:
    with valkey(tmp_path / "valkey") as server:
        visits = visits_project(tmp_path, server.url, "schema")
        with OnlineStore.of(visits.environment) as store:
            put_features(visits.graph, store, PAYMENTS)
        with serving(create_app(Backend(visits.graph, visits.environment))) as found:
            yield found


def test_scores_and_features_keep_what_the_openapi_document_says(
    scoring: httpx.Client, tmp_path: Path
) -> None:
    _hold(scoring, tmp_path, floor="2024-05-14T00:00:00Z")


def test_pushes_keep_what_the_openapi_document_says(pushing: httpx.Client, tmp_path: Path) -> None:
    _hold(pushing, tmp_path, floor=(utc_now() - timedelta(days=1)).isoformat())


def _hold(client: httpx.Client, folder: Path, *, floor: str) -> None:
    sent, seed = 0, 0
    while sent < max(WANTED, 1):
        seed += 1
        done = _fuzz(client, folder, floor=floor, seed=seed)
        assert done.returncode == 0, done.stdout
        sent += _sent(done.stdout)


def _fuzz(
    client: httpx.Client, folder: Path, *, floor: str, seed: int
) -> subprocess.CompletedProcess[str]:
    examples = _LONG if WANTED else _SHORT
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "run", f"{client.base_url}/openapi.json"),
        *("--checks", "all", "--mode", "all", "--seed", str(seed)),
        *("--max-examples", str(examples), "--continue-on-failure", "--no-color"),
        *("--generation-database", "none", "--request-timeout", "120"),
    ]
    variables = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "SCHEMATHESIS_HOOKS": "support.fuzz_hooks",
        "FUZZ_FLOOR": floor,
        "NO_PROXY": "127.0.0.1",
    }
    return subprocess.run(
        command, cwd=folder, env=variables, capture_output=True, text=True, check=False
    )


def _sent(report: str) -> int:
    return sum(int(one) for one in re.findall(r"^\s+(\d+) generated", report, re.MULTILINE))

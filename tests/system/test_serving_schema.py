"""The running server against its own OpenAPI document, by requests that schemathesis makes up.

Examples, borders, random, wrong and linked ones. ``FUZZ=20000`` sends at least so many.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from feldspar.serving.app import create_app
from feldspar.serving.backend import Backend
from feldspar.stores.online import OnlineStore
from support.http import serving
from support.scoring import Payment, crown_champion, environment_with, put_features, small_graph
from support.valkey import valkey

WANTED = int(os.environ.get("FUZZ", "0"))
PAYMENTS = {1: [Payment(11, 10.0, 0.5), Payment(12, 30.0, 5)], 2: [Payment(21, 7.0, 100)]}
HOOKS = "support.fuzz_hooks"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    folder = tmp_path_factory.mktemp("schema")
    with valkey(folder / "valkey") as server:
        graph = small_graph(folder)
        environment = environment_with(folder, server.url, "schema")
        for model in ("fraud", "lending"):
            crown_champion(graph, environment, model)
        with OnlineStore.of(environment) as store:
            put_features(graph, store, PAYMENTS)
        with serving(create_app(Backend(graph, environment))) as found:
            yield found


def test_the_server_keeps_what_its_openapi_document_says(
    client: httpx.Client, tmp_path: Path
) -> None:
    sent, seed = 0, 0
    while sent < max(WANTED, 1):
        seed += 1
        done = _fuzz(client, tmp_path, seed=seed, examples=200 if WANTED else 8)
        assert done.returncode == 0, done.stdout
        sent += _sent(done.stdout)


def _fuzz(
    client: httpx.Client, folder: Path, *, seed: int, examples: int
) -> subprocess.CompletedProcess[str]:
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "run", f"{client.base_url}/openapi.json"),
        *("--checks", "all", "--mode", "all", "--seed", str(seed)),
        *("--max-examples", str(examples), "--continue-on-failure", "--no-color"),
        *("--generation-database", "none"),
    ]
    variables = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "SCHEMATHESIS_HOOKS": HOOKS,
        "NO_PROXY": "127.0.0.1",
    }
    return subprocess.run(
        command, cwd=folder, env=variables, capture_output=True, text=True, check=False
    )


def _sent(report: str) -> int:
    return sum(int(one) for one in re.findall(r"^\s+(\d+) generated", report, re.MULTILINE))

"""``python -m feldspar.serving`` as a process of its own, by any interpreter that has Feldspar."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from feldspar.stack.ports import HOST, free_port
from feldspar.stack.processes import ProcessId, ended_within, spawn, stop

_ENVIRONMENT = """\
namespace: {namespace}
clock: data
storage: {{root: lake}}
redis: {{url: "${{SHOP_REDIS}}"}}
mlflow: {{tracking_uri: "${{SHOP_MLFLOW}}"}}
"""
_POLL_SECONDS = 0.2
_TRIES = 600


@dataclass(frozen=True)
class Running:
    """A process that answers, and a client of it."""

    client: httpx.Client
    process: ProcessId


def served_project(folder: Path, namespace: str, redis_url: str) -> dict[str, str]:
    """Writes the environment ``shop`` of the project in ``folder``; the variables to serve it."""
    place = folder / "conf" / "environments"
    place.mkdir(parents=True)
    text = _ENVIRONMENT.format(namespace=namespace)
    (place / "shop.yaml").write_text(text, encoding="utf-8")
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "FELDSPAR_CONF": str(folder / "conf"),
        "FELDSPAR_ENV": "shop",
        "SHOP_REDIS": redis_url,
        "SHOP_MLFLOW": f"sqlite:///{folder / 'mlflow.db'}",
    }


@contextmanager
def serving_process(
    python: Path, variables: Mapping[str, str], *, log: Path
) -> Iterator[httpx.Client]:
    """A client of the process, once it answers; what it said is in ``log``."""
    with running_process(python, variables, log=log) as running:
        yield running.client


@contextmanager
def running_process(python: Path, variables: Mapping[str, str], *, log: Path) -> Iterator[Running]:
    """The process, once it answers; what it said is in ``log``."""
    port = free_port(())
    command = [str(python), "-m", "feldspar.serving", "--host", HOST, "--port", str(port)]
    process = spawn(command, variables=dict(variables), log=log)
    try:
        url = f"http://{HOST}:{port}"
        with httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
            for _ in range(_TRIES):
                if _answers(client) or ended_within(process, _POLL_SECONDS):
                    break
            assert _answers(client), log.read_text(encoding="utf-8")
            yield Running(client, process)
    finally:
        stop([process])


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("/health").status_code == 200
    except httpx.TransportError:
        return False

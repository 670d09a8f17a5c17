"""The servers of the serving benchmark: Redis with everything in it, ours, and Feast's."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from bench import online_data
from bench.load import Call, Watched
from feldspar.stack.ports import HOST, free_port
from feldspar.stack.processes import ended_within, spawn, stop
from support.scoring import NOON
from support.valkey import Valkey, valkey

READY = "/health"
_POLL_SECONDS = 0.1
_TRIES = 1_200
_FEAST = Path(__file__).parent / "rivals" / "feast_online.py"
Body = Mapping[str, Any]


@dataclass(frozen=True)
class Server:
    """One server that answers."""

    port: int
    watched: Watched

    def url(self, path: str) -> str:
        return f"http://{HOST}:{self.port}{path}"

    def post(self, path: str, body: Body) -> Any:
        """The answer; one connection for one request."""
        status, answer = _request(self.port, "POST", path, body)
        if status != 200:
            raise SystemExit(f"{path} answers {status}: {answer}")
        return answer


@dataclass(frozen=True)
class Contestant:
    """A server of features and how it is asked for those of some customers."""

    name: str
    server: Server
    path: str

    def call(self, asked: Sequence[Sequence[int]]) -> Call:
        return Call(self.server.url(self.path), [self.body(customers) for customers in asked])

    def body(self, customers: Sequence[int]) -> Body:
        """The request for these customers."""
        if self.name == "feast":
            names = {"feature_service": online_data.WIDE}
            return {**names, "entities": {"customer_id": list(customers)}}
        if len(customers) == 1:
            return {"service": online_data.WIDE, "customer_id": customers[0]}
        return {"entities": [{"customer_id": one} for one in customers]}

    def values(self, customers: Sequence[int]) -> list[dict[str, float]]:
        """What is answered, by bare feature name, in the order of customers."""
        answer = self.server.post(self.path, self.body(customers))
        if self.name == "feast":
            names = answer["metadata"]["feature_names"]
            columns = [one["values"] for one in answer["results"]]
            rows = [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
            return [{name: one[name] for name in one if name != "customer_id"} for one in rows]
        found = [answer] if len(customers) == 1 else answer["answers"]
        return [
            {name.partition("__")[2]: value for name, value in one["features"].items()}
            for one in found
        ]


@contextmanager
def store(folder: Path) -> Iterator[tuple[Valkey, Path]]:
    """A filled Redis and the conf folder of the project that is in it, both made anew."""
    shutil.rmtree(folder, ignore_errors=True)
    with valkey(folder / "valkey") as server:
        conf = online_data.write_project(folder, server.url)
        online_data.fill(conf)
        yield server, conf


@contextmanager
def feldspar(conf: Path, redis: Valkey, *, workers: int) -> Iterator[tuple[Server, float]]:
    """Our server, and how long its first request took, in milliseconds."""
    port = free_port(())
    command = [
        *(sys.executable, "-m", "feldspar.serving", "--host", HOST, "--port", str(port)),
        *("--workers", str(workers)),
    ]
    variables = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "FELDSPAR_CONF": str(conf),
        "FELDSPAR_ENV": online_data.NAMESPACE,
    }
    with _running(command, variables, port, redis, log=conf.parent / "feldspar.log") as server:
        began = time.perf_counter()
        server.post("/score", {"customer_id": 1})
        yield server, (time.perf_counter() - began) * 1e3


@contextmanager
def feast(python: Path, folder: Path, redis: Valkey, *, workers: int) -> Iterator[Server]:
    """Feast's server, its values in the same Redis.

    A worker would end after a thousand requests, and read the registry every minute: both off.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for view in online_data.PLAIN:
        rows = pd.DataFrame(online_data.values_of(view), columns=online_data.names_of(view))
        rows.insert(0, "customer_id", range(1, online_data.CUSTOMERS + 1))
        rows.insert(1, "event_time", pd.Timestamp(NOON))
        rows.to_parquet(folder / f"{view}.parquet")
    variables = {**os.environ, "FEAST_USAGE": "False", "OMP_NUM_THREADS": "1"}
    address = redis.url.removeprefix("redis://").partition("/")[0]
    subprocess.run([python, _FEAST, folder, address], env=variables, check=True)
    port = free_port(())
    command = [
        *(str(python.with_name("feast")), "--chdir", str(folder), "serve", "--host", HOST),
        *("--port", str(port), "--workers", str(workers), "--no-access-log"),
        *("--max-requests", "0", "--max-requests-jitter", "0", "--registry_ttl_sec", "3600"),
    ]
    with _running(command, variables, port, redis, log=folder / "feast.log") as server:
        yield server


@contextmanager
def _running(
    command: Sequence[str], variables: Mapping[str, str], port: int, redis: Valkey, *, log: Path
) -> Iterator[Server]:
    process = spawn(command, variables=variables, log=log)
    try:
        for _ in range(_TRIES):
            if _answers(port) or ended_within(process, _POLL_SECONDS):
                break
        if not _answers(port):
            raise SystemExit(f"{command[0]} does not answer: see {log}")
        assert redis.process is not None
        yield Server(port, Watched(process.pid, redis.process.pid))
    finally:
        stop([process])


def _answers(port: int) -> bool:
    try:
        return _request(port, "GET", READY, None)[0] == 200
    except OSError:
        return False


def _request(port: int, method: str, path: str, body: Body | None) -> tuple[int, Any]:
    connection = http.client.HTTPConnection(HOST, port, timeout=60)
    try:
        text = None if body is None else json.dumps(body)
        connection.request(method, path, text, {"content-type": "application/json"})
        answer = connection.getresponse()
        content = answer.read()
        return answer.status, json.loads(content) if content else None
    finally:
        connection.close()

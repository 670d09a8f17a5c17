"""Drivers that are stopped at a point of their work, with all of their processes, and go on later.

A point is a request: it is held back on its way to S3 or Redis, the driver is stopped while it
waits, and the request goes on when the driver does, however much has happened meanwhile.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Lock
from typing import Any

import psutil

from feldspar.stores.newest import WRITE
from feldspar.stores.servers import Script
from feldspar.stores.tables.log import FENCE
from support.killing import MOST_SECONDS, Project
from support.places import REPOSITORY
from support.relay import Relay
from support.s3_faults import FaultyS3

Fits = Callable[[str, str, bytes], bool]
"""Whether a request is the one that is held, by method, path and body; Redis has no path."""
TO_REDIS = "SEND"
COMMITTED = (
    "silver/transactions",
    "bronze/payments",
    "ops/ledger",
    "gold/customer_spend",
    "quarantine/transactions",
    "ops/files",
    "gold/last_payment",
)
"""Tables that a round commits rows to."""
_POLL_SECONDS = 0.05


def before_its_claim(time: int) -> Fits:
    """It has made its plan, and no table knows of it: no epoch yet, or no fence."""
    if time % 2:
        return lambda method, path, _: method == "PUT" and "/ops/runs/_delta_log/" in path
    return lambda method, path, body: method == "PUT" and _is_log(path) and FENCE.encode() in body


def after_its_claim(_: int) -> Fits:
    """Its fence is the newest, and nothing is written."""
    return lambda method, path, _: method == "PUT" and "/bronze/" in path and _is_rows(path)


def inside_a_commit(time: int) -> Fits:
    """Its rows are there, and the request that makes them count is on its way; a table in turn."""
    log = f"/{COMMITTED[time % len(COMMITTED)]}/_delta_log/"

    def fits(method: str, path: str, body: bytes) -> bool:
        return method == "PUT" and log in path and _is_log(path) and FENCE.encode() not in body

    return fits


def before_the_ledger(_: int) -> Fits:
    """Silver has a batch that the ledger does not confirm."""
    return lambda method, path, _: method == "PUT" and "/ops/ledger/" in path and _is_rows(path)


def before_redis(_: int) -> Fits:
    """Gold has rows that Redis does not have: the first of them are on their way."""
    script = Script(WRITE).sha.encode()
    return lambda method, _, body: method == TO_REDIS and script in body


POINTS: Mapping[str, Callable[[int], Fits]] = {
    one.__name__: one
    for one in (
        before_its_claim,
        after_its_claim,
        before_the_ledger,
        before_redis,
        inside_a_commit,
    )
}


def _is_log(path: str) -> bool:
    return "/_delta_log/" in path and ".json" in path


def _is_rows(path: str) -> bool:
    return ".parquet" in path and "/_delta_log/" not in path


@dataclass
class Held:
    """The first request that fits waits until it is let go; those after it go through."""

    fits: Fits
    reached: Event = field(default_factory=Event)
    go: Event = field(default_factory=Event)
    _lock: Lock = field(default_factory=Lock)

    def __call__(self, method: str, path: str, body: bytes) -> None:
        with self._lock:
            if self.reached.is_set() or not self.fits(method, path, body):
                return
            self.reached.set()
        self.go.wait()

    @contextmanager
    def over(self, s3: FaultyS3, redis: Relay) -> Iterator[None]:
        """Holds what goes through these two."""
        through = s3.gate, redis.gate
        s3.gate, redis.gate = self, lambda data: self(TO_REDIS, "", data)
        try:
            yield
        finally:
            s3.gate, redis.gate = through
            self.go.set()


@dataclass(frozen=True)
class Driver:
    """A process of ``support.rounds``."""

    process: subprocess.Popen[bytes]
    log: Path

    def tell(self, word: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{word}\n".encode())
        self.process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        """What it says next, or with which code it ended."""
        assert self.process.stdout is not None
        assert self._speaks(MOST_SECONDS), f"it says nothing\n{self.said()}"
        line = self.process.stdout.readline()
        found: dict[str, Any] = json.loads(line) if line else {"code": self.process.wait()}
        return found

    def said(self) -> str:
        """The end of its progress and errors."""
        return self.log.read_text(encoding="utf-8")[-4_000:]

    def wait_for(self, held: Held) -> None:
        """Until one of its requests is held."""
        for _ in range(int(MOST_SECONDS / _POLL_SECONDS)):
            if held.reached.wait(_POLL_SECONDS):
                return
            assert not self._speaks(0), f"it ended before that: {self.answer()}\n{self.said()}"
        raise AssertionError(f"it never came to that\n{self.said()}")

    def stop(self) -> None:
        """SIGSTOP to all of its processes: each is stopped before its children are looked for.

        Spark's Python workers have a process group of their own.
        """
        _signal(psutil.Process(self.process.pid), signal.SIGSTOP)

    def let_go(self) -> None:
        _signal(psutil.Process(self.process.pid), signal.SIGCONT)

    def _speaks(self, seconds: float) -> bool:
        # one line an answer: nothing waits in a buffer that has been read
        return bool(select.select([self.process.stdout], [], [], seconds)[0])


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    process.send_signal(number)
    for child in process.children():
        _signal(child, number)


def _kill(process: psutil.Process) -> None:
    family = [process, *process.children(recursive=True)]
    for one in family:
        # what has ended already is no matter
        with suppress(psutil.NoSuchProcess):
            one.kill()


@contextmanager
def driver(project: Project, environment: str) -> Iterator[Driver]:
    """A running driver; killed at the end, with all of its processes."""
    paths = os.pathsep.join(str(REPOSITORY / one) for one in ("lib", "tests"))
    log = project.folder / f"{environment}.log"
    command = [sys.executable, "-m", "support.rounds", str(project.folder / "conf"), environment]
    with log.open("ab") as words:
        process = subprocess.Popen(
            command,
            env={**os.environ, **project.variables, "PYTHONPATH": paths},
            cwd=project.folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=words,
            bufsize=0,
        )
    with process:
        try:
            yield Driver(process, log)
        finally:
            if process.poll() is None:
                _kill(psutil.Process(process.pid))

"""One process a rival, held up between runs: orders, time limits, and what its whole tree used.

Memory is the resident sizes of the tree added up, sampled four times a second: pages that forked
Python workers share are counted for each of them, so it is an upper bound.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil

from bench.inputs import Inputs, Settings, as_document

_SAMPLE_SECONDS = 0.25
_SECONDS_TO_START = 300.0
_SECONDS_TO_END = 10
_LINES_OF_LOG = 3


class StoppedError(Exception):
    """A rival took longer than it was given, and was ended."""


class FailedError(Exception):
    """A rival ended by an error of its own."""


@dataclass(frozen=True)
class Usage:
    """What one order cost.

    Attributes:
        seconds: wall clock, measured inside the process.
        cpu_seconds: of all processes of the tree.
        peak_bytes: of the tree.
        worker_bytes: of its largest Python process below the first.
        shuffled_bytes: written for Spark's shuffles.
    """

    seconds: float
    cpu_seconds: float
    peak_bytes: int
    worker_bytes: int
    shuffled_bytes: int


@dataclass(frozen=True)
class Order:
    """One thing to do: ``prepare``, ``run`` or ``extend`` (see rivals/engine.py)."""

    do: str
    data: Inputs
    layout: Path
    out: Path
    options: Mapping[str, str]

    def as_line(self) -> bytes:
        document: dict[str, Any] = {
            "do": self.do,
            "data": as_document(self.data),
            "layout": str(self.layout),
            "out": str(self.out),
            "options": dict(self.options),
        }
        return json.dumps(document).encode() + b"\n"


class Worker:
    """The process of one rival; starting it takes until its session is open.

    Args:
        command: the Python and ``module:class``.
        settings: what the rival is told.
        variables: its environment.
        log: file for all that it prints.

    Raises:
        FailedError: it ended by an error.
        StoppedError: it did not start in time.
    """

    def __init__(
        self,
        command: tuple[Path, str],
        settings: Settings,
        *,
        variables: Mapping[str, str],
        log: Path,
    ) -> None:
        python, target = command
        document = json.dumps({**settings.__dict__, "options": dict(settings.options)})
        arguments = [str(python), "-m", "bench.rivals.worker", target, document]
        self._log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        began = time.monotonic()
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                arguments,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                env=dict(variables),
            )
        self.start = replace(self._answer(_SECONDS_TO_START), seconds=time.monotonic() - began)

    def obey(self, order: Order, *, limit: float) -> Usage:
        """Carries out an order, then lets the rival give memory back, which is not measured.

        Raises:
            FailedError: the process ended by an error.
            StoppedError: the limit, in seconds, was passed.
        """
        self._send(order.as_line())
        usage = self._answer(limit)
        self._send(b'{"do": "rest"}\n')
        self._answer(limit)
        return usage

    def _send(self, line: bytes) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(line)
            self._process.stdin.flush()

    def stop(self) -> None:
        """Ends the process and all that it started."""
        processes = _tree(self._process.pid)
        for one in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
        psutil.wait_procs(processes, timeout=_SECONDS_TO_END)
        self._process.wait(_SECONDS_TO_END)
        for stream in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(BrokenPipeError):
                if stream is not None:
                    stream.close()

    def _answer(self, limit: float) -> Usage:
        assert self._process.stdout is not None
        output = self._process.stdout
        began, before = time.monotonic(), _cpu_seconds(_tree(self._process.pid))
        peak = worker = 0
        while not select.select([output], [], [], _SAMPLE_SECONDS)[0]:
            sizes = _sizes(_tree(self._process.pid))
            peak, worker = max(peak, sum(size for size, _ in sizes)), max(worker, _largest(sizes))
            if time.monotonic() - began > limit:
                self.stop()
                raise StoppedError(f"stopped at {limit:.0f} s")
        line = output.readline()
        if not line:
            raise FailedError(self._last_words())
        document = json.loads(line)
        tree = _tree(self._process.pid)
        sizes = _sizes(tree)
        return Usage(
            seconds=document["seconds"],
            cpu_seconds=max(0.0, _cpu_seconds(tree) - before),
            peak_bytes=max(peak, sum(size for size, _ in sizes)),
            worker_bytes=max(worker, _largest(sizes)),
            shuffled_bytes=document.get("shuffled_bytes", 0),
        )

    def _last_words(self) -> str:
        lines = self._log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return f"failed, see {self._log.name}: " + " | ".join(lines[-_LINES_OF_LOG:])[-300:]


def variables_for(paths: Sequence[Path], *, cores: int, java: Path) -> dict[str, str]:
    """The environment of a rival's process, of which its Python path is the own one."""
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(str(path) for path in paths),
        "POLARS_MAX_THREADS": str(cores),
        "OMP_NUM_THREADS": str(cores),
        "JAVA_HOME": str(java),
        "FEAST_USAGE": "False",
    }


def _tree(root: int) -> list[psutil.Process]:
    try:
        first = psutil.Process(root)
        return [first, *first.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _sizes(tree: Sequence[psutil.Process]) -> list[tuple[int, bool]]:
    """Resident bytes of each process, and whether it is a Python one."""
    found = []
    for one in tree:
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            found.append((one.memory_info().rss, one.name().startswith("python")))
    return found


def _largest(sizes: Sequence[tuple[int, bool]]) -> int:
    return max((size for size, is_python in sizes[1:] if is_python), default=0)


def _cpu_seconds(tree: Sequence[psutil.Process]) -> float:
    """Of the processes that live, and of those that they have waited for."""
    total = 0.0
    for one in tree:
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            used = one.cpu_times()
            total += used.user + used.system + used.children_user + used.children_system
    return total

"""Requests at constant arrivals, whatever the server does: how long each took from when it was due.

Vegeta sends them; a request that leaves late, because the machine or the server was busy, counts
from the moment it should have left, so that no delay hides another (coordinated omission).
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import psutil
import pyarrow.csv as arrow_csv

VEGETA = "github.com/tsenart/vegeta/v12@v12.13.0"
_PATIENCE = "10s"
_MOST_AT_ONCE = 1_000
_NANOS = 1_000_000_000
_COLUMNS = ("at", "code", "took", "out", "in", "error", "body", "name", "number")
_REST = ("method", "url", "headers")
Nanos = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Call:
    """One kind of request: ``bodies`` are sent in turn."""

    url: str
    bodies: Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Load:
    """What came of some requests at one rate; times in milliseconds, from when they were due.

    Attributes:
        rate: asked for, requests a second; 0: as fast as answers came.
        answered: correct answers a second.
        errors: how many were not answered with 200.
        late_p99: how late the generator sent, which is part of every time.
        generator, server, store: processors that each kept busy.
        minutes: p99 of each minute.
    """

    rate: float
    requests: int
    seconds: float
    answered: float
    p50: float
    p99: float
    p999: float
    worst: float
    errors: int
    said: Mapping[str, int]
    late_p99: float
    generator: float
    server: float
    store: float
    minutes: tuple[float, ...]


class Generator:
    """Vegeta, built by Go at the first use and kept in ``folder``."""

    def __init__(self, folder: Path, *, progress: Callable[[str], None]) -> None:
        self._folder = folder
        self._program = folder / "bin" / "vegeta"
        if not self._program.exists():
            progress(f"building {VEGETA}")
            _build(folder / "bin")

    def constant(self, call: Call, *, rate: float, requests: int, watched: Watched) -> Load:
        """``requests`` at ``rate`` a second."""
        text = f"{round(rate * 60)}/1m"
        seconds = requests / rate
        options = [f"-rate={text}", f"-max-workers={_MOST_AT_ONCE}"]
        return self._attack(call, options, rate=round(rate * 60) / 60, seconds=seconds, on=watched)

    def closed(self, call: Call, *, callers: int, seconds: float, watched: Watched) -> Load:
        """As many as ``callers`` get answered when each asks again at once: saturation."""
        options = ["-rate=0", f"-max-workers={callers}", f"-workers={callers}"]
        return self._attack(call, options, rate=0.0, seconds=seconds, on=watched)

    def _attack(
        self, call: Call, options: Sequence[str], *, rate: float, seconds: float, on: Watched
    ) -> Load:
        targets, results = self._folder / "targets.json", self._folder / "results.bin"
        targets.write_text("".join(_targets(call)), encoding="utf-8")
        command = [
            *(str(self._program), "attack", "-format=json", f"-targets={targets}"),
            *("-max-body=0", f"-timeout={_PATIENCE}", f"-duration={seconds:.3f}s"),
            *(f"-output={results}", *options),
        ]
        before = on.seconds()
        used = _run(command)
        after = on.seconds()
        table = self._read(results)
        results.unlink()
        shares = [(late - early) / seconds for early, late in zip(before, after, strict=True)]
        return figures(table, rate=rate, shares=(used / seconds, *shares))

    def _read(self, results: Path) -> dict[str, Any]:
        command = [str(self._program), "encode", "-to=csv", str(results)]
        kept = ["at", "code", "took", "error", "number"]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as encoder:
            table = arrow_csv.read_csv(
                encoder.stdout,
                read_options=arrow_csv.ReadOptions(column_names=[*_COLUMNS, *_REST]),
                parse_options=arrow_csv.ParseOptions(newlines_in_values=True),
                convert_options=arrow_csv.ConvertOptions(include_columns=kept),
            ).sort_by("number")
        return {name: table.column(name).to_numpy() for name in kept}


@dataclass(frozen=True)
class Watched:
    """The processes whose work is measured; children count with their parent."""

    server: int
    store: int

    def seconds(self) -> tuple[float, float]:
        """Processor seconds that server and store have used."""
        return _cpu(self.server), _cpu(self.store)

    def memory(self) -> int:
        """Resident bytes of the server."""
        return sum(one.memory_info().rss for one in _tree(self.server))


def figures(table: Mapping[str, Any], *, rate: float, shares: Sequence[float]) -> Load:
    """What the generator recorded, as figures.

    Args:
        table: ``at`` (when sent) and ``took``, both in nanoseconds, ``code``, ``error`` and
            ``number``, in the order of numbers.
        rate: that was asked for, requests a second; 0: none.
        shares: processors that generator, server and store kept busy.
    """
    began, took, codes = table["at"].astype(np.int64), table["took"], table["code"]
    due = _due(began, table["number"], rate)
    ends = began + took
    times = (ends - due) / 1e6
    seconds = float(ends.max() - due.min()) / _NANOS
    right = codes == 200
    p50, p99, p999 = np.percentile(times, (50, 99, 99.9))
    generator, server, store = shares
    return Load(
        rate=rate,
        requests=len(times),
        seconds=seconds,
        answered=float(right.sum()) / seconds,
        p50=float(p50),
        p99=float(p99),
        p999=float(p999),
        worst=float(times.max()),
        errors=int((~right).sum()),
        said=_said(codes, table["error"]),
        late_p99=float(np.percentile((began - due) / 1e6, 99)),
        generator=generator,
        server=server,
        store=store,
        minutes=_minutes(due, times),
    )


def _due(began: Nanos, number: Nanos, rate: float) -> Nanos:
    """When each should have left: at even distances, and none before it could."""
    if not rate:
        return began
    even = (number.astype(np.float64) * _NANOS / rate).astype(np.int64)
    due: Nanos = even + (began - even).min()
    return due


def _minutes(due: Nanos, times: npt.NDArray[np.float64]) -> tuple[float, ...]:
    """Whole minutes; a shorter run is one."""
    minute = (due - due.min()) // (60 * _NANOS)
    whole = range(max(1, int((due.max() - due.min() + _NANOS) // (60 * _NANOS))))
    return tuple(float(np.percentile(times[minute == one], 99)) for one in whole)


def _said(codes: npt.NDArray[Any], errors: npt.NDArray[Any]) -> dict[str, int]:
    wrong = codes != 200
    found: dict[str, int] = {}
    for code, error in zip(codes[wrong], errors[wrong], strict=True):
        text = f"{code} {error}".strip()[:120]
        found[text] = found.get(text, 0) + 1
    return found


def _targets(call: Call) -> Iterable[str]:
    head = {"method": "POST", "url": call.url, "header": {"Content-Type": ["application/json"]}}
    for body in call.bodies:
        text = json.dumps(body).encode()
        yield json.dumps({**head, "body": base64.b64encode(text).decode()}) + "\n"


def _run(command: Sequence[str]) -> float:
    """Runs to the end; returns the processor seconds that it took."""
    process = subprocess.Popen(command)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"vegeta ended with {process.returncode}")
    return used.ru_utime + used.ru_stime


def _build(folder: Path) -> None:
    go = shutil.which("go")
    if go is None:
        raise SystemExit(f"the load generator {VEGETA} is built by Go: install Go 1.22 or newer")
    variables = {**os.environ, "GOBIN": str(folder.resolve())}
    subprocess.run([go, "install", VEGETA], env=variables, check=True)


def _cpu(pid: int) -> float:
    times = [one.cpu_times() for one in _tree(pid)]
    return sum(one.user + one.system for one in times)


def _tree(pid: int) -> list[psutil.Process]:
    first = psutil.Process(pid)
    return [first, *first.children(recursive=True)]

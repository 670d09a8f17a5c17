"""``make bench-stream``: how long a payment takes from its file to Redis, at some rates.

A file comes each second. `feldspar stream` takes it through bronze, checks, quarantine, silver,
ledger and gold of two views to Redis; beside it, in a run of its own, a bare Spark stream copies
the same files to one Delta table. A payment's time is that from the end of the second it belongs to
until Redis (or the table) has it; the newest payment of each file says when. What came in the first
seconds, while a session starts, is left out. Where a round's seconds go is told from ``ops.steps``.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from feldspar.launch.submit import submit_command, submit_variables
from feldspar.spec.environment import Environment, load_environment
from feldspar.stores.online import OnlineStore, Patience
from feldspar.stores.rows import layout_of, unpack_rows
from feldspar.stores.tables import arrow, log
from feldspar.stores.tables.lake import Lake
from support.killing import Project
from support.places import REPOSITORY
from support.valkey import valkey

RATES = (1_000, 10_000)
AIM_SECONDS = 8.0
START = datetime(2018, 4, 1, tzinfo=UTC)
SENTINEL = 0
HEADER = "transaction_id,tx_datetime,customer_id,terminal_id,amount,is_fraud\n"
_POLL_SECONDS = 0.05
_MOST_SECONDS = 180.0


@dataclass(frozen=True)
class Measured:
    """One contestant at one rate; seconds from a payment's second to where it is read."""

    who: str
    rate: int
    files: int
    p50: float
    p99: float
    worst: float
    rows_a_second: float
    parts: dict[str, float] = field(default_factory=dict)
    """Seconds of a round and of its steps: medians of the rounds of the second half."""


class Feed(threading.Thread):
    """Writes a file each second; ``sent`` has when each was there."""

    def __init__(self, folder: Path, rate: int) -> None:
        super().__init__(daemon=True)
        self.folder, self.rate = folder, rate
        self.sent: list[float] = []
        self.ended = threading.Event()
        self.pool = Pool(rate)

    def run(self) -> None:
        due = time.monotonic()
        while not self.ended.is_set():
            text = self.pool.file(len(self.sent))
            draft = self.folder / f".{len(self.sent):06d}"
            draft.write_text(text, encoding="utf-8")
            draft.rename(self.folder / f"{len(self.sent):06d}.csv")
            self.sent.append(time.monotonic())
            due += 1.0
            self.ended.wait(max(0.0, due - time.monotonic()))


class Pool:
    """Lines of payments; making them must cost next to nothing while others are measured."""

    def __init__(self, rate: int) -> None:
        draw = np.random.default_rng(1)
        customers, amounts = draw.integers(1, 5_000, rate), draw.uniform(1, 500, rate)
        self.ends = [
            f",{customer},{customer % 97},{amount:.2f},0\n"
            for customer, amount in zip(customers, amounts, strict=True)
        ]
        self.ends[-1] = f",{SENTINEL},0,1,0\n"

    def file(self, number: int) -> str:
        """A second of payments, the last one that of the customer who is watched."""
        first = number * len(self.ends)
        when = f"{START + timedelta(seconds=number):%Y-%m-%dT%H:%M:%SZ}"
        return HEADER + "".join(f"{first + n},{when}{end}" for n, end in enumerate(self.ends))


def feldspar(folder: Path, *, rate: int, seconds: float, warm: float) -> Measured:
    """The whole chain to Redis."""
    with valkey(folder / "valkey") as server:
        project = Project.make(folder / "project", server.url)
        environment = _environment(project)
        inbox = project.folder / "data" / "payments"
        inbox.mkdir(parents=True)
        words = ["--every", "1s", "--conf", str(project.folder / "conf"), "--env", "bench"]
        job = project.folder / "jobs" / "stream.py"
        command = submit_command(environment, job, words, variables=dict(os.environ))
        variables = submit_variables(environment, dict(os.environ))
        with started(command, variables, folder), opened(project) as store:
            newest = newest_online(project, store)
            found = watched("feldspar", inbox, newest, rate, seconds, warm)
        return replace(found, parts=parts(project))


def _environment(project: Project) -> Environment:
    """With Spark's own compilers: a stream runs for days."""
    folder = project.folder / "conf" / "environments"
    text = (folder / "disk.yaml").read_text(encoding="utf-8")
    kept = [line for line in text.splitlines() if "extraJavaOptions" not in line]
    (folder / "bench.yaml").write_text("\n".join(kept), encoding="utf-8")
    return load_environment(project.folder / "conf", "bench", {})


def opened(project: Project) -> OnlineStore:
    """Waits as long as a job does: while two cores are taken Redis may be silent for a second."""
    return OnlineStore.of(project.environment, Patience.JOB)


def newest_online(project: Project, store: OnlineStore) -> Callable[[], int]:
    """What looks for the number of the newest file whose last payment Redis has.

    It looks all the time, beside what is measured: one MGET of one key.
    """
    view = project.graph.view("last_payment")
    layout, key = layout_of(view), store.key(view.entity, [SENTINEL], view.online_name)

    def newest() -> int:
        (value,) = store.get([key])
        rows = () if value is None else unpack_rows(layout, value)
        last = max((one.event_time for one in rows), default=None)
        return -1 if last is None else round(last / 1e6 - START.timestamp())

    return newest


def parts(project: Project) -> dict[str, float]:
    """Seconds of a round, of what lies between its steps, and of each step."""
    rows = arrow.read(project.lake, "ops", "steps").to_pylist()
    rounds: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        rounds[row["round"]].append(row)
    held = [rounds[number] for number in sorted(rounds)][len(rounds) // 2 :]
    begun = [min(one["started_at"] for one in steps) for steps in held]
    ended = [
        max(one["started_at"] + timedelta(seconds=one["seconds"]) for one in steps)
        for steps in held
    ]
    whole = [(end - begin).total_seconds() for begin, end in zip(begun, ended, strict=True)]
    pauses = [(begin - end).total_seconds() for end, begin in zip(ended, begun[1:], strict=False)]
    seconds: dict[str, list[float]] = {"round": whole, "from one to the next": pauses}
    for row in (one for steps in held for one in steps):
        seconds.setdefault(f"{row['verb']} {row['step']}", []).append(row["seconds"])
    return {name: statistics.median(found) for name, found in seconds.items() if found}


def bare(folder: Path, *, rate: int, seconds: float, warm: float) -> Measured:
    """Spark's own stream, files to one Delta table."""
    inbox = folder / "in"
    inbox.mkdir(parents=True)
    project = Project.make(folder / "project", "redis://127.0.0.1:1/0")
    environment = _environment(project)
    job = REPOSITORY / "tests" / "bench" / "rivals" / "spark_copy.py"
    words = [str(inbox), str(folder / "lake" / "bench" / "bronze" / "copy")]
    command = submit_command(environment, job, words, variables=dict(os.environ))
    variables = submit_variables(environment, dict(os.environ))
    storage = environment.storage.model_copy(update={"root": str(folder / "lake")})
    place = environment.model_copy(update={"storage": storage, "namespace": "bench"})
    with started(command, variables, folder):
        return watched(
            "bare Spark stream", inbox, lambda: _committed(place, rate), rate, seconds, warm
        )


def _committed(place: Environment, rate: int) -> int:
    """The number of the newest file that the table has: files are taken in their order."""
    lake = Lake.of(place)
    if log.table_state(lake, "bronze", "copy", cursors=()) is None:
        return -1
    version = log.open_table(lake, "bronze", "copy").version()
    return log.amounts(lake, "bronze", "copy", version=version)[0] // rate - 1


@contextmanager
def started(command: list[str], variables: dict[str, str], folder: Path) -> Iterator[None]:
    """A process with all it starts; ended at the end."""
    with (folder / "run.log").open("wb") as out:
        process = subprocess.Popen(
            command, env=variables, stdout=out, stderr=out, process_group=0, cwd=folder
        )
    try:
        yield
    finally:
        os.killpg(process.pid, 9)
        process.wait(30)


def watched(
    who: str, inbox: Path, newest: Callable[[], int], rate: int, seconds: float, warm: float
) -> Measured:
    """Feeds files and looks when each has come through."""
    feed = Feed(inbox, rate)
    feed.start()
    begun = time.monotonic()
    seen: list[float] = []
    pause = threading.Event()
    while len(feed.sent) < warm + seconds or len(seen) < len(feed.sent):
        if len(feed.sent) >= warm + seconds:
            feed.ended.set()
        there, now = newest(), time.monotonic()
        seen += [now] * (there + 1 - len(seen))
        if now - begun > warm + seconds + _MOST_SECONDS:
            break
        pause.wait(_POLL_SECONDS)
    feed.ended.set()
    feed.join()
    waited = [after - sent for sent, after in zip(feed.sent, seen, strict=False)][int(warm) :]
    p50, p99, worst = np.percentile(waited, [50, 99, 100]) if waited else (np.inf,) * 3
    span = seen[-1] - feed.sent[int(warm)] if len(seen) > warm else np.inf
    done = max(0, len(seen) - int(warm))
    return Measured(who, rate, done, p50, p99, worst, done * rate / span)


def main() -> None:
    """All rates, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rates", default=",".join(map(str, RATES)), help="rows a second")
    parser.add_argument("--seconds", type=float, default=120, help="measured, at each rate")
    parser.add_argument("--warm", type=float, default=60, help="left out before")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "out" / "bench")
    options = parser.parse_args()
    folder = options.out.resolve() / "stream"
    results = []
    for rate in map(int, options.rates.split(",")):
        for contestant in (feldspar, bare):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            found = contestant(folder, rate=rate, seconds=options.seconds, warm=options.warm)
            print(
                f"{found.rate:>7,} rows/s  {found.who:18}  p50 {found.p50:5.1f} s  "
                f"p99 {found.p99:5.1f}  worst {found.worst:5.1f}  "
                f"through {found.rows_a_second:9,.0f} rows/s"
            )
            for name, length in found.parts.items():
                print(f"{'':16}{name:32}{length:6.2f} s")
            results.append(asdict(found))
    print(f"aim, feldspar at 10,000 rows/s: p99 <= {AIM_SECONDS:g} s")
    path = options.out / "stream.json"
    path.write_text(json.dumps(results, indent=1), encoding="utf-8")
    print(f"written: {path}")


if __name__ == "__main__":
    sys.exit(main())

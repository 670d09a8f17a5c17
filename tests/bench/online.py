"""``make bench-online``: features beside Feast's server, and scores at constant arrivals.

One Redis holds everything. Each point has at least ``--requests`` requests,
sent when they are due whatever the server does, by a generator on the same machine.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from bench import online_data, online_report, online_servers
from bench.load import Call, Generator, Load, Watched
from bench.online_servers import Contestant, Server
from bench.rivals.environment import rivals_python
from support.places import REPOSITORY

SHARES = (0.3, 0.6, 0.9)
"""Of what Feast answers at most."""
CASES = ("one", "many", "score")
MANY = 100
LIMIT_MS = 50.0
"""What the p99 of a score must stay under at the highest rate that is looked for."""
_BODIES = 5_000
_CALLERS = 16
_SATURATE_SECONDS = 10.0
_WARM_SECONDS = 3.0
_SAMPLE_SECONDS = 1.0
_CLOSE_ENOUGH = 0.05
_MOST_TRIES = 8
_WIDTH = 132


@dataclass(frozen=True)
class Tools:
    """What every case needs."""

    generator: Generator
    requests: int
    console: Console


@dataclass
class Memory:
    """Resident bytes of a server, once a second."""

    samples: list[int] = field(default_factory=list)

    @contextlib.contextmanager
    def watching(self, watched: Watched) -> Iterator[None]:
        ended = threading.Event()

        def look() -> None:
            while not ended.wait(_SAMPLE_SECONDS):
                self.samples.append(watched.memory())

        thread = threading.Thread(target=look)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


def compare(tools: Tools, contestants: Sequence[Contestant], size: int) -> online_report.Compared:
    """Every contestant at shares of what Feast answers at most, ``size`` customers a request."""
    asked = _asked(size)
    different = _different(contestants, asked[: max(1, 200 // size)])
    most: dict[str, Load] = {}
    for one in contestants:
        call, watched = one.call(asked), one.server.watched
        _warm(tools, call, watched)
        most[one.name] = tools.generator.closed(
            call, callers=_CALLERS, seconds=_SATURATE_SECONDS, watched=watched
        )
        tools.console.log(f"{one.name}, {size} a request, at most {most[one.name].answered:.0f}/s")
    if not most["feast"].answered:
        raise SystemExit(f"Feast answers nothing: {most['feast'].said}")
    points: list[tuple[str, float, Load]] = []
    for share in SHARES:
        rate = share * most["feast"].answered
        for one in contestants:
            call, watched = one.call(asked), one.server.watched
            load = tools.generator.constant(
                call, rate=rate, requests=tools.requests, watched=watched
            )
            points.append((one.name, share, load))
            tools.console.log(online_report.sentence(f"{one.name}, {share:.0%}", load))
    return online_report.Compared(size, different, most, points)


def score(tools: Tools, server: Server, options: argparse.Namespace) -> online_report.Scored:
    """Scores at the rates that were asked for, then the highest rate that holds the limit."""
    call = Call(server.url("/score"), [{"customer_id": one} for (one,) in _asked(1)])
    watched = server.watched
    _warm(tools, call, watched)
    loads: list[Load] = []
    memory = Memory()
    for rate, seconds in zip(options.rates, options.seconds, strict=True):
        requests = max(tools.requests, int(rate * seconds))
        around = memory.watching(watched) if not loads else contextlib.nullcontext()
        with around:
            loads.append(
                tools.generator.constant(call, rate=rate, requests=requests, watched=watched)
            )
        tools.console.log(online_report.sentence("score", loads[-1]))
    tried = _highest(tools, call, watched)
    return online_report.Scored(loads, tuple(memory.samples), tried)


def _highest(tools: Tools, call: Call, watched: Watched) -> list[Load]:
    """Rates on the way to the highest one whose p99 holds the limit, in order of trial."""
    most = tools.generator.closed(
        call, callers=_CALLERS * 4, seconds=_SATURATE_SECONDS, watched=watched
    )
    tools.console.log(f"score, at most {most.answered:.0f}/s, {_CALLERS * 4} callers")
    low, high = 0.0, most.answered
    tried: list[Load] = []
    for _ in range(_MOST_TRIES):
        if high - low <= _CLOSE_ENOUGH * high:
            break
        rate = (low + high) / 2
        load = tools.generator.constant(call, rate=rate, requests=tools.requests, watched=watched)
        tried.append(load)
        tools.console.log(online_report.sentence("score", load))
        low, high = (rate, high) if online_report.holds(load, LIMIT_MS) else (low, rate)
    return tried


def _warm(tools: Tools, call: Call, watched: Watched) -> None:
    tools.generator.closed(call, callers=2, seconds=_WARM_SECONDS, watched=watched)


def _asked(size: int) -> list[list[int]]:
    draw = random.Random(size)
    known = range(1, online_data.CUSTOMERS + 1)
    return [draw.sample(known, size) for _ in range(max(100, _BODIES // size))]


def _different(contestants: Sequence[Contestant], asked: Sequence[Sequence[int]]) -> int:
    """Values that are not bit for bit those that were put into the stores, of all answers."""
    truth = {
        name: column
        for view in online_data.PLAIN
        for name, column in zip(
            online_data.names_of(view), online_data.values_of(view).T, strict=True
        )
    }
    wrong = 0
    for one in contestants:
        for customers in asked:
            for customer, found in zip(customers, one.values(customers), strict=True):
                wanted = {name: float(column[customer - 1]) for name, column in truth.items()}
                wrong += sum(found.get(name) != value for name, value in wanted.items())
    return wrong


def read_options() -> argparse.Namespace:
    """What is asked for on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", nargs="*", choices=CASES, default=list(CASES))
    parser.add_argument("--requests", type=int, default=10_000, help="of each point, at least")
    parser.add_argument("--rates", type=float, nargs="*", default=[1_000.0, 3_000.0])
    parser.add_argument("--seconds", type=float, nargs="*", default=[600.0, 60.0], help="a rate")
    parser.add_argument("--workers", type=int, default=1, help="processes of each server")
    parser.add_argument("--starts", type=int, default=3, help="for the first request after ready")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "out" / "bench")
    return parser.parse_args()


def main() -> None:
    """Fills Redis, measures the cases, prints, and keeps JSON and charts."""
    # who is told to end takes the servers along
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))
    options, console = read_options(), Console(width=_WIDTH)
    out = options.out.resolve()
    home = out / "online"
    tools = Tools(Generator(out, progress=console.log), options.requests, console)
    report = online_report.Report(out, options, console)
    with online_servers.store(home) as (redis, conf):
        for _ in range(options.starts - 1 if "score" in options.cases else 0):
            with online_servers.feldspar(conf, redis, workers=options.workers) as (_, first):
                report.first(first)
        with online_servers.feldspar(conf, redis, workers=options.workers) as (ours, first):
            report.first(first)
            sizes = {"one": 1, "many": MANY}
            asked = [sizes[name] for name in options.cases if name in sizes]
            if asked:
                python = rivals_python(out, progress=console.log)
                with online_servers.feast(
                    python, home / "feast", redis, workers=options.workers
                ) as theirs:
                    for size in asked:
                        contestants = [_feast(theirs), _feldspar(ours, size)]
                        report.compared(compare(tools, contestants, size))
            if "score" in options.cases:
                report.scored(score(tools, ours, options))


def _feast(server: Server) -> Contestant:
    return Contestant("feast", server, "/get-online-features")


def _feldspar(server: Server, size: int) -> Contestant:
    path = "/features" if size == 1 else f"/features/{online_data.WIDE}"
    return Contestant("feldspar", server, path)


if __name__ == "__main__":
    main()

"""Where the time of a request goes: ``python -m bench.online_profile --path /score --rate 500``.

py-spy samples the serving process while requests come at a constant rate (0: as many as it takes).
Its shares of the process's processor time, a request, are printed in microseconds: by function with
all that it calls, and by function alone. Only the thread that holds the interpreter's lock is
sampled: else those that wait would count too. Root, or the right to trace, is needed.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import threading
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from bench import online_data, online_servers
from bench.load import Call, Generator, Load
from bench.online_servers import Server
from bench.rivals.environment import rivals_python
from support.places import REPOSITORY

_WARM_SECONDS = 3.0
_SHOWN = 60
_LINE = re.compile(r":\d+\)")


@dataclass(frozen=True)
class Profile:
    """Samples by function: with its callees, and alone."""

    samples: int
    whole: Counter[str]
    alone: Counter[str]

    @staticmethod
    def read(path: Path) -> Profile:
        """From py-spy's raw format: a stack and its count a line."""
        whole: Counter[str] = Counter()
        alone: Counter[str] = Counter()
        samples = 0
        for line in path.read_text(encoding="utf-8").splitlines():
            stack, _, count = line.rpartition(" ")
            frames = [_LINE.sub(")", frame) for frame in stack.split(";")]
            samples += int(count)
            alone[frames[-1]] += int(count)
            for frame in set(frames):
                whole[frame] += int(count)
        return Profile(samples, whole, alone)


def sampled(tools: Generator, server: Server, call: Call, options: argparse.Namespace) -> Load:
    """The load, sampled from its second second on; stacks go to the raw file."""
    requests = int(max(options.rate, 1.0) * options.seconds)
    tools.closed(call, callers=2, seconds=_WARM_SECONDS, watched=server.watched)
    command = [
        *(str(_py_spy(options.out)), "record", "--pid", str(server.watched.server), "--format"),
        *("raw", "--gil", "--rate", "250", "--duration", str(int(options.seconds)), "--output"),
        str(_raw(options.out)),
    ]
    sampling = threading.Thread(target=lambda: subprocess.run(command, check=True))
    sampling.start()
    if options.rate:
        load = tools.constant(call, rate=options.rate, requests=requests, watched=server.watched)
    else:
        load = tools.closed(
            call, callers=options.callers, seconds=options.seconds, watched=server.watched
        )
    sampling.join()
    return load


def show(load: Load, profile: Profile) -> None:
    """Prints the tables."""
    cpu = load.server * load.seconds / load.requests * 1e6
    print(
        f"{load.answered:.0f}/s, p50 {load.p50:.2f} ms, p99 {load.p99:.2f} ms; "
        f"{cpu:.0f} us of processor a request, {profile.samples} samples"
    )
    for title, counts in (("with what it calls", profile.whole), ("alone", profile.alone)):
        print(f"\nmicroseconds a request, {title}")
        for frame, count in counts.most_common(_SHOWN):
            print(f"{count / profile.samples * cpu:8.1f}  {frame}")


def _raw(out: Path) -> Path:
    return out / "online-profile.raw"


def _py_spy(out: Path) -> Path:
    return rivals_python(out, progress=print).with_name("py-spy")


def main() -> None:
    """Serves, loads, samples, prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--path", default="/score")
    parser.add_argument("--rate", type=float, default=0.0, help="requests a second; 0: saturation")
    parser.add_argument("--callers", type=int, default=16, help="at saturation")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--out", type=Path, default=REPOSITORY / "out" / "bench")
    options = parser.parse_args()
    options.out = options.out.resolve()
    generator = Generator(options.out, progress=print)
    bodies = [{"customer_id": one} for one in range(1, online_data.CUSTOMERS)]
    with (
        online_servers.store(options.out / "online") as (redis, conf),
        online_servers.feldspar(conf, redis, workers=1) as (server, _),
    ):
        call = Call(server.url(options.path), bodies)
        load = sampled(generator, server, call, options)
    show(load, Profile.read(_raw(options.out)))


if __name__ == "__main__":
    main()

"""How long one windowed view takes online: decoding what Redis gave, folding it at T.

``python tests/bench/online_fold.py`` prints microseconds, medians of five rounds, and writes
out/bench/online_fold.json.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median

from feldspar.compute.windows.functions import AggregationPlan
from feldspar.compute.windows.online import OnlineFold, OwnEvent
from feldspar.compute.windows.rule import WindowRule
from feldspar.compute.windows.tiles import TiledFold
from feldspar.graph.tiling import Part, Series
from feldspar.online.state import of_history, pack_state
from feldspar.spec.types import ColumnType
from feldspar.stores.events import PackedEvents, StoredEvents, pack_events
from feldspar.stores.retain import Horizon
from feldspar.stores.rows import Layout
from feldspar.stores.tiles import PackedTiles, TileLayout

OUT = Path("out/bench/online_fold.json")
DAY = 86_400 * 1_000_000
CALLS = 5_000
ROUNDS = 5
NOW = 1_533_081_600_000_000
LAYOUT = Layout("customer_spend", "events", (("amount", ColumnType.DOUBLE),))


def spend() -> list[AggregationPlan]:
    """Count and mean over 1, 7 and 30 days."""
    found = []
    for days in (1, 7, 30):
        found.append(AggregationPlan(f"count_{days}d", "count", None, days * DAY))
        found.append(AggregationPlan(f"avg_amount_{days}d", "avg", "amount", days * DAY))
    return found


def events(count: int, *, versions: int = 1) -> StoredEvents:
    """Payments of thirty days; with two versions each event was corrected an hour later."""
    chance = random.Random(7)
    times = sorted(NOW - chance.randrange(30 * DAY) for _ in range(count)) * versions
    ids = list(range(1_000_000, 1_000_000 + count)) * versions
    known = [at + index // count * DAY // 24 for index, at in enumerate(times)]
    size = count * versions
    amounts = [round(chance.gammavariate(2, 30), 2) for _ in range(size)]
    nothing = [0] * size
    return StoredEvents(
        ids, times, known, nothing, list(range(size)), [False] * size, {"amount": amounts}
    )


def measure(call: Callable[[], object]) -> dict[str, float]:
    """p50 and p99 of one call, microseconds by the clock and of the processor."""
    for _ in range(CALLS // 10):
        call()
    found = {}
    for name, clock in (("", time.perf_counter_ns), ("cpu_", time.thread_time_ns)):
        taken = []
        for _ in range(CALLS):
            start = clock()
            call()
            taken.append(clock() - start)
        taken.sort()
        found[f"{name}p50_us"] = taken[CALLS // 2] / 1_000
        found[f"{name}p99_us"] = taken[CALLS * 99 // 100] / 1_000
    return found


def exact(count: int, *, versions: int = 1) -> Callable[[], object]:
    """Decode and fold an exact view of ``count`` events."""
    fold = OnlineFold(spend(), WindowRule())
    value = pack_events(LAYOUT, events(count, versions=versions), epoch=1, version=1)
    own = OwnEvent(5, {"amount": 12.5})
    return lambda: fold.fold(PackedEvents(LAYOUT, value), NOW, own)


def tiled(count: int) -> Callable[[], object]:
    """Decode and fold a view of tiles, 5 minutes for a day and an hour for 7 and 30 days."""
    hops = {DAY: DAY // 288, 7 * DAY: DAY // 24, 30 * DAY: DAY // 24}
    items = [replace(one, hop_micros=hops[one.window_micros]) for one in spend()]
    double = ColumnType.DOUBLE
    parts = (
        Part("count", None, double),
        Part("count", "amount", double),
        Part("total", "amount", double),
    )
    series = (Series(DAY // 288, parts, DAY), Series(DAY // 24, parts, 30 * DAY))
    layout = TileLayout("customer_spend", "events", LAYOUT.columns, series)
    horizon = Horizon(NOW, 31 * DAY, 0)
    state = of_history(events(count), horizon, layout)
    value = pack_state(layout, state, epoch=1, version=1)
    fold = TiledFold(items, WindowRule(), series)
    own = OwnEvent(5, {"amount": 12.5})
    return lambda: fold.fold(PackedTiles(layout, value), NOW, own)


def bare_loop() -> int:
    """Work of always the same length: how far its p99 lies from its p50 is the machine's doing."""
    total = 0
    for number in range(500):
        total += number * number
    return total


def main() -> None:
    """Measures each case in turn and writes the medians of the rounds."""
    cases: dict[str, Callable[[], object]] = {
        "a loop of Python alone": bare_loop,
        "60 events": exact(60),
        "300 events": exact(300),
        "60 events, two versions each": exact(60, versions=2),
        "60 events in tiles": tiled(60),
        "3,000 events in tiles": tiled(3_000),
        "30,000 events in tiles": tiled(30_000),
        "3,000 events, exact": exact(3_000),
    }
    rounds = [{name: measure(call) for name, call in cases.items()} for _ in range(ROUNDS)]
    found = {
        name: {kind: median(one[name][kind] for one in rounds) for kind in rounds[0][name]}
        for name in cases
    }
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    for name, figures in found.items():
        said = "  ".join(f"{kind} {figure:7.1f}" for kind, figure in figures.items())
        sys.stdout.write(f"{name:32} {said}\n")


if __name__ == "__main__":
    main()

"""One run of faults, drawn by a seed: files come in, processes are killed, and Redis loses all.

Each file is followed by a disturbance. At the end a last run is let through to its end, and every
table and Redis are compared with the oracle, value by value.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice, pairwise
from pathlib import Path
from random import Random
from typing import Any

from feldspar.stores.events import StoredEvents
from feldspar.stores.tables.tiers import FRESH, RUNS
from feldspar.times import from_micros
from support.faults.deliveries import COLUMNS, CUSTOMERS, Delivery, deliveries
from support.faults.oracle import Expected, Row, expected
from support.faults.points import GOLD, POINTS, SILVER, TableId
from support.faults.upkeep import age, scatter, start_vacuum
from support.killing import Project
from support.small_project import FILES as FILES_OF
from support.valkey import Valkey, valkey

FILES, ROWS = 3, 200
TRIES = 2
"""A point that a run passes unseen is waited for once more, with another file."""
SOURCE, TABLE = "sources/payments.yaml", "tables/transactions.yaml"
DEFINITIONS = {
    SOURCE: FILES_OF[SOURCE].replace("event_time + 0s", "told_at"),
    TABLE: FILES_OF[TABLE].replace("checks:", "  told_at: timestamp\nchecks:"),
}
WIPED, SECOND, VACUUM = "redis_wiped", "a_second_driver", "inside_the_vacuum"
SCATTERED: Mapping[str, tuple[TableId, int]] = {
    "inside_the_compaction": (SILVER, 2 * (FRESH + RUNS)),
    "inside_the_sorting_of_gold": (GOLD, 2 * (FRESH + RUNS)),
    # the vacuum is to last long enough to be met
    VACUUM: (SILVER, ROWS),
}
"""Into how many files a table comes to lie, so that upkeep has something to do."""
NEED_ROWS = {"inside_the_merge", *SCATTERED}
"""In empty tables they are something else, or nothing."""
KINDS = (
    "file_of_bronze_written",
    WIPED,
    "inside_the_merge",
    "silver_before_the_ledger",
    "bronze_before_its_list",
    "gold_before_redis",
    "inside_the_sorting_of_gold",
    SECOND,
    "quarantine_before_silver",
    "ledger_before_gold",
    VACUUM,
    "file_of_gold_written",
    "inside_the_compaction",
)
"""All that is done to runs. Seeds take three that follow one another: beside each that needs rows
is one that leaves some.
"""
LEAVE_ROWS = {WIPED, SECOND, "gold_before_redis", "silver_before_the_ledger"} | {
    "ledger_before_gold",
    "file_of_gold_written",
}
SHOWN = 5


@dataclass(frozen=True)
class Outcome:
    """What one seed came to; ``hit``: the disturbances that were met, in the order ``drawn``."""

    seed: int
    drawn: tuple[str, ...]
    hit: tuple[str, ...]
    rows: int
    differences: tuple[str, ...] = field(default=())


def disturbances(seed: int) -> tuple[str, ...]:
    """One a file: seeds after each other go through all there are."""
    chosen = [KINDS[(seed * FILES + place) % len(KINDS)] for place in range(FILES)]
    Random(seed).shuffle(chosen)
    if not NEED_ROWS.isdisjoint(chosen):
        chosen.sort(key=lambda name: name not in LEAVE_ROWS)
    return tuple(chosen)


def run_seed(seed: int, folder: Path) -> Outcome:
    """Carries one seed out in a project of its own."""
    coming = iter(deliveries(Random(seed), files=FILES * TRIES, rows=ROWS))
    drawn, sent, hit = disturbances(seed), list[Delivery](), list[str]()
    with valkey(folder / "valkey") as server:
        project = Project.make(folder / "project", server.url, files=DEFINITIONS)
        for name in drawn:
            for delivery in islice(coming, TRIES):
                _deliver(project, delivery)
                sent.append(delivery)
                if _disturb(project, name, server):
                    hit.append(name)
                    break
        project.apply()
        wanted = expected(sent)
        found = [*tables_differ(project, wanted), *online_differs(project, wanted)]
    return Outcome(seed, drawn, tuple(hit), wanted.rows_in, tuple(found))


def _deliver(project: Project, delivery: Delivery) -> None:
    path = project.folder / "data" / "payments" / delivery.name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(delivery.text, encoding="utf-8")


def _disturb(project: Project, name: str, server: Valkey) -> bool:
    """Whether it came to the disturbance."""
    if name == WIPED:
        project.apply()
        server.stop()
        server.start()
        return True
    if name == SECOND:
        both = project.start(), project.start()
        # one may be overtaken by the other; both may come through, one after the other
        assert 0 in {project.code_of(one) for one in both}, project.log_end()
        return True
    if name in SCATTERED:
        place, pieces = SCATTERED[name]
        scatter(project, *place, pieces=pieces)
    if name == VACUUM:
        project.apply()
        age(project)
    reached = POINTS[name](project)
    return project.killed_at(reached, start_vacuum(project) if name == VACUUM else project.start())


def tables_differ(project: Project, wanted: Expected) -> Iterator[str]:
    """What tables have more often, or less often, than the oracle."""
    found = project.raw_contents()
    yield from _differs("bronze", wanted.bronze, _bronze(found["bronze.payments"]))
    yield from _differs(
        "quarantine", wanted.quarantine, _quarantine(found.get("quarantine.transactions", []))
    )
    names = ("transaction_id", "tx_datetime", "customer_id", "terminal_id", "amount", "is_fraud")
    yield from _differs(
        "silver", wanted.silver, _rows(found["silver.transactions"], *names, "told_at")
    )
    times = ("_event_time", "_known_time")
    last = _rows(found["gold.last_payment"], "customer_id", "last_amount", *times)
    yield from _differs("gold.last_payment", wanted.last_payment, last)
    spend = _rows(found["gold.customer_spend"], "customer_id", "_event_id", "amount", *times)
    yield from _differs("gold.customer_spend", wanted.customer_spend, spend)
    listed: Counter[Row] = Counter(
        (Path(row["uri"]).name, row["status"]) for row in found["ops.files"]
    )
    yield from _differs("ops.files", wanted.files, listed)
    yield from _ledger_differs(found["ops.ledger"], found, wanted)


def _ledger_differs(
    rows: list[dict[str, Any]], found: Mapping[str, list[dict[str, Any]]], wanted: Expected
) -> Iterator[str]:
    """A row of the ledger without its rows, or the reverse."""
    told = {name: sum(row[name] for row in rows) for name in ("rows_in", "valid", "quarantined")}
    there = {
        "rows_in": wanted.rows_in,
        "valid": len(found["silver.transactions"]),
        "quarantined": len(found.get("quarantine.transactions", [])),
    }
    if told != there:
        yield f"ops.ledger: says {told}, but there are {there}"
    starts = [-1 if row["after_version"] is None else row["after_version"] for row in rows]
    spans = sorted(zip(starts, (row["upto_version"] for row in rows), strict=True))
    if any(one[1] != other[0] for one, other in pairwise(spans)):
        yield f"ops.ledger: batches do not follow one another: {spans}"


def _differs(name: str, wanted: Counter[Row], found: Counter[Row]) -> Iterator[str]:
    for text, rest in (("lacks", wanted - found), ("has too often", found - wanted)):
        for row, count in list(rest.items())[:SHOWN]:
            yield f"{name} {text} ({count} x) {row}"


def _rows(rows: list[dict[str, Any]], *names: str) -> Counter[Row]:
    return Counter(tuple(row[name] for name in names) for row in rows)


def _bronze(rows: list[dict[str, Any]]) -> Counter[Row]:
    return Counter(
        (Path(row["_file"]).name, *((row[name] or "") for name in COLUMNS)) for row in rows
    )


def _quarantine(rows: list[dict[str, Any]]) -> Counter[Row]:
    return Counter(
        (
            Path(row["_file"]).name,
            tuple(sorted(row["_reasons"])),
            tuple(sorted(json.loads(row["_raw"]).items())),
        )
        for row in rows
    )


def online_differs(project: Project, wanted: Expected) -> Iterator[str]:
    """What Redis answers otherwise than the oracle."""
    rows = project.online_values("last_payment")
    events = project.online_values("customer_spend")
    for customer in range(CUSTOMERS):
        newest = max(rows.get(customer, ()), key=lambda one: one.rank, default=None)
        found = newest and (
            from_micros(newest.event_time),
            from_micros(newest.known_time),
            newest.values["last_amount"],
        )
        if found != wanted.newest.get(customer):
            yield f"Redis last_payment {customer}: {found}, not {wanted.newest.get(customer)}"
        there = _newest_versions(events.get(customer))
        lacking = wanted.events.get(customer, set()) - there
        if lacking:
            yield f"Redis customer_spend {customer} lacks {sorted(lacking, key=repr)[:SHOWN]}"


def _newest_versions(events: StoredEvents | None) -> set[Row]:
    if events is None:
        return set()
    amounts = events.arguments["amount"]
    last: dict[object, Row] = {}
    for row in sorted(range(len(events)), key=lambda row: events.known_time[row]):
        ident, times = events.event_id[row], (events.event_time[row], events.known_time[row])
        last[ident] = (ident, *map(from_micros, times), amounts[row])
    return set(last.values())

"""What the online store says of itself: how far each view was pushed, and whether that still holds.

A server that restarts may have lost its last writes, and one that is promoted may never have had
them. Both show in its replication id. A cursor names the ids of the servers it was written to, and
a cluster has a copy of it in each part, so that a part that was emptied has none.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from itertools import count
from typing import Any

from feldspar.stores.servers import SLOTS, slot_of

PARTS = 64
"""Of a cluster, by hash slot: each has a copy of the cursors."""


@dataclass(frozen=True)
class Cursor:
    """What was pushed of a view; written after all of its values.

    Attributes:
        version: of the gold table that the store now equals.
        definition: fingerprint of the view's definition.
        generation: of the gold table.
        epoch: counts generations; values of a higher one win.
        clock: of the push, in microseconds.
        floor: the store answers every T from here on, in microseconds.
        servers: how far each server's history of writes had come when all values were written.
        since: when this definition took over from another, microseconds of the wall clock.
        pushed: when the cursor was written, microseconds of the wall clock.
    """

    version: int
    definition: str
    generation: int
    epoch: int
    clock: int
    floor: int
    servers: tuple[str, ...] = ()
    since: int = 0
    pushed: int = 0

    def text(self) -> str:
        """How it is stored; equal cursors are equal texts."""
        return json.dumps(asdict(self), sort_keys=True)

    @staticmethod
    def of(text: bytes) -> Cursor:
        """The cursor of a stored text."""
        values = json.loads(text)
        return Cursor(**{**values, "servers": tuple(values["servers"])})


@dataclass(frozen=True)
class Replication:
    """What a server says of its history of writes.

    Attributes:
        run: of the process; new at each start.
        id: of the history that it writes now; new at each start and promotion, and when the first
            replica comes.
        offset: how far that has come.
        earlier: the history that it followed before it was promoted, or loaded at its start; empty:
            none.
        upto: it has all of that one before this offset.
    """

    run: str
    id: str
    offset: int
    earlier: str
    upto: int

    @staticmethod
    def of(info: Mapping[str, Any]) -> Replication | None:
        """From INFO; None where the server keeps it to itself."""
        if "master_replid" not in info:
            return None
        # zeros stand for none, and are read as a number
        earlier = str(info.get("master_replid2", ""))
        return Replication(
            str(info.get("run_id", "")),
            str(info["master_replid"]),
            int(info["master_repl_offset"]),
            earlier if earlier.strip("0") else "",
            int(info.get("second_repl_offset", -1)),
        )

    @property
    def mark(self) -> str:
        """What a cursor keeps of it."""
        return f"{self.run}:{self.id}:{self.offset}"

    def goes_on(self, mark: str) -> bool:
        """Whether it is the server of a mark, and has followed no other one since."""
        run, history, _ = mark.split(":")
        return history == self.id or (bool(run) and run == self.run and not self.earlier)

    def has(self, mark: str) -> bool:
        """Whether all writes up to a mark are in it."""
        _, history, offset = mark.split(":")
        return self.goes_on(mark) or (history == self.earlier and int(offset) < self.upto)


@dataclass(frozen=True)
class Standing:
    """How a push finds a view.

    Attributes:
        cursor: None: nothing was pushed.
        after: gold version that all parts have; None: nothing to go on from.
        lost: why what the cursor says may no longer be there; empty: it is.
    """

    cursor: Cursor | None
    after: int | None = None
    lost: str = ""


def standing_of(copies: Sequence[bytes | None], servers: Sequence[Replication]) -> Standing:
    """What copies of a cursor, the deciding one first, and servers say of a view."""
    found = [None if text is None else Cursor.of(text) for text in copies]
    held = [one for one in found if one is not None]
    cursor = found[0]
    if not held:
        return Standing(None)
    missing = len(found) - len(held)
    if missing:
        return Standing(cursor, lost=f"{missing} of {len(found)} parts of the cluster were emptied")
    if len({(one.epoch, one.generation) for one in held}) > 1:
        return Standing(cursor, lost="parts of the cluster were pushed from different tables")
    marks = {mark for one in held for mark in one.servers}
    unknown = [one for one in servers if marks and not any(map(one.has, marks))]
    if unknown:
        text = "restarted or failed over since the last push: its newest values may be lost"
        return Standing(cursor, lost=f"Redis {text} (replication {unknown[0].id[:8]})")
    return Standing(cursor, min(one.version for one in held))


@cache
def part_tags() -> tuple[str, ...]:
    """A hash tag for each part of a cluster."""
    tags: dict[int, str] = {}
    for number in count():
        tags.setdefault(part_of(slot_of(str(number))), str(number))
        if len(tags) == PARTS:
            return tuple(tags[part] for part in range(PARTS))
    raise AssertionError("count() does not end")


def part_of(slot: int) -> int:
    """The part of a cluster that a hash slot is in."""
    return slot * PARTS // SLOTS

"""Updates of many keys in random order, some of them twice, and what must be left of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from feldspar.spec.types import ColumnType
from feldspar.stores.online import OnlineStore
from feldspar.stores.rows import Layout, StoredRow, pack_rows, unpack_rows

LAYOUT = Layout("profile", "row", (("age", ColumnType.INT),))
VIEW = "profile@1"
_AT_ONCE = 2_000
_KEYS_A_VERSION = 10
_TWICE = 5


@dataclass(frozen=True)
class Updates:
    """Of n updates the key and the time, in the order in which they are written."""

    keys: npt.NDArray[np.int64]
    times: npt.NDArray[np.int64]


def shuffled(count: int, random: np.random.Generator) -> Updates:
    """So many updates of a tenth as many keys; each fifth comes again."""
    keys = random.integers(0, max(1, count // _KEYS_A_VERSION), count)
    times = random.permutation(count)
    order = random.permutation(np.concatenate([np.arange(count), np.arange(0, count, _TWICE)]))
    return Updates(keys[order], times[order])


def write_shuffled(store: OnlineStore, updates: Updates) -> None:
    """Writes them, a few thousand at once."""
    for at in range(0, len(updates.keys), _AT_ONCE):
        part = slice(at, at + _AT_ONCE)
        keys, times = updates.keys[part].tolist(), updates.times[part].tolist()
        values = [
            pack_rows(LAYOUT, [StoredRow(time, time, 0, 0, time, {"age": time})], epoch=1)
            for time in times
        ]
        names = store.keys("customer", [keys], VIEW)
        store.write_values(names, values, [None] * len(keys), kind="row", floor=1 << 40)


def newest_of(store: OnlineStore, updates: Updates) -> list[int]:
    """Keys whose value is another than their newest update."""
    newest: dict[int, int] = {}
    for key, time in zip(updates.keys.tolist(), updates.times.tolist(), strict=True):
        newest[key] = max(time, newest.get(key, -1))
    keys, wrong = sorted(newest), []
    for at in range(0, len(keys), _AT_ONCE):
        part = keys[at : at + _AT_ONCE]
        for key, value in zip(part, store.get(store.keys("customer", [part], VIEW)), strict=True):
            held = [] if value is None else unpack_rows(LAYOUT, value)
            if [row.values["age"] for row in held] != [newest[key]]:
                wrong.append(key)
    return wrong

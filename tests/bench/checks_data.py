"""Rows for the benchmark of checks: twenty columns, of which a share of the rows has two broken."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bench.checks_rules import COLUMNS, KEY, LISTED, NUMBERS, PATTERNS, STEP, TIME
from bench.inputs import CheckData

ROWS_A_FILE = 500_000
SECOND = 1_000_000
START = 1_767_225_600 * SECOND
_ARROW = {"int": pa.int32(), "bigint": pa.int64(), "double": pa.float64()}


def generated(rows: int, folder: Path, *, broken: float) -> CheckData:
    """A folder of Parquet files, in which a share of ``broken`` of the rows breaks some rule.

    Files that are complete stay.
    """
    home = folder / f"checks-{rows}-{broken:g}"
    home.mkdir(parents=True, exist_ok=True)
    for number, start in enumerate(range(0, rows, ROWS_A_FILE)):
        path = home / f"part-{number}.parquet"
        if not path.exists():
            table = _rows(start, min(ROWS_A_FILE, rows - start), broken=broken)
            draft = path.with_name(f".{path.name}")
            pq.write_table(table, draft, compression="snappy")
            draft.replace(path)
    return CheckData(home.name, str(home))


def _rows(start: int, count: int, *, broken: float) -> pa.Table:
    random = np.random.default_rng(start)
    ids = np.arange(start, start + count)
    times = pa.array(START + ids * SECOND).cast(pa.timestamp("us", tz="UTC"))
    columns: dict[str, Any] = {KEY: pa.array(ids), TIME: times}
    for place, (name, kind) in enumerate(NUMBERS.items()):
        values = place * STEP + random.random(count) * STEP
        columns[name] = pa.array(values).cast(_ARROW[kind], safe=False)
    columns |= _texts(ids, random)
    is_broken = random.random(count) < broken
    chosen = [np.where(is_broken, random.integers(0, len(COLUMNS), count), -1) for _ in range(2)]
    for place, name in enumerate(COLUMNS):
        hit = (chosen[0] == place) | (chosen[1] == place)
        columns[name] = _with_broken(name, columns[name], hit, random)
    return pa.table(columns)


def _with_broken(name: str, column: Any, hit: Any, random: np.random.Generator) -> Any:
    wrong = {**dict.fromkeys(NUMBERS, (None, -1, 10_000_000)), **dict.fromkeys(PATTERNS, ("?",))}
    values = pa.array([None, *wrong.get(name, ())], column.type)
    drawn = random.integers(0, len(values), int(hit.sum()))
    return pc.replace_with_mask(column, pa.array(hit), values.take(pa.array(drawn)))


def _texts(ids: Any, random: np.random.Generator) -> dict[str, Any]:
    count = len(ids)

    def digits(below: int, width: int) -> Any:
        return _padded(random.integers(0, below, count), width)

    listed = {
        name: pa.array(values).take(pa.array(random.integers(0, len(values), count)))
        for name, values in LISTED.items()
    }
    letter = pa.array(list("ABCDEF")).take(pa.array(random.integers(0, 6, count)))
    quarters = [pa.array(random.integers(0, 256, count)).cast(pa.string()) for _ in range(4)]
    return {
        **listed,
        "merchant": _joined("M", digits(100_000, 5)),
        "terminal": _joined("T-", digits(10_000, 4), "-", letter),
        "reference": _joined(listed["country"], _padded(ids, 8)),
        "account": _joined(listed["country"], digits(100, 2), digits(10**14, 14)),
        "email": _joined("user", _padded(ids, 1), "@mail-", digits(500, 1), ".example.com"),
        "address": pc.binary_join_element_wise(*quarters, "."),
    }


def _padded(numbers: Any, width: int) -> Any:
    return pc.utf8_lpad(pa.array(numbers).cast(pa.string()), width, "0")


def _joined(*parts: Any) -> Any:
    return pc.binary_join_element_wise(*parts, "")

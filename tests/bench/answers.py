"""Whether two rivals gave the same answer, whatever the order of the rows."""

from __future__ import annotations

from pathlib import Path

import duckdb

from bench.inputs import Inputs


def digest(out: Path, data: Inputs) -> str:
    """Rows and an order-free checksum over (key, values) of each row."""
    columns = ", ".join([f'"{data.key}"::BIGINT', *(f'"{one}"::DOUBLE' for one in data.answers)])
    row = f"hash(({columns}))"
    query = f"SELECT count(*), sum({row}::HUGEINT), bit_xor({row}) FROM read_parquet(?)"
    with duckdb.connect() as connection:
        found = connection.execute(query, [_files(out)]).fetchone()
    return ":".join(str(part) for part in found or ())


def rows(out: Path) -> int:
    """How many rows were written."""
    with duckdb.connect() as connection:
        found = connection.execute("SELECT count(*) FROM read_parquet(?)", [_files(out)]).fetchone()
    return int(found[0]) if found else 0


def differing(out: Path, reference: Path, data: Inputs, *, tolerance: float) -> int:
    """Rows of ``out`` that are not those of the same key in ``reference``.

    Args:
        out, reference: folders with Parquet files; ``reference`` may hold more keys.
        data: says key and compared columns.
        tolerance: absolute and relative, for sums that were added up in another order.
    """
    near = f'<= {tolerance} * (1 + abs(b."%s"))'
    same = [
        f'(a."{one}" IS NOT DISTINCT FROM b."{one}" OR '
        f'coalesce(abs(a."{one}" - b."{one}") {near % one}, false))'
        for one in data.answers
    ]
    query = f"""
        SELECT count(*) FROM read_parquet(?) a LEFT JOIN read_parquet(?) b USING ("{data.key}")
        WHERE b."{data.key}" IS NULL OR NOT ({" AND ".join(same)})
    """
    with duckdb.connect() as connection:
        found = connection.execute(query, [_files(out), _files(reference)]).fetchone()
    return int(found[0]) if found else 0


def _files(folder: Path) -> str:
    return str(folder / "*.parquet")

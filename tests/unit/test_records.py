"""The ops tables, on a disk: each write once, and none skipped in silence."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from feldspar.errors import StoreError
from feldspar.stores.tables import arrow, records
from feldspar.stores.tables.lake import Lake
from feldspar.stores.tables.log import Txn
from support.places import disk_environment

SCHEMA = pa.schema({"what": pa.string()})


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake.of(disk_environment(tmp_path))


def put(lake: Lake, what: str, version: int) -> None:
    records.append(lake, "notes", [{"what": what}], schema=SCHEMA, txn=Txn("tests", version))


def rows(lake: Lake) -> list[str]:
    return sorted(row["what"] for row in arrow.read(lake, "ops", "notes").to_pylist())


def test_the_first_write_makes_the_table_and_others_follow(lake: Lake) -> None:
    put(lake, "a", 0)
    put(lake, "b", 1)

    assert rows(lake) == ["a", "b"]


def test_a_repeated_write_changes_nothing(lake: Lake) -> None:
    put(lake, "a", 0)
    put(lake, "b", 1)
    put(lake, "a", 0)

    assert rows(lake) == ["a", "b"]


def test_a_write_that_a_newer_one_of_another_driver_shuts_out_is_told(lake: Lake) -> None:
    put(lake, "theirs", 5)

    with pytest.raises(StoreError, match="tests at 3 is not in the table's log"):
        put(lake, "mine", 3)

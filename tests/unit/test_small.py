"""Files that tasks have written are committed once, whoever else commits meanwhile: on a disk."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake
from deltalake.transaction import AddAction

from feldspar.errors import OvertakenError
from feldspar.stores.tables import arrow, log
from feldspar.stores.tables.epochs import claim
from feldspar.stores.tables.lake import Lake
from feldspar.stores.tables.log import GENERATION, Txn
from feldspar.stores.tables.small import commit_files
from feldspar.stores.tables.statistics import statistics_of
from support.places import disk_environment

PLACE = ("silver", "numbers")
APP = "load:numbers#0"
WRITE = Txn(APP, 5, epoch=1)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake.of(disk_environment(tmp_path))


@pytest.fixture
def table(lake: Lake) -> DeltaTable:
    """Has 1 and 2 in two files, and is claimed by the first run."""
    for number in (1, 2):
        add(lake, number)
    claim(lake, *PLACE, app=APP, epoch=1)
    return log.open_table(lake, *PLACE)


def add(lake: Lake, number: int, *, mode: str = "append") -> None:
    write_deltalake(lake.native_uri(*PLACE), pa.table({"number": [number]}), mode=mode)


def rebuild(lake: Lake) -> None:
    """What it holds is another generation from now on."""
    add(lake, 9, mode="overwrite")
    table = log.open_table(lake, *PLACE)
    table.alter.set_table_properties({GENERATION: "1"}, raise_if_not_exists=False)


def file_of(lake: Lake, number: int) -> AddAction:
    rows = pa.table({"number": [number]})
    path = Path(lake.native_uri(*PLACE), f"part-{number}.parquet")
    pq.write_table(rows, path)
    size = path.stat().st_size
    return AddAction(path.name, size, {}, 0, data_change=True, stats=statistics_of(rows, None))


def numbers(lake: Lake) -> list[int]:
    return sorted(row["number"] for row in arrow.read(lake, *PLACE).to_pylist())


def test_they_are_committed_once(lake: Lake, table: DeltaTable) -> None:
    for held in (table, log.open_table(lake, *PLACE)):
        commit_files(held, lake, *PLACE, txn=WRITE, files=[file_of(lake, 3)])

    assert (numbers(lake), log.confirmed(lake, *PLACE, txn=WRITE).rows) == ([1, 2, 3], 1)


def test_a_merge_of_small_files_meanwhile_is_no_conflict(lake: Lake, table: DeltaTable) -> None:
    log.open_table(lake, *PLACE).optimize.compact()

    commit_files(table, lake, *PLACE, txn=WRITE, files=[file_of(lake, 3)])

    assert numbers(lake) == [1, 2, 3]


def test_after_a_later_run_has_claimed_the_table_nothing_is_written(
    lake: Lake, table: DeltaTable
) -> None:
    claim(lake, *PLACE, app=APP, epoch=2)

    commit_files(table, lake, *PLACE, txn=WRITE, files=[file_of(lake, 3)])

    assert numbers(lake) == [1, 2]
    with pytest.raises(OvertakenError, match="a later run has taken over"):
        log.confirmed(lake, *PLACE, txn=WRITE)


def test_a_table_that_was_rebuilt_meanwhile_gets_no_rows_of_the_one_before(
    lake: Lake, table: DeltaTable
) -> None:
    rebuild(lake)

    with pytest.raises(OvertakenError, match="a later run has taken over"):
        commit_files(table, lake, *PLACE, txn=WRITE, files=[file_of(lake, 3)])
    assert numbers(lake) == [9]

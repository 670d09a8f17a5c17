"""What a vacuum keeps, deletes and refuses; on real Delta tables, without a JVM."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake

from feldspar.cli.vacuum import refuse_to_outrun
from feldspar.errors import UsageError
from feldspar.graph.compile import compile_graph
from feldspar.graph.graph import Graph
from feldspar.graph.observed import Observed, PushState, TableState
from feldspar.graph.readers import Reader, readers
from feldspar.names import value_fingerprint
from feldspar.spec.environment import StorageSpec
from feldspar.spec.loading import load_definitions
from feldspar.stores.tables import log
from feldspar.stores.tables.lake import Lake
from feldspar.stores.tables.retention import Waste, listed, remove, waste
from feldspar.times import to_micros
from support.small_project import write_project

START = datetime(2020, 1, 1, tzinfo=UTC)
PLACE = ("bronze", "numbers")
# as Spark tables are made (stores.tables.spark): else these old logs are cut by their next writer
KEEP_LOG = {"delta.enableExpiredLogCleanup": "false"}


def day(number: float) -> datetime:
    return START + timedelta(days=number)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(StorageSpec(root=str(tmp_path / "lake")), "tests")


@pytest.fixture
def folder(lake: Lake) -> Path:
    """A table that got a number a day, 0 to 4, which a merge on day 5 has put in one file."""
    path = Path(lake.uri(*PLACE))
    for number in range(5):
        put(path, number)
    DeltaTable(path).optimize.compact()
    aged(path, 5)
    return path


def put(path: Path, number: int) -> None:
    rows = pa.table({"number": [number]})
    write_deltalake(path, rows, mode="append", configuration=KEEP_LOG)
    aged(path, number)


def aged(path: Path, number: float) -> None:
    """What was written just now was written on this day."""
    seconds = day(number).timestamp()
    for file in path.rglob("*"):
        if file.is_file() and file.stat().st_mtime > day(365).timestamp():
            os.utime(file, (seconds, seconds))


def vacuum(lake: Lake, *, version: int, before: float = 100) -> Waste:
    found = waste(listed(lake, *PLACE), version=version, before=to_micros(day(before)))
    remove(found)
    return found


def numbers(path: Path) -> list[list[int]]:
    """What each data file holds that lies there."""
    found = [pq.read_table(file)["number"].to_pylist() for file in path.glob("*.parquet")]
    return sorted(map(sorted, found))


def test_what_a_lagging_reader_has_not_read_stays_though_it_was_merged(
    lake: Lake, folder: Path
) -> None:
    vacuum(lake, version=2)

    # version 2 as it was, what 3 and 4 added, and what the merge made of it
    assert numbers(folder) == [[0], [0, 1, 2, 3, 4], [1], [2], [3], [4]]


def test_what_was_replaced_goes_once_everybody_has_read_it(lake: Lake, folder: Path) -> None:
    vacuum(lake, version=5)

    assert numbers(folder) == [[0, 1, 2, 3, 4]]


def test_a_reader_finds_the_files_that_were_added_since(lake: Lake, folder: Path) -> None:
    put(folder, 6)
    DeltaTable(folder).optimize.compact()
    vacuum(lake, version=5)

    added = log.added_files(lake.storage, lake.uri(*PLACE), after=5, upto=7)

    assert [pq.read_table(file.path)["number"].to_pylist() for file in added] == [[6]]


def test_a_file_that_no_version_names_stays_until_it_is_old(lake: Lake, folder: Path) -> None:
    pq.write_table(pa.table({"number": [-1]}), folder / "stray.parquet")
    aged(folder, 6)

    kept = vacuum(lake, version=5, before=6).data
    gone = vacuum(lake, version=5, before=7).data

    assert ([one.path for one in kept if "stray" in one.path], [one.path for one in gone]) == (
        [],
        ["stray.parquet"],
    )


@pytest.mark.parametrize(
    ("path", "goes"),
    [
        ("part-0.parquet", True),
        ("_bucket=3/part-0.parquet", True),
        ("_bucket=3/_temporary/part-0.parquet", False),
        ("_change_data/part-0.parquet", False),
        (".hidden.parquet", False),
        ("notes.txt", False),
    ],
)
def test_only_data_files_go(path: str, goes: bool, lake: Lake, folder: Path) -> None:
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    (folder / path).touch()
    aged(folder, 0)

    vacuum(lake, version=5)

    assert (folder / path).exists() is not goes


def test_the_log_is_cut_before_the_checkpoint_of_what_is_kept(lake: Lake, folder: Path) -> None:
    for number in (6, 7, 8):
        DeltaTable(folder).create_checkpoint()
        put(folder, number)

    vacuum(lake, version=6)

    assert sorted(listed(lake, *PLACE).commits) == [6, 7, 8]
    rows = DeltaTable(folder, version=6).to_pyarrow_table()["number"].to_pylist()
    assert sorted(rows) == [0, 1, 2, 3, 4, 6]


def test_a_version_is_that_of_its_time(lake: Lake, folder: Path) -> None:
    found = listed(lake, *PLACE)

    assert [found.version_at(to_micros(day(at))) for at in (-1, 0, 2.5, 90)] == [0, 0, 2, 5]


def test_a_retention_that_would_outrun_a_reader_is_refused(lake: Lake, folder: Path) -> None:
    found = {PLACE: listed(lake, *PLACE)}
    reader = Reader("silver.numbers", PLACE, 2, "feldspar refine")

    with pytest.raises(UsageError) as error:
        refuse_to_outrun([reader], found, retain=timedelta(days=7), now=day(11))

    assert str(error.value) == (
        "--retain 7d would delete what was not read yet:\n"
        "silver.numbers has read bronze.numbers up to version 2 of 5; "
        "the next one is of 2020-01-04 00:00Z\n"
        "  feldspar refine, then vacuum again; or --retain 9d, which spares them"
    )


@pytest.mark.parametrize(("version", "retain"), [(2, 9), (4, 7), (5, 1)])
def test_a_retention_that_every_reader_can_live_with_is_taken(
    version: int, retain: int, lake: Lake, folder: Path
) -> None:
    reader = Reader("silver.numbers", PLACE, version, "feldspar refine")
    length = timedelta(days=retain)

    refuse_to_outrun([reader], {PLACE: listed(lake, *PLACE)}, retain=length, now=day(11))


@pytest.fixture
def graph(tmp_path: Path) -> Graph:
    return compile_graph(load_definitions(write_project(tmp_path), {}))


def test_each_table_is_read_by_what_is_made_from_it(graph: Graph) -> None:
    refine, features = "refine:transactions#1", "features:customer_spend#2"
    definition = value_fingerprint(graph.view("customer_spend").definition)
    observed = Observed(
        tables={
            ("ops", "ledger"): TableState(9, cursors={refine: 3}),
            ("silver", "transactions"): TableState(8, cursors={refine: 4}, generation=1),
            ("gold", "customer_spend"): TableState(
                7, cursors={features: 6}, generation=2, source_generation=1
            ),
            # of a silver that was rebuilt since: it begins anew
            ("gold", "last_payment"): TableState(7, cursors={"features:last_payment#0": 6}),
        },
        pushed={"customer_spend": PushState(5, definition, generation=2)},
    )

    assert readers(graph, observed) == (
        Reader("silver.transactions", ("bronze", "payments"), 3, "feldspar refine"),
        Reader("gold.customer_spend", ("silver", "transactions"), 6, "feldspar features"),
        Reader("customer_spend in Redis", ("gold", "customer_spend"), 5, "feldspar online push"),
    )


def test_who_begins_anew_holds_nothing_up(graph: Graph) -> None:
    observed = Observed(
        tables={
            ("bronze", "payments"): TableState(9),
            ("silver", "transactions"): TableState(8),
            ("gold", "customer_spend"): TableState(7, generation=2),
        },
        pushed={"customer_spend": PushState(5, "of another definition", generation=2)},
    )

    assert readers(graph, observed) == ()

"""The benchmark's own promises: same data, limits kept, answers compared, ratios pair by pair."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from bench import answers, pit_data
from bench.figures import line, ratio
from bench.inputs import PaymentData, Settings, as_document, from_document
from bench.pit_data import PitShape
from bench.processes import FailedError, Order, StoppedError, Worker, variables_for
from support.places import REPOSITORY

TINY = PitShape(spine_rows=300, view_rows=2_000, features=5, rows_an_entity=20, late_share=0.2)
DATA = PaymentData("none", "nowhere.parquet")


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    paths = (REPOSITORY / "lib", REPOSITORY / "tests")
    started = Worker(
        (Path(sys.executable), "support.slow_engine:SlowEngine"),
        Settings(1, "1g", str(tmp_path)),
        variables=variables_for(paths, cores=1, java=tmp_path),
        log=tmp_path / "worker.log",
    )
    yield started
    started.stop()


def order(folder: Path, **options: str) -> Order:
    return Order("run", DATA, folder, folder / "out", options)


def test_a_rival_that_takes_too_long_is_stopped(worker: Worker, tmp_path: Path) -> None:
    with pytest.raises(StoppedError, match="stopped at 0 s"):
        worker.obey(order(tmp_path, seconds="60"), limit=0.2)


def test_a_rival_that_fails_says_why(worker: Worker, tmp_path: Path) -> None:
    with pytest.raises(FailedError, match=r"failed, see worker.log.*KeyError: 'seconds'"):
        worker.obey(order(tmp_path), limit=20)


def test_a_run_is_measured_and_the_process_stays(worker: Worker, tmp_path: Path) -> None:
    usages = [worker.obey(order(tmp_path, seconds="0.3"), limit=20) for _ in range(2)]

    assert all(usage.seconds >= 0.3 for usage in usages)
    assert all(usage.peak_bytes > 0 for usage in usages)


def test_data_are_the_same_for_the_same_shape(tmp_path: Path) -> None:
    tables = [
        ds.dataset(pit_data.make(TINY, tmp_path / name).views[1].folder).to_table()
        for name in ("one", "other")
    ]

    assert tables[0].equals(tables[1])


def test_times_of_a_view_are_distinct_and_in_no_order(tmp_path: Path) -> None:
    rows = ds.dataset(pit_data.make(TINY, tmp_path).views[0].folder).to_table()
    times = rows["event_timestamp"].cast(pa.int64()).to_pylist()

    assert len(set(times)) == 2_000
    assert times != sorted(times)


def test_features_are_spread_over_the_views(tmp_path: Path) -> None:
    data = pit_data.make(TINY, tmp_path)

    assert [len(view.features) for view in data.views] == [2, 2, 1]
    assert from_document(as_document(data)) == data


def test_new_rows_belong_to_the_same_entities_and_come_later() -> None:
    shape = PitShape(view_rows=1_000_000)
    new = shape.increment()

    assert (new.view_rows, new.entities) == (10_000, shape.entities)
    assert new.first_day == shape.days


def test_half_of_the_rows_may_be_of_one_entity(tmp_path: Path) -> None:
    shape = replace(TINY, hot_share=0.5)
    rows = ds.dataset(pit_data.make(shape, tmp_path).views[0].folder).to_table()

    assert 900 < rows["entity_id"].to_pylist().count(0) < 1_150


def written(folder: Path, rows: list[dict[str, object]]) -> Path:
    folder.mkdir()
    pq.write_table(pa.Table.from_pylist(rows), folder / "part-0.parquet")
    return folder


def answer(key: int, value: float | None) -> dict[str, object]:
    return {"transaction_id": key, **dict.fromkeys(DATA.answers, value)}


def test_answers_are_compared_whatever_their_order(tmp_path: Path) -> None:
    one = written(tmp_path / "one", [answer(1, 0.5), answer(2, None)])
    other = written(tmp_path / "other", [answer(2, None), answer(1, 0.5)])

    assert answers.digest(one, DATA) == answers.digest(other, DATA)
    assert answers.differing(one, other, DATA, tolerance=0) == 0


@pytest.mark.parametrize(
    ("value", "tolerance", "count"), [(0.6, 0, 1), (None, 1, 1), (0.5 + 1e-12, 1e-9, 0)]
)
def test_differing_rows_are_counted(
    tmp_path: Path, value: float | None, tolerance: float, count: int
) -> None:
    reference = written(tmp_path / "reference", [answer(1, 0.5), answer(2, 1.0)])
    out = written(tmp_path / "out", [answer(1, value)])

    assert answers.differing(out, reference, DATA, tolerance=tolerance) == count


def test_ratios_are_taken_round_by_round() -> None:
    found = ratio([2.0, 40.0, 6.0], [1.0, 20.0, 2.0])

    assert found is not None
    assert (found.median, found.low, found.high) == (2.0, 2.0, 3.0)


def test_what_grows_faster_than_the_rows_is_off_the_line() -> None:
    squares = line([1_000_000, 2_000_000, 4_000_000, 8_000_000], [1.0, 4.0, 16.0, 64.0])

    assert squares is not None
    assert squares.deviation > 0.2


def test_the_own_python_path_goes_first() -> None:
    variables = variables_for((Path("lib"), Path("tests")), cores=2, java=Path("java"))

    assert variables["PYTHONPATH"] == f"lib{os.pathsep}tests"

"""What a file says of itself: exact, or cut in the direction that hides no row, or nothing."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
import pytest

from feldspar.stores.tables.statistics import statistics_of

MOMENT = datetime(2018, 4, 1, 10, 0, 0, 123_999, tzinfo=UTC)
INSTANT = pa.timestamp("us", "UTC")


def told(values: list[Any], kind: pa.DataType, columns: list[str] | None = None) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        statistics_of(pa.table({"x": pa.array(values, kind)}), columns)
    )
    return found


@pytest.mark.parametrize(
    ("values", "kind", "least", "most"),
    [
        ([3, None, -1], pa.int64(), -1, 3),
        (["b", "", "a"], pa.string(), "", "b"),
        ([date(2018, 4, 2), date(2018, 4, 1)], pa.date32(), "2018-04-01", "2018-04-02"),
        ([MOMENT], INSTANT, "2018-04-01T10:00:00.123Z", "2018-04-01T10:00:00.123Z"),
        ([-1], INSTANT, "1969-12-31T23:59:59.999Z", "1969-12-31T23:59:59.999Z"),
        (
            [-62_135_596_800_000_000],
            INSTANT,
            "0001-01-01T00:00:00.000Z",
            "0001-01-01T00:00:00.000Z",
        ),
    ],
)
def test_the_ends_of_a_column_are_told(
    values: list[Any], kind: pa.DataType, least: object, most: object
) -> None:
    found = told(values, kind)

    assert (found["minValues"], found["maxValues"]) == ({"x": least}, {"x": most})


def test_rows_and_nulls_are_counted() -> None:
    found = told([1, None, None], pa.int64())

    assert (found["numRecords"], found["nullCount"]) == (3, {"x": 2})


def test_a_long_text_has_no_greatest_value_for_a_cut_one_would_be_too_small() -> None:
    found = told(["b" * 40, "a" * 40], pa.string())

    assert (found["minValues"], found["maxValues"]) == ({"x": "a" * 32}, {})


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1.5, float("nan")], pa.float64()),
        ([True], pa.bool_()),
        ([["a"]], pa.list_(pa.string())),
        ([None], pa.int64()),
        ([None], INSTANT),
        ([300_000_000_000_000_000], INSTANT),
        ([MOMENT.replace(tzinfo=None)], pa.timestamp("us")),
    ],
)
def test_what_has_no_certain_ends_has_none(values: list[Any], kind: pa.DataType) -> None:
    found = told(values, kind)

    assert (found["minValues"], found["maxValues"]) == ({}, {})


def test_columns_that_are_not_asked_for_are_passed_over() -> None:
    assert told([1], pa.int64(), ["y"])["minValues"] == {}

"""A small project with a feed of changes of people, and both histories of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyspark.sql import SparkSession

from feldspar.spec.environment import Environment
from feldspar.stores.tables import arrow
from support.pipeline import Pipeline, open_pipeline

START = datetime(2024, 5, 1, tzinfo=UTC)
SOURCE = """\
kind: delta
path: feed
event_time: changed_at
known_time: event_time + 0s
"""
TABLE = """\
from: feed
key: [region, person]
columns:
  region: int
  person: bigint
  changed_at: timestamp
  number: int
  op: string
  city: string
  level: int
checks:
  city: not_null
rules:
  level_is_small: level is null or level < 10
history:
  kind: {kind}
  sequence_by: [changed_at, number]
  delete_when: op = 'd'
  without: op
"""
COLUMNS = pa.schema(
    {
        "region": pa.int32(),
        "person": pa.int64(),
        "changed_at": pa.timestamp("us", tz="UTC"),
        "number": pa.int32(),
        "op": pa.string(),
        "city": pa.string(),
        "level": pa.string(),
    }
)
TABLES = {"people_now": TABLE.format(kind="scd1"), "people": TABLE.format(kind="scd2")}
KEY = ("region", "person")


@dataclass(frozen=True)
class Row:
    """One change as it comes; ``day`` counts from May 2024."""

    person: int | None
    day: int
    op: str
    city: str | None = None
    level: int | str | None = None
    number: int | None = 0
    region: int = 0

    @property
    def values(self) -> tuple[Any, ...]:
        at = START + timedelta(days=self.day)
        level = None if self.level is None else str(self.level)
        return self.region, self.person, at, self.number, self.op, self.city, level


def files_of(tables: Mapping[str, str]) -> dict[str, str]:
    """Definitions of the feed and of these tables."""
    return {
        "sources/feed.yaml": SOURCE,
        **{f"tables/{name}.yaml": text for name, text in tables.items()},
    }


def open_people(
    spark: SparkSession, disk: Environment, folder: Path, tables: Mapping[str, str] = TABLES
) -> Pipeline:
    """The project on a lake of its own, before its first change."""
    return open_pipeline(spark, disk, folder, files_of(tables))


def deliver(people: Pipeline, rows: Sequence[Row]) -> None:
    """One more version of the feed."""
    columns = zip(*[row.values for row in rows], strict=True)
    arrays = [pa.array(one, field.type) for one, field in zip(columns, COLUMNS, strict=True)]
    frame = people.tables.spark.createDataFrame(pa.table(arrays, COLUMNS))
    feed = people.environment.folder / "feed"
    frame.coalesce(1).write.format("delta").mode("append").save(str(feed))


def refine(people: Pipeline, *rows: Row) -> dict[str, Any]:
    """The rows as one more batch, taken to the histories; results by step."""
    deliver(people, rows)
    return people.run("refine", "history")


def held(people: Pipeline, *columns: str, table: str = "people") -> list[tuple[Any, ...]]:
    """Rows of a history in the order of person and start; times as days."""
    rows = arrow.read(people.lake, "history", table).to_pylist()
    start = "valid_from" if rows and "valid_from" in rows[0] else "changed_at"
    ordered = sorted(rows, key=lambda row: (row["region"], row["person"], row[start]))
    return [tuple(_day(row[name]) for name in columns) for row in ordered]


def _day(value: Any) -> Any:
    return (value - START).days if isinstance(value, datetime) else value

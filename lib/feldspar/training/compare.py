"""Compares the rows of two training sets in Spark: one answer a feature comes back, however large.

Rows are matched by all columns of the spine that both have, nulls being equal; of rows that stand
several times in both, as many are matched. Doubles that differ by less than 1e-9 of the larger one
are equal: sums depend on the order in which they are made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame, Row, Window
from pyspark.sql import functions as F
from pyspark.sql.types import DataType, DoubleType, FloatType

TOLERANCE = 1e-9
_SPINE, _VALUES, _COPY, _MARK = "_spine", "_values", "_copy", "_mark"
_LEFT, _RIGHT, _BOTH = "only left", "only right", "in both"


@dataclass(frozen=True)
class Matching:
    """By what rows are matched, what is compared, what shows a row to people.

    Attributes:
        spine: columns that both spines have.
        features: columns that both sets computed.
        time: the column of the spine that orders examples.
        shown: columns of the spine that examples are told by.
    """

    spine: tuple[str, ...]
    features: tuple[str, ...]
    time: str
    shown: tuple[str, ...]


@dataclass(frozen=True)
class Example:
    """A row, and both values of the feature that differs in it (None in rows of one set alone)."""

    row: str
    left: str | None
    right: str | None


@dataclass(frozen=True)
class Count:
    """How many rows, with the earliest and the latest of them."""

    rows: int = 0
    examples: tuple[Example, ...] = ()


@dataclass(frozen=True)
class Compared:
    """Rows of both sets and of one alone; and by feature the rows of both in which it differs."""

    both: int
    left: Count
    right: Count
    features: dict[str, Count]


def compare(left: DataFrame, right: DataFrame, matching: Matching) -> Compared:
    """Matches and compares all rows."""
    kinds = {one: _same_kind(left, right, one) for one in (*matching.spine, *matching.features)}
    ours = _numbered(left, matching, kinds).alias("l")
    theirs = _numbered(right, matching, kinds).alias("r")
    # null-safe: null keys are rows like others
    same = F.col(f"l.{_SPINE}").eqNullSafe(F.col(f"r.{_SPINE}")) & (
        F.col(f"l.{_COPY}") == F.col(f"r.{_COPY}")
    )
    matched = ours.join(theirs, same, "full_outer")
    marks = F.explode(_marks(matching, kinds)).alias(_MARK)
    marked = matched.select(F.coalesce(f"l.{_SPINE}", f"r.{_SPINE}").alias(_SPINE), marks)
    shown = F.struct(*[F.col(f"{_SPINE}.`{name}`").cast("string") for name in matching.shown])
    example = F.struct(shown.alias("row"), F.col(f"{_MARK}.left"), F.col(f"{_MARK}.right"))
    order = F.struct(F.col(f"{_SPINE}.`{matching.time}`"), F.xxhash64(_SPINE))
    counted = marked.groupBy(f"{_MARK}.name").agg(
        F.count(F.lit(1)).alias("rows"),
        F.min_by(example, order).alias("first"),
        F.max_by(example, order).alias("last"),
    )
    found = {row["name"]: _count(row, matching) for row in counted.collect()}
    nothing = Count()
    return Compared(
        both=found.get(_BOTH, nothing).rows,
        left=found.get(_LEFT, nothing),
        right=found.get(_RIGHT, nothing),
        features={name: found[name] for name in matching.features if name in found},
    )


def _numbered(df: DataFrame, matching: Matching, kinds: dict[str, DataType]) -> DataFrame:
    """Spine and values as structs; copies of a row are counted."""
    spine = F.struct(*[_column(name, kinds) for name in matching.spine])
    values = F.struct(*[_column(name, kinds) for name in matching.features])
    packed = df.select(spine.alias(_SPINE), values.alias(_VALUES))
    copies = Window.partitionBy(_SPINE).orderBy(F.xxhash64(_VALUES))
    return packed.withColumn(_COPY, F.row_number().over(copies))


def _column(name: str, kinds: dict[str, DataType]) -> Column:
    return F.col(f"`{name}`").cast(kinds[name]).alias(name)


def _same_kind(left: DataFrame, right: DataFrame, name: str) -> DataType:
    """The type in which a column is compared: its own, or text where the sets differ."""
    kind = left.schema[name].dataType
    return kind if kind == right.schema[name].dataType else DataType.fromDDL("string")


def _marks(matching: Matching, kinds: dict[str, DataType]) -> Column:
    """What a pair of rows says: in which set it is, and each feature that differs."""
    no_left, no_right = F.col(f"l.{_COPY}").isNull(), F.col(f"r.{_COPY}").isNull()
    side = F.when(no_left, F.lit(_RIGHT)).when(no_right, F.lit(_LEFT)).otherwise(F.lit(_BOTH))
    both = ~no_left & ~no_right
    marks = [_mark(side, F.lit(None), F.lit(None))]
    for name in matching.features:
        ours, theirs = (F.col(f"{one}.{_VALUES}.`{name}`") for one in ("l", "r"))
        different = both & ~_equal(ours, theirs, kinds[name])
        marks.append(F.when(different, _mark(F.lit(name), ours, theirs)))
    return F.array_compact(F.array(*marks))


def _mark(name: Column, left: Column, right: Column) -> Column:
    texts = (left.cast("string").alias("left"), right.cast("string").alias("right"))
    return F.struct(name.alias("name"), *texts)


def _equal(left: Column, right: Column, kind: DataType) -> Column:
    same = left.eqNullSafe(right)
    if not isinstance(kind, DoubleType | FloatType):
        return same
    near = F.abs(left - right) <= TOLERANCE * F.greatest(F.abs(left), F.abs(right))
    return same | F.coalesce(near, F.lit(False))  # noqa: FBT003  the value of a literal


def _count(row: Row, matching: Matching) -> Count:
    first, last = _example(row["first"], matching.shown), _example(row["last"], matching.shown)
    return Count(int(row["rows"]), (first,) if first == last else (first, last))


def _example(found: Row, shown: Sequence[str]) -> Example:
    row = ", ".join(f"{name}={value}" for name, value in zip(shown, found["row"], strict=True))
    return Example(row, found["left"], found["right"])

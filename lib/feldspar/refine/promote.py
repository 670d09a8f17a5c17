"""Gives rescued values the column that conf/ declares for them since.

Rows of silver that came before keep their values as JSON in ``_rescued``. A promotion moves them to
the column, in one commit that says no row came or went: what reads silver's new versions sees none.
A value that does not have the column's type stays where it is. Twice moves nothing the second time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from feldspar.compute.dedupe import content_hash
from feldspar.errors import UsageError
from feldspar.graph.graph import Table
from feldspar.names import RESCUED, ROW_HASH, cursor
from feldspar.refine.envelope import as_json
from feldspar.refine.table import evaluated_once
from feldspar.refine.typing import typed_columns
from feldspar.spec.types import ColumnType
from feldspar.stores.tables.log import GENERATION
from feldspar.stores.tables.spark import Declared, SparkTables, struct

Progress = Callable[[str], None]
_TEXT, _VALUE, _HELD, _MOVES = "_text", "_value", "_held", "_moves"
_SHOWN = 3
_MAP = "map<string,string>"


@dataclass(frozen=True)
class PromoteResult:
    """``moved`` values are in the column now; ``kept`` ones do not have its type, and stay."""

    table: str
    column: str
    type: str
    moved: int
    kept: int
    examples: tuple[str, ...] = ()

    def lines(self) -> Iterator[str]:
        """What came of it, for people."""
        yield f"{self.table}: {self.moved:,} values moved to {self.column} ({self.type})"
        if self.kept:
            shown = ", ".join(map(repr, self.examples))
            yield f"  {self.kept:,} are no {self.type} and stay in {RESCUED}, such as {shown}"


def promote(table: Table, column: str, *, tables: SparkTables, progress: Progress) -> PromoteResult:
    """Moves the rescued values of a column that the table declares to the column.

    All files of silver are written anew.

    Args:
        table: whose rows.
        column: declared.
        tables: the lake.
        progress: gets a line when work starts.

    Raises:
        UsageError: the table does not declare the column.
        TableNotFoundError: silver has no rows yet.
        OvertakenError: a later run writes to the table.
    """
    kind = table.types().get(column)
    if kind is None:
        raise UsageError(
            f"conf/tables/{table.name}.yaml declares no column {column!r}",
            hint=f"feldspar rescued promote {table.name} {column} TYPE",
        )
    work = _Work(table, column, tables)
    return work.done(kind, progress) if work.is_there() else _nothing(table, column, kind)


def _nothing(table: Table, column: str, kind: ColumnType) -> PromoteResult:
    return PromoteResult(table.name, column, kind.value, moved=0, kept=0)


@dataclass(frozen=True)
class _Work:
    """One promotion with what it reads."""

    table: Table
    column: str
    tables: SparkTables

    def is_there(self) -> bool:
        """Whether silver has rescued values at all."""
        return RESCUED in self.tables.read("silver", self.table.name).columns

    def done(self, kind: ColumnType, progress: Progress) -> PromoteResult:
        """The promotion, after all other writers of the table were shut out."""
        name, tables = self.table.name, self.tables
        generation = int(tables.properties("silver", name).get(GENERATION, "0"))
        for stage in ("refine", "replay"):
            tables.claim("silver", name, cursor(stage, name, generation))
        tables.ensure("silver", name, Declared(struct(f"`{self.column}` {kind.spark}")))
        version = tables.version("silver", name)
        with evaluated_once(self._values(version)) as values:
            fits = F.col(_VALUE).isNotNull()
            counts = {row[0]: row[1] for row in values.groupBy(fits).count().collect()}
            misfits = values.where(~fits).select(_TEXT).distinct().limit(_SHOWN).collect()
        moved, kept = counts.get(True, 0), counts.get(False, 0)
        if moved:
            progress(f"silver.{name}: moving {moved:,} values to {self.column}")
            tables.rewrite(self._moved(version), "silver", name, where="true", version=version)
        examples = tuple(row[_TEXT] for row in misfits)
        return PromoteResult(name, self.column, kind.value, moved, kept, examples)

    def _values(self, version: int) -> DataFrame:
        """Each rescued value as text and as what it is by the column's type."""
        return self._split(version).where(F.col(_TEXT).isNotNull()).select(_TEXT, _VALUE)

    def _split(self, version: int) -> DataFrame:
        """Silver with the value that may move, as text and typed."""
        rows = self.tables.read("silver", self.table.name, version=version)
        text = F.from_json(RESCUED, _MAP).getItem(self.column)
        held = F.col(f"`{self.column}`").alias(_HELD)
        others = [f"`{one}`" for one in rows.columns if one != self.column]
        raw = rows.select(*others, held, text.alias(self.column))
        typed = typed_columns(self.table, raw.select(f"`{self.column}`").schema)
        value = next(one.value for one in typed if one.name == self.column)
        return raw.withColumns({_VALUE: value, _TEXT: F.col(f"`{self.column}`")})

    def _moved(self, version: int) -> DataFrame:
        rows = self._split(version)
        moves = F.col(_VALUE).isNotNull() & F.col(_HELD).isNull()
        rest = F.map_filter(F.from_json(RESCUED, _MAP), lambda name, _: name != F.lit(self.column))
        values = {
            self.column: F.coalesce(_HELD, _VALUE),
            RESCUED: F.when(moves, as_json(rest)).otherwise(F.col(RESCUED)),
            _MOVES: moves,
        }
        moved = rows.withColumns(values)
        hashed = content_hash([*self.table.spec.columns, RESCUED])
        hashes = F.when(F.col(_MOVES), hashed).otherwise(F.col(ROW_HASH))
        stored = self.tables.read("silver", self.table.name, version=version).columns
        return moved.withColumn(ROW_HASH, hashes).select(*[f"`{one}`" for one in stored])

"""A database -> bronze: each version of a row once, by the range that its step names.

Order of commits: bronze with cursor ``ingest:<source>`` = load number, then the list of extracts
with the same cursor. A load that stopped between the two is completed from what bronze holds.
Tasks read side by side, over connections of their own, one and the same state of the database.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import reduce
from operator import and_

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from feldspar.errors import InputError, StoreError
from feldspar.graph.observed import ColumnRange, RelationRead
from feldspar.graph.steps import IngestStep
from feldspar.ingest import bronze
from feldspar.ingest.columns import CORRUPT, FILE, misfit
from feldspar.ingest.result import IngestResult
from feldspar.ingest.shapes import Shape, note_shapes
from feldspar.names import BATCH, POSITION, SHAPE, SNAPSHOT_AT, cursor
from feldspar.spec.jdbc_options import spark_options
from feldspar.spec.source import JdbcSource
from feldspar.stores import jdbc
from feldspar.stores.tables import extracts
from feldspar.stores.tables.causes import cause
from feldspar.stores.tables.extracts import Taken
from feldspar.stores.tables.log import Commit, Txn
from feldspar.stores.tables.spark import SparkTables
from feldspar.times import from_micros, to_micros

FORMAT = "jdbc"
"""What ``ops.schemas`` calls it: a column that a table lacks is missing, as of a CSV file."""
Progress = Callable[[str], None]


def ingest_relation(
    step: IngestStep,
    source: JdbcSource,
    tables: SparkTables,
    *,
    now: datetime,
    progress: Progress,
) -> IngestResult:
    """Loads the step's rows into ``bronze.<source>``.

    Raises:
        OvertakenError: another run has loaded rows since the plan was made.
        InputError: columns do not fit to those that were read before.
        StoreError: the table is no longer the one that the plan saw, or the load failed.
        UnreachableError: no server answers.
    """
    txn = tables.txn(cursor("ingest", step.source), step.batch)
    bronze.claim(step, txn.app, tables, listed=extracts.TABLE)
    if step.resume:
        return _complete_list(step, source, tables, txn=txn, now=now)
    wanted = step.range
    if wanted is None:
        raise InputError(f"{step.name}: the step names no rows", hint="feldspar plan")
    progress(f"{step.name}: reading {wanted.relation}")
    with jdbc.open_snapshot(source, step.source) as snapshot:
        load = Load(step, source, tables, wanted, snapshot)
        commit = load.written(txn, now=now)
        taken = load.taken(commit)
    extracts.record(tables.lake, step.source, wanted, taken, txn=txn, now=now)
    if taken.late:
        progress(f"{step.name}: {taken.late:,} rows had come late, below what was read before")
    return IngestResult(
        step.source,
        step.batch,
        files=0,
        rows=taken.rows,
        set_aside=(),
        version=commit.version,
        left=wanted.left,
    )


@dataclass(frozen=True)
class Load:
    """One load over one state of the database."""

    step: IngestStep
    source: JdbcSource
    tables: SparkTables
    wanted: ColumnRange
    snapshot: jdbc.Snapshot

    def written(self, txn: Txn, *, now: datetime) -> Commit:
        """Bronze's commit."""
        step, relation = self.step, self.snapshot.relation
        if (relation.name, relation.ident) != (self.wanted.relation, self.wanted.ident):
            text = f"{step.name}: {relation.name} is no longer what the plan saw; nothing was read"
            raise StoreError(text, hint="feldspar plan")
        known = bronze.known_columns(self.tables, step.source)
        try:
            rows = self.rows()
            own = bronze.own_columns(rows)
            problem = misfit(own, known) or _taken_name(rows.columns)
            if problem:
                hint = "give this source another name, or the column another one by a 'query'"
                raise InputError(f"{step.name}: {problem}", hint=hint)
            shape = Shape.of(FORMAT, {**dict(own), SNAPSHOT_AT: "timestamp"})
            note_shapes({shape: [self._origin()]}, step, self.tables.lake, now=now)
            if known and self.wanted.column:
                rows = self._unknown(rows, known)
            placed = self._placed(rows, shape)
            return bronze.append(placed, step, tables=self.tables, txn=txn, now=now)
        except (Py4JJavaError, PySparkException) as error:
            text = f"{step.name}: reading {relation.name} failed: {cause(error)}"
            hint = "run it again; feldspar plan shows what is there"
            raise StoreError(text, hint=hint) from error

    def taken(self, commit: Commit) -> Taken:
        """What the load found, counted in the state that it read."""
        wanted, count = self.wanted, self.snapshot.count
        fresh = count(above=wanted.after, upto=wanted.upto)
        low = None if wanted.upto is None else wanted.upto - wanted.overlap
        late = 0 if wanted.after is None else max(commit.rows - fresh, 0)
        again = count(begin=low, upto=wanted.upto) if wanted.column else None
        return Taken(commit.rows, late, again, self.snapshot.at)

    def rows(self) -> DataFrame:
        """The rows of the range, as texts and whole numbers, read by the tasks."""
        reader = (
            self.tables.spark.read.format("jdbc")
            .options(**spark_options(self.source))
            # a task's connection begins with what was held still
            .option("sessionInitStatement", self.snapshot.begin)
        )
        parts = self.snapshot.parts(self.wanted, number=self.source.partitions)
        frames = [reader.option("dbtable", f"({text}) as part").load() for text in parts]
        return reduce(DataFrame.union, frames)

    def _unknown(self, rows: DataFrame, known: dict[str, str]) -> DataFrame:
        """Rows of which bronze holds no equal one: below what was read, most are there."""
        held = self.tables.read("bronze", self.step.source)
        if self.wanted.begin is not None:
            held = held.where(f"`{self.wanted.column}` >= {self._text_of(self.wanted.begin)}")
        # a column that bronze has not yet is null there
        old = held.select(
            [
                (F.col(f"`{name}`") if name in known else F.lit(None)).alias(f"_{at}")
                for at, name in enumerate(rows.columns)
            ]
        )
        same = [
            F.col(f"`{name}`").eqNullSafe(F.col(f"_{at}")) for at, name in enumerate(rows.columns)
        ]
        return rows.join(old, reduce(and_, same), "left_anti")

    def _text_of(self, value: int) -> str:
        """A value of the incremental column as bronze has it, as SQL."""
        column = self.snapshot.column
        if column is None or not column.is_time:
            return str(value)
        # texts of one form are in the order of their times, with a fraction or without
        moment = f"{from_micros(value):%Y-%m-%d %H:%M:%S}"
        return f"'{moment.partition(' ')[0] if column.type == 'date' else moment}'"

    def _placed(self, rows: DataFrame, shape: Shape) -> DataFrame:
        return rows.withColumns(
            {
                FILE: F.lit(self._origin()),
                POSITION: F.monotonically_increasing_id(),
                CORRUPT: F.lit(None).cast("string"),
                SHAPE: F.lit(shape.ident),
                SNAPSHOT_AT: F.lit(from_micros(self.snapshot.at)).cast("timestamp"),
            }
        )

    def _origin(self) -> str:
        """Where rows are from, as provenance says it."""
        return f"jdbc:{self.wanted.relation}#{self.wanted.ident}/{self.wanted.column}"


def range_of(file: str) -> ColumnRange:
    """Relation, identity and incremental column, of provenance.

    >>> found = range_of("jdbc:public.orders#16385/updated_at")
    >>> found.relation, found.ident, found.column
    ('public.orders', '16385', 'updated_at')
    """
    relation, _, rest = file.removeprefix("jdbc:").rpartition("#")
    ident, _, column = rest.partition("/")
    return ColumnRange(relation, ident, column)


def value_of(text: str | int | None) -> int | None:
    """A value of an incremental column as bronze has it, as a whole number.

    >>> value_of("1970-01-01 00:00:01.5+00"), value_of("1970-01-02"), value_of(7), value_of(None)
    (1500000, 86400000000, 7, None)
    """
    if text is None or isinstance(text, int):
        return text
    moment = datetime.fromisoformat(text)
    return to_micros(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


def _taken_name(names: Sequence[str]) -> str:
    if SNAPSHOT_AT in map(str.lower, names):
        return f"a column is named {SNAPSHOT_AT}, which each load adds itself"
    return ""


def _complete_list(
    step: IngestStep, source: JdbcSource, tables: SparkTables, *, txn: Txn, now: datetime
) -> IngestResult:
    """After a stop between the two commits: what was loaded is what bronze holds of the load.

    Where it has no rows, nothing was new. How many rows lay in the overlap is not known any more:
    the next load looks there again.
    """
    before = extracts.newest(tables.lake, step.source)
    loaded = tables.read("bronze", step.source).where(F.col(BATCH) == step.batch)
    origin = loaded.select(FILE).first()
    if origin is None:
        wanted = _nothing_new(step, source, before)
        at = to_micros(now) if before is None else before.at
        taken = Taken(0, 0, None, at)
    else:
        wanted = range_of(origin[0])
        wanted, taken = _held(loaded, wanted, before)
    extracts.record(tables.lake, step.source, wanted, taken, txn=txn, now=now)
    return IngestResult(step.source, step.batch, 0, taken.rows, (), None)


def _nothing_new(step: IngestStep, source: JdbcSource, before: RelationRead | None) -> ColumnRange:
    if before is not None:
        return ColumnRange(before.relation, before.ident, before.column, upto=before.upto)
    with jdbc.open_snapshot(source, step.source) as snapshot:
        relation = snapshot.relation
        return ColumnRange(relation.name, relation.ident, source.incremental_column or "")


def _held(
    loaded: DataFrame, wanted: ColumnRange, before: RelationRead | None
) -> tuple[ColumnRange, Taken]:
    """What bronze has of a load, by what its rows say."""
    highest = F.max(F.col(f"`{wanted.column}`")) if wanted.column else F.lit(None)
    found = loaded.agg(highest, F.unix_micros(F.max(SNAPSHOT_AT)), F.count(F.lit(1))).first()
    if found is None:
        raise StoreError(f"bronze lost the rows of {wanted.relation}", hint="run it again")
    upto, at, rows = value_of(found[0]), int(found[1]), int(found[2])
    same = (wanted.relation, wanted.ident, wanted.column)
    if before is not None and (before.relation, before.ident, before.column) == same:
        upto = max((one for one in (before.upto, upto) if one is not None), default=None)
    return replace(wanted, upto=upto), Taken(rows, 0, None, at)

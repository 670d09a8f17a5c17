"""Changes of keys as what holds now (SCD1), or as all that held and when (SCD2).

Both follow from the set of a key's changes alone: in which order they came, how they were cut into
batches, and how often one came, is nothing to them. Changes are in the order of their sequence; of
equal ones a delete comes last, and else the one whose values are greater, column by column.
"""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame, Window, WindowSpec
from pyspark.sql import functions as F

from feldspar.compute.expressions.spark import column
from feldspar.graph.graph import History, Table
from feldspar.names import GONE, VALID_FROM, VALID_TO

_RANK, _NEXT, _BEFORE = "_rank", "_next", "_before"


def quoted(names: Sequence[str]) -> list[str]:
    """Names of columns as Spark takes them, whatever letters they have."""
    return [f"`{name}`" for name in names]


def is_delete(table: Table) -> Column:
    """Whether a typed row takes its key away."""
    condition = _deletes(table)
    return F.expr("false") if condition is None else F.coalesce(condition, F.expr("false"))


def _deletes(table: Table) -> Column | None:
    if table.history is None or table.history.deletes is None:
        return None
    return column(table.history.deletes, table.types())


def changes(versions: DataFrame, table: Table, history: History) -> DataFrame:
    """The kept columns of silver's rows, and ``GONE`` of deletes.

    Rows without a sequence, which silver may have from before it had a history, have no place.
    """
    kept = versions.select(*quoted(history.columns), is_delete(table).alias(GONE))
    for name in quoted(history.sequence):
        kept = kept.where(F.col(name).isNotNull())
    return kept


def tombstones(versions: DataFrame, table: Table, history: History) -> DataFrame:
    """Key and sequence of deletes, and ``GONE``."""
    columns = dict.fromkeys((*table.spec.key, *history.sequence))
    # as it stands, and not as is_delete: Parquet then skips what has no delete
    condition = _deletes(table)
    deletes = versions.limit(0) if condition is None else versions.where(condition)
    return deletes.select(*quoted(tuple(columns))).withColumn(GONE, F.expr("true"))


def absences(rows: DataFrame, refused: DataFrame, table: Table, history: History) -> DataFrame:
    """Deletes that snapshots tell: a key was in one, and is not in the next.

    Args:
        rows: the ``changes`` of all snapshots.
        refused: key and sequence of rows that came too, and were found wrong: they are no reason
            to take their key for gone.
        table: says what the key is.
        history: of snapshots.

    Returns:
        Key and sequence of deletes, and ``GONE``.
    """
    moment = history.sequence[0]
    names = [*table.spec.key, moment]
    present = rows.select(*quoted(names)).unionByName(refused.select(*quoted(names)))
    moments = present.select(f"`{moment}`").distinct()
    following = F.lead(F.col(f"`{moment}`")).over(Window.orderBy(f"`{moment}`"))
    followed = moments.withColumn(_NEXT, following).where(F.col(_NEXT).isNotNull())
    expected = present.join(F.broadcast(followed), moment).select(
        *quoted(table.spec.key), F.col(_NEXT).alias(moment)
    )
    return expected.join(present, names, "left_anti").withColumn(GONE, F.expr("true"))


def newest(rows: DataFrame, table: Table, history: History) -> DataFrame:
    """The last of the changes of each key, be it a delete."""
    last = _by_key(table).orderBy(*[F.col(one).desc() for one in quoted(_order(history))])
    return rows.withColumn(_RANK, F.row_number().over(last)).where(f"{_RANK} = 1").drop(_RANK)


def newer(history: History) -> str:
    """SQL over ``old``, a row of ``newest``, and ``new``, a change: the change comes after it."""
    order = _order(history)
    new = ", ".join(f"new.`{name}`" for name in order)
    old = ", ".join(f"false as {GONE}" if name == GONE else f"old.`{name}`" for name in order)
    return f"struct({new}) > struct({old})"


def intervals(rows: DataFrame, table: Table, history: History) -> DataFrame:
    """When which row held: the kept columns, ``valid_from`` and ``valid_to`` (null: it holds).

    At a moment the last of its changes counts. A row ends where the next one begins, be it a
    delete; one that changes nothing of the row before it begins nothing.
    """
    moment = F.col(f"`{history.sequence[0]}`")
    in_order = _by_key(table).orderBy(*quoted(_order(history)))
    following = F.col(_NEXT)
    last = rows.withColumn(_NEXT, F.lead(moment).over(in_order)).where(
        following.isNull() | (following != moment)
    )
    # null where the key is gone, as it is before its first change
    state = F.when(~F.col(GONE), F.struct(F.lit(1), *quoted(history.compared)))
    begins = last.withColumn(_BEFORE, F.lag(state).over(in_order)).where(
        ~state.eqNullSafe(F.col(_BEFORE))
    )
    timed = begins.withColumns({VALID_FROM: moment, VALID_TO: F.lead(moment).over(in_order)})
    return timed.where(~F.col(GONE)).drop(_NEXT, _BEFORE, GONE)


def replacements(wanted: DataFrame, held: DataFrame, names: Sequence[str]) -> DataFrame:
    """What turns the rows that a table holds of some keys into those that are wanted.

    Returns:
        Rows that differ or are new, and ``GONE`` of those, by ``names``, that are no longer.
    """
    rest = quoted([name for name in wanted.columns if name not in names])
    sides = [
        rows.select(*quoted(names), F.struct(*rest).alias(side))
        for side, rows in (("_wanted", wanted), ("_held", held))
    ]
    both = sides[0].join(sides[1], list(names), "full_outer")
    differing = both.where(~F.col("_wanted").eqNullSafe(F.col("_held")))
    return differing.select(*quoted(names), "_wanted.*", F.col("_wanted").isNull().alias(GONE))


def _by_key(table: Table) -> WindowSpec:
    return Window.partitionBy(*quoted(table.spec.key))


def _order(history: History) -> list[str]:
    values = [name for name in history.columns if name not in history.sequence]
    return [*history.sequence, GONE, *values]

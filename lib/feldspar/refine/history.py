"""silver -> history of one table: the rows that hold now (SCD1), or all that held and when (SCD2).

Silver stays what is true; history follows from it. A step takes the versions that silver got since
the last one, and touches their keys alone. Its one commit carries the cursor
``history:<table>#<generation>`` at silver's version: a step that is repeated changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from feldspar.compute.history import (
    absences,
    changes,
    intervals,
    newer,
    newest,
    quoted,
    replacements,
    tombstones,
)
from feldspar.errors import UsageError
from feldspar.graph.graph import History, Table
from feldspar.graph.steps import HistoryStep, Mode
from feldspar.names import GONE, VALID_FROM, cursor
from feldspar.refine.rows import RAW
from feldspar.refine.typing import typed_columns
from feldspar.stores.tables.log import (
    DEFINITION,
    GENERATION,
    SOURCE_GENERATION,
    STATISTICS,
    Commit,
)
from feldspar.stores.tables.spark import Declared, SparkTables, nullable

Progress = Callable[[str], None]


@dataclass(frozen=True)
class HistoryResult:
    """What one step did: rows that it wrote or changed, and rows that it took away."""

    table: str
    version: int
    rows: int = 0
    removed: int = 0


def keep_history(
    step: HistoryStep, table: Table, *, tables: SparkTables, progress: Progress
) -> HistoryResult:
    """Brings ``history.<table>`` up to the newest version of its silver table.

    Raises:
        UsageError: the table has no history in conf/.
        OvertakenError: another run has moved it on since the plan was made.
        StoreError: the log does not show the write (another driver writes here).
    """
    if table.history is None:
        raise UsageError(f"{step.name}: 'history' is not in conf/tables/{table.name}.yaml")
    work = _Work(step, table, table.history, tables)
    upto = tables.version("silver", table.name)
    declared = work.declared()
    app = cursor("history", table.name, step.generation)
    before = step.generation - (step.mode is Mode.REBUILD)
    tables.claim_at("history", table.name, app, after=step.after, generation=before)
    if step.mode is Mode.REBUILD:
        tables.replace("history", table.name, declared)
    if upto == step.after:
        tables.ensure("history", table.name, declared)
        return HistoryResult(table.name, tables.version("history", table.name))
    progress(f"{step.name}: rows of silver.{table.name} after version {step.after} up to {upto}")
    commit = work.written(declared, upto)
    done = commit.metrics.get
    return HistoryResult(
        table.name,
        commit.version,
        rows=commit.rows + done("numTargetRowsUpdated", 0),
        removed=done("numTargetRowsDeleted", 0),
    )


@dataclass(frozen=True)
class _Work:
    """One step with all that it reads."""

    step: HistoryStep
    table: Table
    history: History
    tables: SparkTables

    def declared(self) -> Declared:
        """What the table is to be."""
        properties = {
            DEFINITION: self.history.definition,
            GENERATION: str(self.step.generation),
            SOURCE_GENERATION: str(self.step.source_generation),
            # merges skip files by key
            STATISTICS: ",".join(self._names()),
        }
        return Declared(nullable(self._whole(self._silver()).schema), properties)

    def written(self, declared: Declared, upto: int) -> Commit:
        """All there is in a new table, else what the new versions change in the one there is."""
        name = self.table.name
        txn = self.tables.txn(cursor("history", name, self.step.generation), upto)
        if self.step.after is None:
            rows = self._whole(self._silver(upto))
            return self.tables.append(rows, "history", name, txn=txn, declared=declared)
        self.tables.ensure("history", name, declared)
        whole = self.history.kind == "scd2" or self.history.rows == "snapshots"
        return self.tables.merge_rows(
            self._replaced(upto) if whole else self._newest(upto),
            "history",
            name,
            same=" and ".join(f"old.{one} = new.{one}" for one in quoted(self._names())),
            newer="true" if whole else newer(self.history),
            txn=txn,
        )

    def _names(self) -> tuple[str, ...]:
        """What names a row."""
        key = self.table.spec.key
        return (*key, VALID_FROM) if self.history.kind == "scd2" else key

    def _silver(self, version: int | None = None) -> DataFrame:
        return self.tables.read("silver", self.table.name, version=version)

    def _added(self, upto: int) -> DataFrame:
        return self.tables.added("silver", self.table.name, after=self.step.after, upto=upto)

    def _whole(self, versions: DataFrame) -> DataFrame:
        """The rows that these versions come to."""
        rows = changes(versions, self.table, self.history)
        if self.history.rows == "snapshots":
            gone = absences(rows, self._refused(), self.table, self.history)
            rows = rows.unionByName(gone, allowMissingColumns=True)
        if self.history.kind == "scd2":
            return intervals(rows, self.table, self.history)
        return newest(rows, self.table, self.history).where(~F.col(GONE)).drop(GONE)

    def _refused(self) -> DataFrame:
        """Key and sequence of the rows in quarantine, where they can be read."""
        names = (*self.table.spec.key, self.history.sequence[0])
        raw = self.tables.read("quarantine", self.table.name).select(
            *[F.get_json_object(RAW, f"$['{name}']").alias(name) for name in names]
        )
        typed = [one for one in typed_columns(self.table, raw.schema) if one.name in names]
        return raw.select(*[one.value.alias(one.name) for one in typed])

    def _newest(self, upto: int) -> DataFrame:
        """The newest of the added changes of each key.

        A key that is not in the table may be a new one, or was deleted; then a change that is
        older than the delete must not bring it back. So old deletes take part.
        """
        added = self._added(upto)
        rows = changes(added, self.table, self.history)
        if self.history.deletes is not None:
            deletes = tombstones(self._silver(upto), self.table, self.history)
            rows = rows.unionByName(self._touched(deletes, added), allowMissingColumns=True)
        return newest(rows, self.table, self.history)

    def _replaced(self, upto: int) -> DataFrame:
        """What changes in the intervals of the keys that were touched.

        They are made anew from all versions: a change that came to nothing by then, and that no
        interval shows, may begin one once a late change lies before it. A snapshot touches every
        key, for it tells also of those that it lacks.
        """
        versions = self._silver(upto)
        held = self.tables.read("history", self.table.name)
        if self.history.rows == "changes":
            added = self._added(upto)
            versions, held = self._touched(versions, added), self._touched(held, added)
        wanted = self._whole(versions)
        return replacements(wanted, held.select(*quoted(wanted.columns)), self._names())

    def _touched(self, rows: DataFrame, added: DataFrame) -> DataFrame:
        key = list(self.table.spec.key)
        return rows.join(added.select(*quoted(key)), key, "left_semi")

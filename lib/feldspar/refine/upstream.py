"""What a silver table reads: its bronze table, or a Delta table that somebody else keeps.

Both are ranges of Delta versions with the same provenance columns, so the rest of ``refine``
cannot tell them apart.
"""

from __future__ import annotations

from dataclasses import dataclass

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from feldspar.errors import StoreError
from feldspar.graph.graph import Table
from feldspar.names import BATCH, POSITION
from feldspar.spec.source import DeltaSource
from feldspar.stores.tables import log, shapes
from feldspar.stores.tables.external import ExternalTable
from feldspar.stores.tables.paths import plain_path
from feldspar.stores.tables.spark import SparkTables, rows_of
from feldspar.times import from_micros

_INGESTED_AT = "_ingested_at"
_PATH = "_path"
_JSON = "json"


@dataclass(frozen=True)
class Upstream:
    """The rows a table is made from."""

    table: Table
    tables: SparkTables

    @property
    def external(self) -> ExternalTable | None:
        """The Delta table of somebody else, where that is the source."""
        source = self.table.source
        if isinstance(source, DeltaSource):
            lake = self.tables.lake
            return ExternalTable(lake.source_uri(source.path), lake.storage)
        return None

    def version(self) -> int:
        """The newest version."""
        if self.external is not None:
            return self.external.version()
        return self.tables.version("bronze", self.table.source_name)

    def rows(self, *, after: int | None, upto: int) -> DataFrame:
        """Rows of the versions in (after, upto] with provenance columns."""
        if self.external is None:
            return self.tables.added("bronze", self.table.source_name, after=after, upto=upto)
        rows = self._external_rows(self.external, after=after, upto=upto)
        return rows.withColumns(
            {"_file": F.lit(self.external.uri), POSITION: F.monotonically_increasing_id()}
        )

    def lacking(self) -> dict[str, tuple[int, ...]]:
        """By required column the shapes of files without it; lines of JSON may leave out nulls."""
        if self.external is not None:
            return {}
        known = shapes.of_source(self.tables.lake, self.table.source_name)
        held = [one for one in known if one.format != _JSON]
        required = [name for name, one in self.table.spec.columns.items() if not one.optional]
        found = {
            name: tuple(one.ident for one in held if name not in one.columns) for name in required
        }
        return {name: idents for name, idents in found.items() if idents}

    def row_count(self, *, after: int | None, upto: int) -> int:
        """Rows in the range, counted apart from the pass that writes them."""
        if self.external is None:
            name = self.table.source_name
            return log.rows_between(self.tables.lake, "bronze", name, after=after, upto=upto)
        return self._external_rows(self.external, after=after, upto=upto).count()

    def size(self, *, after: int | None, upto: int) -> int | None:
        """Bytes of the files in the range; None where it is not looked at, or all there are."""
        if self.external is not None:
            return None
        return self.tables.added_size("bronze", self.table.source_name, after=after, upto=upto)

    def _external_rows(self, external: ExternalTable, *, after: int | None, upto: int) -> DataFrame:
        """Rows with the version that brought them as batch, and its time as time of arrival."""
        reader = self.tables.spark.read.format("delta").option("versionAsOf", upto)
        snapshot = reader.load(external.uri).withColumns(
            {
                BATCH: F.lit(upto).cast("bigint"),
                _INGESTED_AT: F.lit(external.committed_at(upto)).cast("timestamp"),
            }
        )
        source = self.table.source
        if after is None:
            return snapshot
        if after >= upto:
            return snapshot.limit(0)
        if isinstance(source, DeltaSource) and source.read == "change_feed":
            return self._changes(external, after=after, upto=upto)
        files = external.added_files(after=after, upto=upto)
        return self._appended(external, snapshot, files=files) if files else snapshot.limit(0)

    def _appended(
        self, external: ExternalTable, snapshot: DataFrame, *, files: list[log.AddedFile]
    ) -> DataFrame:
        spark = self.tables.spark
        schema = snapshot.drop(BATCH, _INGESTED_AT).schema
        rows = rows_of(spark, files, uri=external.uri, schema=schema)
        columns = [F.col(f"`{field.name}`") for field in schema]
        placed = rows.select(*columns, plain_path(F.col("_metadata.file_path")).alias(_PATH))
        arrivals = spark.createDataFrame(
            [(file.path, file.version, from_micros(file.committed)) for file in files],
            f"{_PATH} string, {BATCH} bigint, {_INGESTED_AT} timestamp",
        )
        return placed.join(F.broadcast(arrivals), _PATH).drop(_PATH)

    def _changes(self, external: ExternalTable, *, after: int, upto: int) -> DataFrame:
        if not external.keeps_changes():
            raise StoreError(
                f"{external.uri} writes no change feed (delta.enableChangeDataFeed is not true)",
                hint="turn it on there, or read this source with 'read: versions'",
            )
        changes = (
            self.tables.spark.read.format("delta")
            .option("readChangeFeed", "true")
            .option("startingVersion", after + 1)
            .option("endingVersion", upto)
            .load(external.uri)
        )
        if not changes.where("_change_type = 'delete'").isEmpty():
            raise StoreError(
                f"{external.uri} deleted rows between versions {after + 1} and {upto}",
                hint="deletions are not taken over: rows may be added and updated",
            )
        rows = changes.where("_change_type in ('insert', 'update_postimage')")
        return rows.withColumnsRenamed(
            {"_commit_version": BATCH, "_commit_timestamp": _INGESTED_AT}
        ).drop("_change_type")

"""Delta tables for Spark stages: create, read a range of versions, append and merge exactly once.

Every write is named by a cursor (appId, version) that Delta commits together with the rows; a
repeated write is skipped by Delta, and each write reads its own commit back to be sure of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from delta.tables import DeltaMergeBuilder, DeltaTable
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.readwriter import DataFrameWriterV2
from pyspark.sql.types import StructField, StructType

from feldspar.errors import StoreError, TableNotFoundError
from feldspar.names import GONE
from feldspar.stores import objects
from feldspar.stores.tables import epochs, log
from feldspar.stores.tables.bucketed import BucketedTable, added_in_buckets, bucketed_table
from feldspar.stores.tables.conflicts import told_whose
from feldspar.stores.tables.lake import Lake
from feldspar.stores.tables.log import Txn
from feldspar.stores.tables.paths import literal_path
from feldspar.stores.tables.small import SMALL, append_small, spark_schema

KEEP_LOG = {"delta.enableExpiredLogCleanup": "false", "delta.checkpointInterval": "10"}
"""Delta would cut logs by age alone, whoever still reads them; ``feldspar vacuum`` asks first. And
of two kinds of writers one would let a hundred commits pass before it sums them up.
"""
KEEP_SIMPLE = {
    "delta.enableDeletionVectors": "false",
    "delta.columnMapping.mode": "none",
    "delta.enableChangeDataFeed": "false",
    **KEEP_LOG,
}
"""Table features every reader knows: delta-rs, DuckDB and Arrow tasks read the same files."""


def struct(ddl: str) -> StructType:
    """The schema that a text such as ``name string, rows bigint`` says."""
    schema = StructType.fromDDL(ddl)
    if not isinstance(schema, StructType):
        raise StoreError(f"{ddl!r} is no list of columns")
    return schema


def nullable(schema: StructType) -> StructType:
    """The same columns, none of them required: tables say what they promise by checks."""
    return StructType([StructField(field.name, field.dataType) for field in schema])


def rows_of(
    spark: SparkSession, files: Sequence[log.AddedFile], *, uri: str, schema: StructType
) -> DataFrame:
    """Rows of some data files of the Delta table in a folder, with its partition columns."""
    reader = spark.read.schema(schema).option("basePath", uri)
    return reader.parquet(*[literal_path(file.path) for file in files])


def _limit(rows_a_file: int | None) -> dict[str, str]:
    """The writer's option for the most rows in a file."""
    return {} if rows_a_file is None else {"maxRecordsPerFile": str(rows_a_file)}


@dataclass(frozen=True)
class Declared:
    """What a table is made with: its columns, its properties, the columns it is split by.

    ``rows_a_file``: an appended file has at most so many; None: no limit.
    """

    schema: StructType
    properties: Mapping[str, str] = field(default_factory=dict)
    partition_by: tuple[str, ...] = ()
    rows_a_file: int | None = None


@dataclass(frozen=True)
class SparkTables:
    """The lake's tables through one Spark session."""

    spark: SparkSession
    lake: Lake
    epoch: int = 0
    """Of the run that writes (``epochs``); 0: nobody else writes here."""
    size: int | None = None
    """Bytes of what the rows to be written are made from; None: nobody has looked, maybe many."""

    def sized(self, size: int | None) -> SparkTables:
        """The same for a write of rows that are made from so many bytes."""
        return replace(self, size=size)

    def txn(self, app: str, position: int) -> Txn:
        """Names a write of this run."""
        return Txn(app, position, self.epoch)

    def claim(self, layer: str, name: str, app: str) -> epochs.Claim:
        """Shuts earlier runs out from a cursor, and says how far it is.

        Raises:
            OvertakenError: a later run has claimed it.
        """
        return epochs.claim(self.lake, layer, name, app=app, epoch=self.epoch)

    def claim_at(
        self, layer: str, name: str, app: str, *, after: int | None, generation: int
    ) -> None:
        """Claims a table that a plan wants to go on with, where it is as the plan found it.

        Args:
            layer: the table's layer.
            name: the table's name.
            app: the cursor.
            after: how far the cursor was.
            generation: how often the table was rebuilt.

        Raises:
            OvertakenError: another run has moved it on, or a later run has claimed it.
        """
        if not self.epoch:
            return
        found = self.claim(layer, name, app)
        if found.generation is not None:
            what = f"{layer}.{name}"
            epochs.refuse_stale(f"{what}, generation", planned=generation, found=found.generation)
            epochs.refuse_stale(what, planned=after, found=found.position)

    def exists(self, layer: str, name: str) -> bool:
        """Whether the table is there."""
        return log.is_there(self.lake, layer, name)

    def schema(self, layer: str, name: str, *, version: int | None = None) -> StructType:
        """Columns and types of the newest or of one version; Spark is not asked.

        Raises:
            TableNotFoundError: there is no such table.
        """
        return spark_schema(log.schema_text(self.lake, layer, name, version=version))

    def version(self, layer: str, name: str) -> int:
        """The newest version.

        Raises:
            TableNotFoundError: there is no such table.
        """
        return log.open_table(self.lake, layer, name).version()

    def properties(self, layer: str, name: str) -> dict[str, str]:
        """The table's properties."""
        return dict(log.open_table(self.lake, layer, name).metadata().configuration)

    def files(self, layer: str, name: str, *, version: int) -> BucketedTable | None:
        """The files of a version by bucket, for tasks that read them; None: they may not or cannot.

        Raises:
            TableNotFoundError: there is no such table.
        """
        if not self.lake.storage.direct_reads:
            return None
        return bucketed_table(self.lake, layer, name, version=version)

    def added_in_buckets(
        self, layer: str, name: str, *, after: int, upto: int
    ) -> BucketedTable | None:
        """The files that the versions in (after, upto] added, as ``files``.

        Raises:
            TableNotFoundError: there is no such table.
        """
        if not self.lake.storage.direct_reads:
            return None
        return added_in_buckets(self.lake, layer, name, after=after, upto=upto)

    def may_hold(self, layer: str, name: str, column: str, low: object, high: object) -> bool:
        """Whether some row may have a value from ``low`` to ``high``, as the files' statistics say.

        Raises:
            TableNotFoundError: there is no such table.
        """
        return log.may_hold(self.lake, layer, name, column=column, low=low, high=high)

    def rows_at(self, layer: str, name: str, *, version: int) -> int:
        """Rows of one version of a table, as its files count them."""
        return log.rows_between(self.lake, layer, name, after=None, upto=version)

    def lacks(self, layer: str, name: str, *, txn: Txn) -> bool:
        """Whether the table is there, and a write (or one that came after it) is not.

        Raises:
            OvertakenError: a later run has written to it, or made it.
        """
        try:
            table = epochs.open_claimed(self.lake, layer, name, txn=txn)
        except TableNotFoundError:
            return False
        done = log.last_txn(table, txn.app)
        return done is None or done.position < txn.position

    def commit(self, layer: str, name: str, version: int) -> log.Commit:
        """What one version did."""
        return log.read_commit(self.lake, layer, name, version=version)

    def ensure(self, layer: str, name: str, declared: Declared) -> None:
        """Creates the table, or brings columns and properties of an existing one up to date."""
        try:
            table = log.open_table(self.lake, layer, name)
        except TableNotFoundError:
            self._create_empty(layer, name, declared)
            table = log.open_table(self.lake, layer, name)
        known = {one.name for one in table.schema().fields}
        self._add_columns(layer, name, [one for one in declared.schema if one.name not in known])
        held, wanted = table.metadata().configuration, {**KEEP_LOG, **declared.properties}
        changed = {key: value for key, value in wanted.items() if held.get(key) != value}
        self._set_properties(layer, name, changed)

    def replace(self, layer: str, name: str, declared: Declared) -> None:
        """An empty table in place of the old one, in one commit; old versions stay readable.

        Raises:
            OvertakenError: a later run has claimed the table.
        """
        if not self.exists(layer, name):
            self.ensure(layer, name, declared)
            return
        rows = self.spark.createDataFrame([], declared.schema)
        new = self._declared(rows, layer, name, declared)
        if not self.epoch:
            new.replace()
            return
        generation = int(declared.properties.get(log.GENERATION, "0"))
        txn = self.txn(epochs.REPLACE, generation)
        new.option("txnAppId", txn.app).option("txnVersion", str(txn.version)).replace()
        log.confirmed(self.lake, layer, name, txn=txn)

    def read(self, layer: str, name: str, *, version: int | None = None) -> DataFrame:
        """The whole table, newest or at one version."""
        if not self.exists(layer, name):
            raise TableNotFoundError(
                f"there is no table {layer}.{name} in namespace {self.lake.namespace!r}",
                hint="see: feldspar show tables; make it with: feldspar apply",
            )
        reader = self.spark.read.format("delta")
        if version is not None:
            reader = reader.option("versionAsOf", version)
        return reader.load(self.lake.uri(layer, name))

    def added(self, layer: str, name: str, *, after: int | None, upto: int) -> DataFrame:
        """Rows that the versions in (after, upto] of an append-only table added."""
        uri = self.lake.uri(layer, name)
        files = [] if after is None else self._added_files(uri, after=after, upto=upto)
        if not files:
            everything = self.read(layer, name, version=upto)
            return everything if after is None else everything.limit(0)
        fields = self.schema(layer, name, version=upto)
        rows = rows_of(self.spark, files, uri=uri, schema=fields)
        return rows.select([F.col(f"`{field.name}`") for field in fields])

    def added_size(self, layer: str, name: str, *, after: int | None, upto: int) -> int | None:
        """Bytes of the files that the versions in (after, upto] added; None: all of the table."""
        if after is None:
            return None
        files = self._added_files(self.lake.uri(layer, name), after=after, upto=upto)
        return sum(file.size for file in files)

    def _added_files(self, uri: str, *, after: int, upto: int) -> list[log.AddedFile]:
        return log.added_files(self.lake.storage, uri, after=after, upto=upto)

    def changes(self, layer: str, name: str) -> DataFrame:
        """The table as a stream that starts with what is there; of rewritten rows it says nothing.

        Raises:
            TableNotFoundError: there is no such table.
        """
        self.version(layer, name)
        reader = self.spark.readStream.format("delta").option("skipChangeCommits", "true")
        return reader.load(self.lake.uri(layer, name))

    def append(
        self, df: DataFrame, layer: str, name: str, *, txn: Txn, declared: Declared | None = None
    ) -> log.Commit:
        """Appends once: a repeat of the same ``txn`` changes nothing.

        Args:
            df: rows with the table's columns.
            layer: the table's layer.
            name: the table's name.
            txn: names the write.
            declared: what the table is to be; a new one is made by this very commit.

        Returns:
            The commit that carries ``txn``, be it this one or an earlier try's.

        Raises:
            OvertakenError: a later run has claimed the table.
            StoreError: the table's log does not show this write (another driver writes here).
        """
        if declared is not None and self._is_free(layer, name):
            self._create_with(df, layer, name, declared=declared, txn=txn)
            return log.confirmed(self.lake, layer, name, txn=txn)
        if declared is not None:
            self.ensure(layer, name, declared)
        rows_a_file = None if declared is None else declared.rows_a_file
        lake = self.lake
        if not self._is_small() or not append_small(
            df, lake, layer, name, txn=txn, rows_a_file=rows_a_file
        ):
            epochs.open_claimed(lake, layer, name, txn=txn)
            writer = df.write.format("delta").mode("append").options(**_limit(rows_a_file))
            writer = writer.option("txnAppId", txn.app).option("txnVersion", txn.version)
            with told_whose(lake, layer, name, txn=txn):
                writer.save(lake.uri(layer, name))
        return log.confirmed(lake, layer, name, txn=txn)

    def _is_small(self) -> bool:
        """Whether rows are known to be few, and tasks may write files themselves."""
        return self.size is not None and self.size <= SMALL and self.lake.storage.direct_reads

    def append_noted(
        self, df: DataFrame, layer: str, name: str, *, txn: Txn, note: str
    ) -> log.Commit:
        """Appends once to a table that is there, in a commit that carries ``note``.

        Returns:
            The commit that carries ``txn``; its note is another one where somebody else was first.
        """
        writer = df.write.format("delta").mode("append").option("userMetadata", note)
        writer = writer.option("txnAppId", txn.app).option("txnVersion", txn.version)
        writer.save(self.lake.uri(layer, name))
        return log.confirmed(self.lake, layer, name, txn=txn)

    def merge_new(
        self,
        df: DataFrame,
        layer: str,
        name: str,
        *,
        same: str,
        txn: Txn,
        declared: Declared | None = None,
    ) -> log.Commit:
        """Inserts the rows of ``df`` (alias ``new``) that match no row (alias ``old``).

        Args:
            df: candidate rows; columns that the table has and they have not are null.
            layer: the table's layer.
            name: the table's name.
            same: SQL condition over ``old`` and ``new`` that makes a candidate a duplicate.
            txn: names the write.
            declared: what the table is to be.

        Returns:
            The commit that carries ``txn``; its ``rows`` are the rows inserted.
        """
        if not self.exists(layer, name) or log.is_empty(self.lake, layer, name):
            # nothing to be the same as: a plain append costs half of a MERGE
            return self.append(df, layer, name, txn=txn, declared=declared)
        if declared is not None:
            self.ensure(layer, name, declared)
        rows = self._with_all_columns(df, layer, name)
        merge = self._merge(rows, layer, name, same=same, txn=txn).whenNotMatchedInsertAll()
        with told_whose(self.lake, layer, name, txn=txn):
            merge.execute()
        return log.confirmed(self.lake, layer, name, txn=txn)

    def _with_all_columns(self, df: DataFrame, layer: str, name: str) -> DataFrame:
        """The rows with nulls in columns that the table has and they have not."""
        fields = self.schema(layer, name)
        missing = [field for field in fields if field.name not in df.columns]
        return df.withColumns({one.name: F.lit(None).cast(one.dataType) for one in missing})

    def merge_rows(
        self, df: DataFrame, layer: str, name: str, *, same: str, newer: str, txn: Txn
    ) -> log.Commit:
        """Puts the rows of ``df`` (alias ``new``) in place of those of the table (alias ``old``).

        Args:
            df: the table's columns and ``GONE``; where that is true, a row goes and none comes.
            layer: the table's layer.
            name: the table's name.
            same: SQL condition over ``old`` and ``new`` that makes one replace the other.
            newer: SQL condition over both, without which ``old`` stays.
            txn: names the write.

        Returns:
            The commit that carries ``txn``.
        """
        merge = self._merge(df, layer, name, same=same, txn=txn)
        merge = merge.whenMatchedDelete(f"new.{GONE} and {newer}").whenMatchedUpdateAll(newer)
        merge = merge.whenNotMatchedInsertAll(f"not new.{GONE}")
        with told_whose(self.lake, layer, name, txn=txn):
            merge.execute()
        return log.confirmed(self.lake, layer, name, txn=txn)

    def _merge(
        self, df: DataFrame, layer: str, name: str, *, same: str, txn: Txn
    ) -> DeltaMergeBuilder:
        epochs.open_claimed(self.lake, layer, name, txn=txn)
        # Delta takes a MERGE's txn from session settings alone: a session of its own, so that
        # no other write of this application inherits it (measured: settings leak otherwise)
        session = self.spark.newSession()
        session.conf.set("spark.databricks.delta.write.txnAppId", txn.app)
        session.conf.set("spark.databricks.delta.write.txnVersion", str(txn.version))
        session.conf.set("spark.databricks.delta.schema.autoMerge.enabled", "false")
        table = DeltaTable.forPath(session, self.lake.uri(layer, name)).alias("old")
        return table.merge(df.alias("new"), same)

    def merge_columns(
        self, df: DataFrame, layer: str, name: str, *, same: str, columns: Sequence[str]
    ) -> None:
        """Sets ``columns`` of matching rows; a repeat sets the same values again."""
        (
            DeltaTable.forPath(self.spark, self.lake.uri(layer, name))
            .alias("old")
            .merge(df.alias("new"), same)
            .whenMatchedUpdate(set={column: F.col(f"new.`{column}`") for column in columns})
            .execute()
        )

    def rewrite(
        self,
        df: DataFrame,
        layer: str,
        name: str,
        *,
        where: str,
        version: int,
        rows_a_file: int | None = None,
    ) -> None:
        """Puts ``df`` in place of the files of some partitions that hold the same rows.

        Readers of changes see none: the commit says that no row came or went.

        Args:
            df: the rows.
            layer: the table's layer.
            name: the table's name.
            where: the partitions.
            version: of the table, that ``df`` was read at.
            rows_a_file: at most; None: no limit.

        Raises:
            OvertakenError: a later run has claimed the table: it may have added rows since.
        """
        txn = self.txn(epochs.CARE, version)
        writer = df.write.format("delta").mode("overwrite").options(**_limit(rows_a_file))
        writer = writer.option("replaceWhere", where).option("dataChange", "false")
        writer = writer.option("txnAppId", txn.app).option("txnVersion", txn.version)
        with told_whose(self.lake, layer, name, txn=txn):
            writer.save(self.lake.uri(layer, name))
        log.confirmed(self.lake, layer, name, txn=txn)

    def overwrite(self, df: DataFrame, layer: str, name: str, *, note: str) -> int:
        """Replaces a table's rows and columns in one commit that carries ``note``.

        Returns:
            The version written; older ones stay readable.
        """
        writer = df.write.format("delta").mode("overwrite").option("overwriteSchema", "true")
        writer = writer.options(**KEEP_SIMPLE).option("userMetadata", note)
        writer.save(self.lake.uri(layer, name))
        return self.version(layer, name)

    def _is_free(self, layer: str, name: str) -> bool:
        """Whether nothing lies where the table would: no table, and no files of a write that was
        stopped, which Spark would take for one.
        """
        return not objects.exists(self.lake.storage, self.lake.uri(layer, name))

    def _create_with(
        self, df: DataFrame, layer: str, name: str, *, declared: Declared, txn: Txn
    ) -> None:
        """Table and first rows in one commit: Delta looks up ``txn`` in a table's state, and
        computing that of an empty table costs more than writing to it (1.9 s to 0.4 s).
        """
        new = self._declared(df, layer, name, declared).options(**_limit(declared.rows_a_file))
        new.option("txnAppId", txn.app).option("txnVersion", str(txn.version)).create()

    def _declared(
        self, df: DataFrame, layer: str, name: str, declared: Declared
    ) -> DataFrameWriterV2:
        """The writer of a table that is made as declared."""
        new = df.writeTo(f"delta.`{self.lake.uri(layer, name)}`").using("delta")
        for key, value in {**KEEP_SIMPLE, **declared.properties}.items():
            new = new.tableProperty(key, value)
        if declared.partition_by:
            new = new.partitionedBy(*[F.col(f"`{column}`") for column in declared.partition_by])
        return new

    def _create_empty(self, layer: str, name: str, declared: Declared) -> None:
        """By a write without rows: what else makes tables refuses a folder that is not empty, as
        a write leaves it that was stopped before its commit.
        """
        own = {key: one for key, one in declared.properties.items() if key.startswith("delta.")}
        rows = self.spark.createDataFrame([], declared.schema).write.format("delta")
        rows = rows.mode("append").options(**KEEP_SIMPLE, **own)
        if declared.partition_by:
            rows = rows.partitionBy(*declared.partition_by)
        rows.save(self.lake.uri(layer, name))

    def _add_columns(self, layer: str, name: str, missing: Sequence[StructField]) -> None:
        if missing:
            fields = ", ".join(f"`{one.name}` {one.dataType.simpleString()}" for one in missing)
            self.spark.sql(
                f"ALTER TABLE delta.`{self.lake.uri(layer, name)}` ADD COLUMNS ({fields})"
            )

    def _set_properties(self, layer: str, name: str, changed: Mapping[str, str]) -> None:
        if changed:
            pairs = ", ".join(f"'{key}' = '{_quoted(value)}'" for key, value in changed.items())
            uri = self.lake.uri(layer, name)
            self.spark.sql(f"ALTER TABLE delta.`{uri}` SET TBLPROPERTIES ({pairs})")


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "\\'")

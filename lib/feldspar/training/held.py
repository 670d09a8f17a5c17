"""A training set that lies in the lake: its rows at one version, and their manifest."""

from __future__ import annotations

from dataclasses import dataclass

from pyspark.sql import DataFrame

from feldspar.errors import UsageError
from feldspar.names import set_name
from feldspar.stores.tables import log
from feldspar.stores.tables.spark import SparkTables
from feldspar.training.manifest import Manifest

LAYER = "training"
_UPKEEP = ("OPTIMIZE", "VACUUM START", "VACUUM END", "SET TBLPROPERTIES")
"""What may be done to a table after its rows were written, and leaves them as they were."""


@dataclass(frozen=True, eq=False)
class HeldSet:
    """One version of a training set.

    Attributes:
        table: its name in the layer.
        version: of the Delta table.
        rows: spine columns and features.
        manifest: what they were made of.
    """

    table: str
    version: int
    rows: DataFrame
    manifest: Manifest

    @property
    def name(self) -> str:
        """As users write it, e.g. ``training.payments@3``."""
        return f"{LAYER}.{self.table}@{self.version}"

    @property
    def spine_columns(self) -> tuple[str, ...]:
        """Columns that its spine brought."""
        return tuple(one for one in self.rows.columns if one not in self.manifest.features)


def open_set(tables: SparkTables, name: str) -> HeldSet:
    """A set by name: ``training.payments``, or an earlier version of it, ``training.payments@3``.

    Raises:
        UsageError: the name has another form, or there is no such version yet.
        TableNotFoundError: there is no such table.
        InputError: its version carries no manifest.
        StoreError: its log no longer keeps this version.
    """
    table, asked = set_name(name)
    newest = tables.version(LAYER, table)
    version = newest if asked is None else asked
    if version > newest:
        raise UsageError(
            f"{name}: there is no version {version}; the newest is {newest}",
            hint=f"see: feldspar show tables; {LAYER}.{table} is its newest version",
        )
    manifest = Manifest.from_json(_note(tables, table, version), name=f"{LAYER}.{table}@{version}")
    return HeldSet(table, version, tables.read(LAYER, table, version=version), manifest)


def _note(tables: SparkTables, table: str, version: int) -> str:
    commit = tables.commit(LAYER, table, version)
    while not commit.note and commit.operation in _UPKEEP and commit.version:
        commit = log.read_commit(tables.lake, LAYER, table, version=commit.version - 1)
    return commit.note

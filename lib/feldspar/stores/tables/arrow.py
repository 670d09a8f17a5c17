"""Reads tables as Arrow without a JVM, for the console, tests and small looks into the lake."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.dataset as ds

from feldspar.stores.tables import log
from feldspar.stores.tables.again import again
from feldspar.stores.tables.lake import Lake


def dataset(lake: Lake, layer: str, name: str, *, version: int | None = None) -> ds.Dataset:
    """A lazy Arrow dataset of one version of a table.

    Raises:
        TableNotFoundError: there is no such table.
    """
    table = log.open_table(lake, layer, name)
    if version is not None:
        table.load_as_version(version)
    return table.to_pyarrow_dataset()


@again
def read(lake: Lake, layer: str, name: str, *, columns: Sequence[str] | None = None) -> pa.Table:
    """The newest version in memory: for tables that stay small (ledger, files, validations)."""
    found: pa.Table = dataset(lake, layer, name).to_table(
        columns=None if columns is None else list(columns)
    )
    return found

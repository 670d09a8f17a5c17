"""Frames by the name a user types: ``layer.table`` or a Parquet file or folder.

Only ``training.<name>`` can be written: the other layers have stages that own them.
"""

from __future__ import annotations

import re
import uuid

from pyarrow import fs
from pyspark.sql import DataFrame

from feldspar.errors import InputError, UsageError
from feldspar.stores import objects
from feldspar.stores.tables.lake import LAYERS
from feldspar.stores.tables.spark import SparkTables

_TABLE = re.compile(rf"^({'|'.join(LAYERS)})\.(\w+)$")


def read_frame(tables: SparkTables, name: str) -> DataFrame:
    """A table's newest version, or all rows of a Parquet file or folder.

    Raises:
        TableNotFoundError: no such table.
        InputError: no such file.
    """
    table = _TABLE.match(name)
    if table:
        return tables.read(table.group(1), table.group(2))
    if not objects.list_files(name, tables.lake.storage):
        raise InputError(
            f"{name}: no Parquet files there",
            hint=f"give a file, a folder, or a table such as silver.orders ({', '.join(LAYERS)})",
        )
    return tables.spark.read.parquet(_spark_path(name))


def check_target(tables: SparkTables, name: str) -> None:
    """Finds out before the work starts whether ``write_frame`` may write there.

    Raises:
        UsageError: a table of another layer.
        InputError: a folder that holds something already.
    """
    table = _TABLE.match(name)
    if table and table.group(1) != "training":
        text = f"{name}: only tables of the layer training can be written by name"
        raise UsageError(text, hint=f"write training.{table.group(2)} or a Parquet file")
    if table or name.endswith(".parquet"):
        return
    filesystem, path = objects.filesystem(tables.lake.storage, name)
    if filesystem.get_file_info(fs.FileSelector(path, allow_not_found=True)):
        text = f"{name}: the folder is there and is not empty"
        raise InputError(text, hint="name another folder, or a file that ends in .parquet")


def write_frame(df: DataFrame, name: str, *, tables: SparkTables, note: str) -> None:
    """Writes a table, one Parquet file (the name ends in .parquet) or a folder of them.

    A table or a file is replaced in one step; ``note`` goes with it, into the commit or into
    ``<name>.manifest.json`` beside it.
    """
    check_target(tables, name)
    table = _TABLE.match(name)
    if table:
        tables.overwrite(df, table.group(1), table.group(2), note=note)
        return
    if name.endswith(".parquet"):
        _one_file(df, name, tables)
    else:
        df.write.parquet(_spark_path(name))
    beside = f"{name.rstrip('/')}.manifest.json"
    objects.write_bytes(beside, note.encode(), storage=tables.lake.storage)


def _one_file(df: DataFrame, name: str, tables: SparkTables) -> None:
    """Spark writes folders: the one part of it is moved into place."""
    folder = f"{name}.{uuid.uuid4().hex[:8]}"
    filesystem, path = objects.filesystem(tables.lake.storage, folder)
    _, target = objects.filesystem(tables.lake.storage, name)
    try:
        df.repartition(1).write.parquet(_spark_path(folder))
        found = filesystem.get_file_info(fs.FileSelector(path))
        parts = [one.path for one in found if one.base_name.startswith("part-")]
        filesystem.move(parts[0], target)
    finally:
        if filesystem.get_file_info(path).type is fs.FileType.Directory:
            filesystem.delete_dir(path)


def _spark_path(name: str) -> str:
    scheme, separator, rest = name.partition("://")
    if not separator:
        return str(objects.local_path(name).absolute())
    return f"s3a://{rest}" if scheme == "s3" else name

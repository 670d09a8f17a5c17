"""Frames by the name a user types: ``layer.table`` or a Parquet file or folder.

Only ``training.<name>`` can be written: the other layers have stages that own them.
"""

from __future__ import annotations

import json
import re
from typing import Any

from py4j.protocol import Py4JJavaError
from pyarrow import fs
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import StructType

from feldspar.errors import InputError, UsageError
from feldspar.stores import objects
from feldspar.stores.parts import Rows, write_file, write_folder
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
    files = objects.list_files(name, tables.lake.storage)
    if not files:
        raise InputError(
            f"{name}: no Parquet files there",
            hint=f"give a file, a folder, or a table such as silver.orders ({', '.join(LAYERS)})",
        )
    schema = _schema_of(_spark_path(files[0].uri), tables.spark)
    return tables.spark.read.schema(schema).parquet(_spark_path(name))


def _schema_of(path: str, spark: SparkSession) -> StructType:
    """The columns of a Parquet file as Spark finds them, read by the driver.

    ``spark.read.parquet`` looks at one file, too, but by a job of its own: the first one of a
    session takes three seconds and more.

    Raises:
        InputError: it is no Parquet file.
    """
    # pyspark has no public way to a footer; this is what its own job calls
    jvm: Any = spark._jvm  # noqa: SLF001
    state = spark._jsparkSession.sessionState()  # noqa: SLF001
    hadoop, at = jvm.org.apache.parquet.hadoop, jvm.org.apache.hadoop.fs.Path(path)
    parquet = jvm.org.apache.spark.sql.execution.datasources.parquet
    try:
        file = hadoop.ParquetFileReader.open(
            hadoop.util.HadoopInputFile.fromPath(at, state.newHadoopConf())
        )
    except Py4JJavaError as error:
        text = f"{path}: {error.java_exception.getMessage()}"
        raise InputError(
            text, hint="is it a Parquet file? name one, or a folder of them"
        ) from error
    footer = hadoop.Footer(at, file.getFooter())
    file.close()
    converter = parquet.ParquetToSparkSchemaConverter(state.conf())
    found = parquet.ParquetFileFormat.readSchemaFromFooter(footer, converter)
    return StructType.fromJson(json.loads(found.json()))


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


def write_frame(rows: Rows, name: str, *, tables: SparkTables, note: str) -> None:
    """Writes a table, one Parquet file (the name ends in .parquet) or a folder of them.

    A table or a file is replaced in one step; ``note`` goes with it, into the commit or into
    ``<name>.manifest.json`` beside it.
    """
    check_target(tables, name)
    table = _TABLE.match(name)
    if table:
        tables.overwrite(rows.frame(), table.group(1), table.group(2), note=note)
        return
    if name.endswith(".parquet"):
        write_file(rows, name, storage=tables.lake.storage)
    else:
        write_folder(rows, name, storage=tables.lake.storage)
    beside = f"{name.rstrip('/')}.manifest.json"
    objects.write_bytes(beside, note.encode(), storage=tables.lake.storage)


def _spark_path(name: str) -> str:
    scheme, separator, rest = name.partition("://")
    if not separator:
        return str(objects.local_path(name).absolute())
    return f"s3a://{rest}" if scheme == "s3" else name

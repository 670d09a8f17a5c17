"""What becomes of columns that a table does not declare, as its ``unknown_columns`` says.

A feed gets columns without a word. By ``quarantine`` and ``fail`` a value in one is a reason to
refuse the row, by ``rescue`` it is kept as text beside the row, by ``evolve`` the table gets the
column, by ``ignore`` it stays in bronze alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, MapType, StructType

from feldspar.compute.checks.rows import FailedWhen
from feldspar.errors import InputError
from feldspar.graph.graph import Table
from feldspar.names import REASONS, RESCUED
from feldspar.refine.envelope import UNKNOWN, as_json, is_enveloped

REASON = "unknown_column"
_REFUSED = ("quarantine", "fail")


def undeclared(raw: DataFrame, table: Table, *, known: Sequence[str]) -> list[str]:
    """Names of the raw rows' columns that neither the table declares nor the platform ``known``."""
    return [name for name in raw.columns if name not in {*table.spec.columns, *known}]


def refusals(names: Sequence[str], table: Table) -> list[FailedWhen]:
    """Reasons to refuse rows, for a value in one of these columns."""
    policy = table.spec.unknown_columns
    refused = names if policy in _REFUSED else []
    if policy == "evolve":
        refused = [name for name in names if not _may_be_added(name, table)]
    return [FailedWhen(f"{name}:{REASON}", F.col(f"`{name}`").isNotNull()) for name in refused]


def additions(raw: DataFrame, names: Sequence[str], table: Table) -> dict[str, Column]:
    """The columns that silver gets beside the declared ones."""
    match table.spec.unknown_columns:
        case "rescue":
            return {RESCUED: _rescued(raw, names, table)}
        case "evolve":
            return {name: _kept(raw, name) for name in names if _may_be_added(name, table)}
        case _:
            return {}


def _may_be_added(name: str, table: Table) -> bool:
    """Spark and Delta know no names that differ by case alone; ``_`` begins the platform's own."""
    declared = {column.lower() for column in table.spec.columns}
    return not name.startswith("_") and name.lower() not in declared


def _kept(raw: DataFrame, name: str) -> Column:
    """As bronze has it; nested values as JSON, which every reader of the table can take."""
    value = F.col(f"`{name}`")
    nested = isinstance(raw.schema[name].dataType, StructType | ArrayType | MapType)
    return F.to_json(value) if nested else value


def _rescued(raw: DataFrame, names: Sequence[str], table: Table) -> Column:
    """Names and values as JSON, null where no value is; change events come with theirs."""
    if not names:
        return F.lit(None).cast("string")
    if is_enveloped(table):
        return F.col(UNKNOWN)
    texts = [(F.lit(name), _text(raw, name)) for name in names]
    values = F.create_map(*[part for pair in texts for part in pair])
    return as_json(F.map_filter(values, lambda _, value: value.isNotNull()))


def _text(raw: DataFrame, name: str) -> Column:
    return _kept(raw, name).cast("string")


def refuse_unknown(rows: DataFrame, counted: Mapping[tuple[str, ...], int], table: Table) -> None:
    """Ends a step before it writes, where rows have values in columns that are not declared.

    Args:
        rows: of ``checked_rows``.
        counted: how many have which reasons.
        table: whose rows.

    Raises:
        InputError: names the columns, and a file that has them.
    """
    ending = f":{REASON}"
    found = sorted({one for reasons in counted for one in reasons if one.endswith(ending)})
    if not found:
        return
    names = [one.removesuffix(ending) for one in found]
    number = sum(count for reasons, count in counted.items() if {*found} & {*reasons})
    first = (
        rows.where(F.arrays_overlap(REASONS, F.array(*map(F.lit, found)))).select("_file").head()
    )
    file = "" if first is None else f", the first in {first[0]}"
    raise InputError(
        f"silver.{table.name}: {number} rows have values in {', '.join(names)}, which conf/tables/"
        f"{table.name}.yaml does not declare{file}; nothing was written",
        hint="declare them, or say 'unknown_columns: rescue' (or evolve, quarantine, ignore)",
    )

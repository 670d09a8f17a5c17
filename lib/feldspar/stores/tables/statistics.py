"""What a data file says of itself in a Delta log: rows, nulls, least and greatest values, as JSON.

A value that is left out says nothing, and the file is opened; a wrong one would hide rows.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc

from feldspar.times import from_micros

_LONGEST = 32
"""Characters of a text; a greatest one that is cut would be too small."""
_FIRST, _LAST = -62_135_596_800_000_000, 253_402_300_799_000_000
"""The years 1 to 9999, in microseconds: what a date in the log can be."""
_Value = int | str


def statistics_of(rows: pa.Table, columns: Iterable[str] | None) -> str:
    """The statistics of a file that holds these rows.

    Args:
        rows: at least one.
        columns: of which ends are told; None: of all. Whole numbers, texts, dates and instants
            have ends; others are passed over.
    """
    wanted = rows.column_names if columns is None else list(columns)
    least: dict[str, _Value] = {}
    most: dict[str, _Value] = {}
    nulls: dict[str, int] = {}
    for name in wanted:
        if name not in rows.column_names or not _has_ends(rows.schema.field(name).type):
            continue
        column = rows.column(name)
        nulls[name] = column.null_count
        for into, value in zip((least, most), _ends(column), strict=True):
            if value is not None:
                into[name] = value
    told = {"numRecords": rows.num_rows, "minValues": least, "maxValues": most, "nullCount": nulls}
    return json.dumps(told)


def _has_ends(kind: pa.DataType) -> bool:
    """Fractions have none: what is no number among them is greater than all and less than none."""
    is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    is_instant = pa.types.is_timestamp(kind) and kind.tz is not None
    return is_text or is_instant or pa.types.is_integer(kind) or pa.types.is_date32(kind)


def _ends(column: pa.ChunkedArray) -> tuple[_Value | None, _Value | None]:
    kind = column.type
    if pa.types.is_timestamp(kind):
        column = column.cast(pa.timestamp("us", kind.tz)).cast(pa.int64())
    found = pc.min_max(column)
    least, most = found["min"].as_py(), found["max"].as_py()
    if pa.types.is_timestamp(kind):
        return _instant(least), _instant(most)
    if isinstance(least, date):
        return least.isoformat(), most.isoformat()
    if isinstance(least, str):
        return least[:_LONGEST], most if len(most) <= _LONGEST else None
    return least, most


def _instant(micros: int | None) -> str | None:
    """To the millisecond, cut: so it is in every Delta log, and readers know."""
    if micros is None or not _FIRST <= micros <= _LAST:
        return None
    return from_micros(micros).isoformat(timespec="milliseconds").replace("+00:00", "Z")

"""Whether the columns of a file can stand in bronze beside those that are there.

Types are Spark's names (``bigint``). A file that does not fit is set aside, whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from feldspar.names import BATCH, POSITION, PUSHED, PUSHED_AT, SHAPE

CORRUPT = "_corrupt"
FILE = "_file"
INGESTED_AT = "_ingested_at"
PROVENANCE = (FILE, BATCH, POSITION, INGESTED_AT, CORRUPT, SHAPE, PUSHED, PUSHED_AT)

NOTHING = "void"
"""The type of a column in which a file has nothing but nulls."""
_REFUSED = frozenset(" ,;{}()\n\t=")
"""Characters that Delta does not take in names of columns."""
_WIDEST = {"tinyint": "bigint", "smallint": "bigint", "int": "bigint", "float": "double"}
_DECIMAL = re.compile(r"^decimal\((\d+),(\d+)\)$")
_NARROWER = {
    "smallint": ("tinyint",),
    "int": ("tinyint", "smallint"),
    "bigint": ("tinyint", "smallint", "int"),
    "double": ("tinyint", "smallint", "int", "float"),
}


def stored_type(kind: str) -> str:
    """The type that bronze keeps a column in: the widest of its sort, so that wider files fit.

    >>> stored_type("int"), stored_type("decimal(10,2)"), stored_type("date")
    ('bigint', 'decimal(38,2)', 'date')
    """
    decimal = _DECIMAL.match(kind)
    return f"decimal(38,{decimal[2]})" if decimal else _WIDEST.get(kind, kind)


def misfit(columns: Iterable[tuple[str, str]], known: Mapping[str, str]) -> str:
    """Why columns cannot stand beside known ones; empty where they can.

    Args:
        columns: name and type of each column of a file; an empty type is not compared.
        known: name to type of the columns that are there.
    """
    columns = tuple(columns)
    return unusable(name for name, _ in columns) or _clash(columns, known)


def unusable(names: Iterable[str]) -> str:
    """Why names of columns cannot be names in bronze; empty where they can."""
    seen: dict[str, str] = {}
    for name in names:
        if name.lower() in seen:
            other = seen[name.lower()]
            return f"columns {other!r} and {name!r} differ by upper and lower case at most"
        seen[name.lower()] = name
        if name.lower() in PROVENANCE:
            return f"a column is named {name}, which the platform uses itself"
        if not name:
            return "a column has no name"
        if _REFUSED & set(name):
            return f"column {name!r} has a blank or one of ,;{{}}()= in its name"
    return ""


def _clash(columns: Iterable[tuple[str, str]], known: Mapping[str, str]) -> str:
    spelled = {name.lower(): name for name in known}
    for name, kind in columns:
        there = spelled.get(name.lower(), name)
        if there != name:
            return f"column {name} is spelled {there} in what was read before"
        before = known.get(name, "")
        if not _fits(kind, before):
            return f"column {name} is {kind} here, {before} in what was read before"
    return ""


def _fits(kind: str, stored: str) -> bool:
    """Whether values of a type can be kept in a column of another one without loss."""
    if "" in (kind, stored) or kind in (stored, NOTHING):
        return True
    mine, other = _DECIMAL.match(kind), _DECIMAL.match(stored)
    if mine and other:
        return mine[2] == other[2] and int(mine[1]) <= int(other[1])
    return kind in _NARROWER.get(stored, ())

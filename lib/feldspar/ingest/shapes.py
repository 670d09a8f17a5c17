"""Which columns the files of a source had, and since when: ``ops.schemas``, its schema history.

A row a shape, written when a file of that shape is first loaded. Rows of bronze carry the number
of their file's shape: by it ``refine`` tells a column that a file lacks from a value that is null.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from feldspar.graph.steps import IngestStep
from feldspar.stores.tables import records, shapes
from feldspar.stores.tables.lake import Lake
from feldspar.stores.tables.log import Txn


@dataclass(frozen=True)
class Shape:
    """Format, names and types of columns; ``ident`` is a number that stands for them."""

    format: str
    columns: tuple[tuple[str, str], ...]
    ident: int

    @staticmethod
    def of(form: str, columns: Mapping[str, str]) -> Shape:
        """The same columns in any order are one shape."""
        ordered = tuple(sorted(columns.items()))
        digest = hashlib.sha256(repr((form, ordered)).encode()).digest()
        return Shape(form, ordered, int.from_bytes(digest[:8], signed=True))


def note_shapes(
    seen: Mapping[Shape, Sequence[str]], step: IngestStep, lake: Lake, *, now: datetime
) -> None:
    """Adds the shapes that no load of the source has had to ``ops.schemas``.

    It is called before the rows are written: they name shapes that are listed. A shape that is
    noted and then not loaded was seen all the same.

    Args:
        seen: shapes, and the files that have them.
        step: the load.
        lake: where the list is kept.
        now: when they were seen.
    """
    known = shapes.of_source(lake, step.source)
    idents = {one.ident for one in known}
    last = {one.format: one.columns for one in known}
    for shape, files in seen.items():
        if shape.ident in idents:
            continue
        columns = dict(shape.columns)
        row = {
            "source": step.source,
            "shape": shape.ident,
            "format": shape.format,
            "columns": _listed(columns),
            **_difference(last.get(shape.format), columns),
            "batch": step.batch,
            "files": len(files),
            "file": min(files),
            "recorded_at": now,
        }
        last.setdefault(shape.format, columns)
        # under its own name, so that it is listed once, whichever load was first
        txn = Txn(f"schema:{step.source}:{shape.ident}", 0)
        records.append(lake, shapes.TABLE, [row], schema=shapes.SCHEMA, txn=txn)


def _listed(columns: Mapping[str, str]) -> list[str]:
    return [f"{name} {kind}" for name, kind in columns.items()]


def _difference(before: Mapping[str, str] | None, now: Mapping[str, str]) -> dict[str, list[str]]:
    """What a shape has that the last load's had not, and so on; of the first one nothing."""
    old = now if before is None else before
    return {
        "added": _listed({name: kind for name, kind in now.items() if name not in old}),
        "removed": _listed({name: kind for name, kind in old.items() if name not in now}),
        "retyped": [
            f"{name} {old[name]} -> {kind}"
            for name, kind in now.items()
            if name in old and old[name] != kind
        ],
    }

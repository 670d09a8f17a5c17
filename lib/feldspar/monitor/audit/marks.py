"""What a task tells of audited rows: marks, which Spark counts; no row itself goes further."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Kind = Literal["different", "cause", "diagnosed", "stale", "age", "in flight", "gone"]
"""``different``: at the cursor; ``cause``: what would explain it, where it was ``diagnosed``;
``stale``: at T by gold as it is now; ``age``: by how much; ``in flight``: values of the push that
was on its way; ``gone``: gold cannot be read at that version.
"""
Places = npt.NDArray[np.int64]
"""Numbers of rows."""
DDL = "array<struct<feature:string,kind:string,label:string,example:string>>"
TYPE = pa.list_(
    pa.struct([(name, pa.string()) for name in ("feature", "kind", "label", "example")])
)


@dataclass(frozen=True)
class Marks:
    """The marks of n rows, row by row."""

    rows: list[list[dict[str, str]] | None]
    seen: set[tuple[int, str, str, str]] = field(default_factory=set)

    @staticmethod
    def of(count: int) -> Marks:
        """None yet."""
        return Marks([None] * count)

    @staticmethod
    def joined(columns: Sequence[pa.ChunkedArray], count: int) -> Marks:
        """Those of several columns together."""
        marks = Marks.of(count)
        for column in columns:
            for row, found in enumerate(column.to_pylist()):
                if found:
                    marks.rows[row] = [*(marks.rows[row] or ()), *found]
        return marks

    def add(self, row: int, feature: str, kind: Kind, label: str = "", example: str = "") -> None:
        """One mark; the same one counts once."""
        if (row, feature, kind, label) in self.seen:
            return
        self.seen.add((row, feature, kind, label))
        mark = {"feature": feature, "kind": kind, "label": label, "example": example}
        found = self.rows[row]
        if found is None:
            self.rows[row] = [mark]
        else:
            found.append(mark)

    def column(self) -> pa.Array:
        """As a column of ``TYPE``."""
        return pa.array(self.rows, TYPE)


def values_of(column: pa.ChunkedArray, rows: Places) -> Iterator[Any]:
    """The values of a column in some rows."""
    yield from column.take(pa.array(rows)).to_pylist()

"""One answer of ``feldspar show``: a table with lines around it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Listing:
    """Headings and rows, as people and programs get them."""

    columns: tuple[str, ...] = ()
    rows: tuple[tuple[object, ...], ...] = ()
    numbers: tuple[str, ...] = ()
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()

    def facts(self) -> list[dict[str, object]]:
        """The rows by heading, for programs."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]

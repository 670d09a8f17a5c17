"""Collects what is wrong with definitions, so that one run names everything at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from feldspar.errors import DefinitionError, Problem, nearest
from feldspar.spec.loading import Definitions
from feldspar.spec.syntax import ExpressionError, UnknownColumnError
from feldspar.spec.types import ColumnType

Schema = Mapping[str, ColumnType]
LISTED = {
    "source": "sources",
    "table": "tables",
    "entity": "entities",
    "view": "views",
    "view or feature": "views",
    "feature": "views",
    "service": "services",
}
"""What ``feldspar show`` can list, by the word in messages."""

Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Place:
    """Where in which definition something stands."""

    kind: str
    name: str
    path: Path = ()

    def at(self, *steps: str | int) -> Place:
        """A place further inside."""
        return Place(self.kind, self.name, (*self.path, *steps))


@dataclass
class Problems:
    """The list under construction; ``close`` raises it."""

    definitions: Definitions
    found: list[Problem] = field(default_factory=list)
    broken: set[tuple[str, str]] = field(default_factory=set)

    def note(
        self,
        place: Place,
        message: str,
        *,
        near: tuple[str, ...] = (),
        see: str = "",
        hint: str = "",
    ) -> None:
        """Adds one problem."""
        found = self.definitions.problem(
            place.kind, place.name, place.path, message=message, near=near, see=see
        )
        self.broken.add((place.kind, place.name))
        self.found.append(replace(found, hint=hint))

    def unknown(self, place: Place, what: str, name: str, *, known: Iterable[str]) -> None:
        """Adds "no such thing", with what there is."""
        known = list(known)
        near = nearest(name, known) or tuple(known[:5])
        see = f"feldspar show {LISTED[what]}" if what in LISTED else ""
        self.note(place, f"there is no {what} {name!r}", near=near, see=see)

    def no_column(self, place: Place, text: str, column: str, *, table: str, types: Schema) -> None:
        """Adds "this table has no such column", with the nearest and their types."""
        near = nearest(column, types) or tuple(types)[:5]
        self.note(
            place,
            f'{text}: silver.{table} has no column "{column}"',
            near=tuple(f"{name} ({types[name]})" for name in near),
            see=f"feldspar show tables {table}",
        )

    def expression(
        self, place: Place, text: str, error: ExpressionError, *, table: str, types: Schema
    ) -> None:
        """Adds what is wrong with an expression over a silver table."""
        if isinstance(error, UnknownColumnError):
            self.no_column(place, text, error.column, table=table, types=types)
        else:
            self.unreadable(place, text, error)

    def unreadable(self, place: Place, text: str, error: ExpressionError) -> None:
        """Adds an expression that is none, or whose types do not fit."""
        said = error.message if text in error.message else f"{text}: {error.message}"
        self.note(place, said, hint=error.hint)

    def is_broken(self, kind: str, name: str) -> bool:
        """Whether something was noted about a definition: what lacks of it is no news."""
        return (kind, name) in self.broken

    def close(self) -> None:
        """Raises everything that was found."""
        if self.found:
            raise DefinitionError(
                sorted(self.found, key=lambda problem: (problem.file, problem.line))
            )

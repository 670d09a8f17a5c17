"""What the expressions of one view may read, and where complaints about them go."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from feldspar.graph.canonical import canonical
from feldspar.graph.graph import Table
from feldspar.graph.problems import Place, Problems
from feldspar.spec.entity import EntitySpec
from feldspar.spec.syntax import Expression, ExpressionError
from feldspar.spec.types import ColumnType
from feldspar.spec.view import PlainViewSpec, WindowedViewSpec
from feldspar.times import format_duration


@dataclass(frozen=True)
class Scope:
    """A view under construction.

    Attributes:
        table: the silver table that it reads.
        place: where the view is defined.
        problems: gets what is wrong.
        delay: how long after its event a row counts at the earliest.
    """

    table: Table
    place: Place
    problems: Problems
    delay: timedelta

    @property
    def types(self) -> dict[str, ColumnType]:
        """The columns that expressions may read."""
        return self.table.types()

    def complain(self, path: tuple[str | int, ...], text: str, error: ExpressionError) -> None:
        """Notes that an expression is none, reads no column, or has types that do not fit."""
        self.problems.expression(
            self.place.at(*path), text, error, table=self.table.name, types=self.types
        )

    def note(self, path: tuple[str | int, ...], text: str, *, hint: str = "") -> None:
        """Notes anything else."""
        self.problems.note(self.place.at(*path), text, hint=hint)

    def check_known(self, feature: str, expression: Expression) -> None:
        """A column that is known later than its row may only be used as late as that."""
        for column in sorted(expression.columns):
            spec = self.table.spec.columns[column]
            later = spec.known_after
            if spec.known_at is not None:
                text = (
                    f"{column} is known at {spec.known_at}, row by row: "
                    "it can be a label, no feature"
                )
                self.note(("features", feature), text)
            elif later is not None and later > self.delay:
                after, delay = format_duration(later), format_duration(self.delay)
                text = f"{column} is known {after} after its event; the view waits {delay}"
                hint = f"write delay: {after} in a view with windows"
                self.note(("features", feature), text, hint=hint)

    def definition(self, spec: PlainViewSpec | WindowedViewSpec, entity: EntitySpec) -> str:
        """Canonical JSON of all that decides a value of the view."""
        clocks = {"event_time": self.table.source.event_time}
        return canonical({"view": spec, "keys": list(entity.key), "clocks": clocks})

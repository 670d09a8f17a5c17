"""What is asked of a database, as SQL of PostgreSQL; pure.

Values of an incremental column are whole numbers here: of dates and timestamps, microseconds since
the epoch (one without a zone is counted as if it were UTC). Bronze gets whole numbers as such and
everything else as text, as it does from CSV and JSON: types are ``refine``'s work.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

WHOLE = ("int2", "int4", "int8")
TIMES = ("date", "timestamp", "timestamptz")
_SECOND, _DAY = 1_000_000, 86_400_000_000


def quoted(name: str) -> str:
    """A name as it is, whatever letters it has.

    >>> quoted('a"B')
    '"a""B"'
    """
    return '"' + name.replace('"', '""') + '"'


def table_name(name: str) -> str:
    """``schema.table`` with each part as it is written.

    >>> table_name("public.Orders")
    '"public"."Orders"'
    """
    return ".".join(quoted(part) for part in name.split("."))


@dataclass(frozen=True)
class TypedName:
    """A column and the name of its type."""

    name: str
    type: str

    @property
    def is_time(self) -> bool:
        """Whether it holds moments or days."""
        return self.type in TIMES

    def selected(self) -> str:
        """The column as bronze gets it.

        >>> print(TypedName("paid_at", "timestamptz").selected())
        ("paid_at" at time zone 'UTC')::text || '+00' as "paid_at"
        """
        name = quoted(self.name)
        if self.type in WHOLE:
            return f"{name}::int8 as {name}"
        if self.type == "timestamptz":
            # the session's zone is the machine's
            return f"({name} at time zone 'UTC')::text || '+00' as {name}"
        return f"{name}::text as {name}"

    def value(self, name: str = "") -> str:
        """Its value as a whole number; ``name``: what it is called there.

        >>> print(TypedName("day", "date").value())
        ("day" - date '1970-01-01')::int8 * 86400000000
        """
        found = name or quoted(self.name)
        if self.type == "date":
            return f"({found} - date '1970-01-01')::int8 * {_DAY}"
        if self.is_time:
            return f"round(extract(epoch from {found}) * {_SECOND})::int8"
        return f"{found}::int8"

    def bound(self, value: int) -> str:
        """The constant of a value.

        >>> TypedName("at", "timestamp").bound(1_500_000)
        "(timestamp 'epoch' + 1 * interval '1 second' + 500000 * interval '1 microsecond')"
        """
        if self.type == "date":
            return f"(date '1970-01-01' + {value // _DAY})"
        if self.is_time:
            seconds, micros = divmod(value, _SECOND)
            parts = f"{seconds} * interval '1 second' + {micros} * interval '1 microsecond'"
            return f"({self.type} 'epoch' + {parts})"
        return str(value)

    def fits(self) -> str:
        """The condition of rows that have a value.

        >>> TypedName("id", "int8").fits(), TypedName("day", "date").fits()
        ('"id" is not null', 'isfinite("day")')
        """
        # an infinite time is no place in a sequence
        name = quoted(self.name)
        return f"isfinite({name})" if self.is_time else f"{name} is not null"

    def lacks(self) -> str:
        """The condition of rows that have none.

        >>> print(TypedName("day", "date").lacks())
        "day" is null or "day" in ('infinity', '-infinity')
        """
        name = quoted(self.name)
        infinite = f" or {name} in ('infinity', '-infinity')" if self.is_time else ""
        return f"{name} is null{infinite}"

    def between(
        self, *, begin: int | None = None, above: int | None = None, upto: int | None = None
    ) -> str:
        """The condition of rows from ``begin``, above ``above`` and up to ``upto``.

        >>> TypedName("id", "int8").between(begin=3, upto=7)
        '"id" is not null and "id" >= 3 and "id" <= 7'
        """
        limits = ((">=", begin), (">", above), ("<=", upto))
        stated = [
            f"{quoted(self.name)} {sign} {self.bound(value)}"
            for sign, value in limits
            if value is not None
        ]
        return " and ".join([self.fits(), *stated])


def selected(columns: Sequence[TypedName], relation: str, where: str) -> str:
    """The rows of a relation that meet a condition, as bronze gets them."""
    names = ", ".join(one.selected() for one in columns)
    return f"select {names} from {relation} where {where}"


def ranges(column: TypedName, first: int, last: int, *, parts: int) -> list[str]:
    """Conditions that cut ``[first, last]`` into ranges of equal width; each row meets one.

    >>> ranges(TypedName("id", "int8"), 1, 10, parts=2)
    ['"id" is not null and "id" >= 1 and "id" <= 5', '"id" is not null and "id" > 5 and "id" <= 10']
    """
    step = _DAY if column.type == "date" else 1
    width = max((last - first) // parts, step)
    edges = [edge for number in range(1, parts) if (edge := first + number * width) < last]
    begins = [column.between(begin=first, upto=edges[0] if edges else last)]
    return begins + [
        column.between(above=low, upto=high)
        for low, high in zip(edges, [*edges[1:], last], strict=True)
    ]


def blocks(number: int, *, parts: int) -> list[str]:
    """Conditions that cut a table of so many blocks into parts by where its rows lie.

    >>> blocks(10, parts=2)
    ["ctid < '(5,0)'", "ctid >= '(5,0)'"]
    >>> blocks(0, parts=4)
    ['true']
    """
    edges = sorted({number * one // parts for one in range(1, parts)} - {0})
    return [_lies(low, high) for low, high in pairwise([None, *edges, None])]


def _lies(low: int | None, high: int | None) -> str:
    limits = ((">=", low), ("<", high))
    stated = [f"ctid {sign} '({block},0)'" for sign, block in limits if block is not None]
    return " and ".join(stated) or "true"

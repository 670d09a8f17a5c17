"""The cases of the point-in-time benchmark: which data, who takes part, what is claimed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from bench.contest import Entry
from bench.inputs import PitData
from bench.pit_data import PitShape
from bench.report import Claim

Make = Callable[[PitShape], PitData]

SMALL = PitShape()
LARGE = PitShape(spine_rows=1_000_000, view_rows=10_000_000)
THOUSAND = replace(SMALL, rows_an_entity=1_000)
DENSE = replace(SMALL, rows_an_entity=50_000)
SKEWED = replace(SMALL, hot_share=0.5)
WIDE = replace(SMALL, features=200)
LATE = replace(SMALL, late_share=0.2)
LAYOUT_WHOLE, LAYOUT_NEW = "feldspar, layout whole", "feldspar, 1 % new rows"
TREND = (0.125, 0.25, 0.5, 1.0)


@dataclass(frozen=True)
class Case:
    """One contest.

    Attributes:
        about: one line for the reader.
        entries: made from a function that makes data of a shape.
        claims: what is to be reached.
        kind: ``rounds``; ``fresh``: new processes in every round; ``trend``: a process an entry.
        sizes: rows of the views in all of a trend's entries, at full scale.
    """

    about: str
    entries: Callable[[Make], Sequence[Entry]]
    claims: Sequence[Claim] = ()
    kind: str = "rounds"
    sizes: Sequence[int] = ()


def _asked(rival: str, data: PitData, *, label: str = "", as_of: str = "event") -> Entry:
    return Entry(
        label=label or rival,
        rival=rival,
        data=data,
        layout_of=data,
        options={"as_of": as_of},
        question=f"{data.name} {as_of}",
    )


def _beside(shape: PitShape, *rivals: str) -> Callable[[Make], Sequence[Entry]]:
    """Rivals on one data set; DuckDB first, its answer is the reference."""
    return lambda make: [_asked(rival, make(shape)) for rival in rivals]


def _forms(shapes: Mapping[str, PitShape], *rivals: str) -> Callable[[Make], Sequence[Entry]]:
    """Rivals on data of several forms at equal totals, all in turn."""
    return lambda make: [
        _asked(rival, make(shape), label=f"{rival}, {form}")
        for form, shape in shapes.items()
        for rival in rivals
    ]


def _both_clocks(make: Make) -> Sequence[Entry]:
    return [
        _asked(rival, make(LATE), label=f"{rival}, {as_of}", as_of=as_of)
        for as_of in ("event", "known")
        for rival in ("duckdb", "feldspar")
    ]


def _layout_costs(shape: PitShape) -> Callable[[Make], Sequence[Entry]]:
    def entries(make: Make) -> Sequence[Entry]:
        whole, new = make(shape), make(shape.increment())
        return [
            Entry(LAYOUT_WHOLE, "feldspar", whole, do="prepare"),
            Entry(LAYOUT_NEW, "feldspar", new, do="extend", layout_of=whole),
        ]

    return entries


def _sizes(make: Make) -> Sequence[Entry]:
    shapes = [LARGE.scaled(part) for part in TREND]
    return [
        _asked("feldspar", make(shape), label=f"feldspar, 3 x {shape.view_rows / 1e6:g} M")
        for shape in shapes
    ]


def _no_slower(text: str, form: str, *, than: str, bound: float) -> Claim:
    return Claim(text, f"feldspar, {form}", f"feldspar, {than}", at_most=bound)


CASES = {
    "small": Case(
        "spine 200 k, 3 views x 2 M rows x 10 features, 20 rows an entity",
        _beside(SMALL, "duckdb", "feldspar", "polars", "range", "tempo", "feast"),
        [
            Claim("ours / DuckDB", "feldspar", "duckdb", at_most=1.9),
            Claim("Feast / ours", "feast", "feldspar", at_least=8),
            Claim("tempo / ours", "tempo", "feldspar", at_least=4),
        ],
    ),
    "large": Case(
        "spine 1 M, 3 views x 10 M rows x 10 features, 20 rows an entity",
        _beside(LARGE, "duckdb", "feldspar", "polars", "range"),
        [Claim("ours / DuckDB", "feldspar", "duckdb", at_most=1.1)],
    ),
    "density": Case(
        "the small totals with 20, 1,000 and 50,000 rows an entity",
        _forms({"20": SMALL, "1,000": THOUSAND, "50,000": DENSE}, "duckdb", "feldspar", "range"),
        [
            _no_slower("1,000 rows an entity / 20", "1,000", than="20", bound=1.3),
            _no_slower("50,000 rows an entity / 20", "50,000", than="20", bound=1.3),
        ],
    ),
    "skew": Case(
        "the small totals, half of all rows on one entity",
        _forms({"uniform": SMALL, "skewed": SKEWED}, "duckdb", "feldspar", "range"),
        [_no_slower("skewed / uniform", "skewed", than="uniform", bound=1.3)],
    ),
    "width": Case(
        "the small totals with 200 features in place of 30",
        _forms({"30": SMALL, "200": WIDE}, "duckdb", "feldspar", "polars"),
        [_no_slower("200 features / 30", "200", than="30", bound=3)],
    ),
    "fresh": Case(
        "the large size, first and second run of a fresh process",
        _beside(LARGE, "duckdb", "feldspar"),
        [Claim("first / second", "feldspar, first run", "feldspar, second run", at_most=2)],
        kind="fresh",
    ),
    "bitemporal": Case(
        "the small size with 20 % of the rows up to ten days late, both clocks or one",
        _both_clocks,
        [_no_slower("known / event", "known", than="event", bound=1.1)],
    ),
    "layout": Case(
        "keeping the layout of 3 views x 10 M rows: 1 % new rows, and writing it whole",
        _layout_costs(LARGE),
        [Claim("adding 1 % / whole", LAYOUT_NEW, LAYOUT_WHOLE, at_most=0.1)],
    ),
    "layout-small": Case(
        "the same of 3 views x 2 M rows: what an append costs whatever its size",
        _layout_costs(SMALL),
        [Claim("adding 1 % / whole", LAYOUT_NEW, LAYOUT_WHOLE, at_most=0.1)],
    ),
    "trend": Case(
        "four sizes up to the large one, a process each",
        _sizes,
        kind="trend",
        sizes=[3 * LARGE.scaled(part).view_rows for part in TREND],
    ),
}

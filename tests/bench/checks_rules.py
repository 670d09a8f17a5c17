"""A hundred rules over rows of twenty columns, in no engine's words.

A rule says of a row what must hold where the values are there; ``not_null`` alone minds nulls.
"""

from __future__ import annotations

from dataclasses import dataclass

KEY, TIME = "id", "at"
NUMBERS = {
    "n0": "int",
    "n1": "int",
    "n2": "bigint",
    "n3": "bigint",
    "d0": "double",
    "d1": "double",
    "d2": "double",
    "d3": "double",
}
STEP = 1_000
"""Values of the k-th number lie from k steps to k + 1 steps."""
LISTED = {
    "country": ("BE", "DE", "FR", "IT", "NL", "PL", "SE", "US"),
    "currency": ("EUR", "PLN", "SEK", "USD"),
    "channel": ("atm", "online", "pos"),
    "language": ("de", "en-GB", "en-US", "fr", "it", "nl", "pl", "sv"),
}
PATTERNS = {
    "country": r"[A-Z]{2}",
    "currency": r"[A-Z]{3}",
    "channel": r"pos|online|atm",
    "language": r"[a-z]{2}(-[A-Z]{2})?",
    "merchant": r"M[0-9]{5}",
    "terminal": r"T-\d{4}-[A-F]",
    "reference": r"[A-Z]{2}\d{8}",
    "account": r"[A-Z]{2}\d{2}[A-Z0-9]{11,30}",
    "email": r"[a-z0-9._]+@[a-z0-9-]+(\.[a-z]{2,})+",
    "address": r"(\d{1,3}\.){3}\d{1,3}",
}
COLUMNS = (KEY, TIME, *NUMBERS, *PATTERNS)
BOUNDS_A_NUMBER = 6


@dataclass(frozen=True)
class NotNull:
    """A value is there."""

    column: str


@dataclass(frozen=True)
class Within:
    """low <= value <= high; None: no bound."""

    column: str
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Among:
    """The value is one of a list."""

    column: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Matching:
    """The text matches from start to end."""

    column: str
    pattern: str


@dataclass(frozen=True)
class NotBelow:
    """The value is at least that of another column."""

    column: str
    other: str


Rule = NotNull | Within | Among | Matching | NotBelow


def rules() -> dict[str, Rule]:
    """The rules by reason."""
    found: dict[str, Rule] = {f"{name}:not_null": NotNull(name) for name in COLUMNS}
    for place, name in enumerate(NUMBERS):
        found[f"{name}:between"] = Within(name, place * STEP, (place + 1) * STEP)
    found |= {f"{name}:in": Among(name, values) for name, values in LISTED.items()}
    found |= {f"{name}:matches": Matching(name, one) for name, one in PATTERNS.items()}
    for place, name in enumerate(NUMBERS):
        for more in range(BOUNDS_A_NUMBER):
            away = (more // 2) * STEP
            low, high = place * STEP - away, (place + 1) * STEP + away
            bound = Within(name, low, None) if more % 2 else Within(name, None, high)
            found[f"rule:{name}_{more}"] = bound
    names = list(NUMBERS)
    pairs = [*zip(names[1:], names, strict=False), *zip(names[5:], names, strict=False)]
    found |= {f"rule:{high}_{low}": NotBelow(high, low) for high, low in pairs}
    return found

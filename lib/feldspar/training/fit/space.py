"""What can be searched, as plain data: ``training.tune`` turns it into its engine's own words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

Value = float | int | str | None


@dataclass(frozen=True)
class LogUniform:
    """A number whose logarithm is uniform between the bounds."""

    low: float
    high: float


@dataclass(frozen=True)
class Whole:
    """A whole number from ``low`` to ``high``, in steps."""

    low: int
    high: int
    step: int = 1


@dataclass(frozen=True)
class OneOf:
    """One of a few values."""

    values: tuple[Value, ...]


Range = LogUniform | Whole | OneOf
Space = Mapping[str, Range]
Parameters = Mapping[str, Value]

"""Splits time, never rows: train | label delay | validate | label delay | test | label delay | cut.

A model is judged as it would have been used: it learns only from labels that were known on the
day it starts to decide. A row whose label is not mature at the cut is in no period.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from feldspar.compute.columns import Bools, Longs
from feldspar.spec.model import PeriodsSpec
from feldspar.times import duration_micros, from_micros

DAY = duration_micros(timedelta(days=1))


@dataclass(frozen=True)
class Span:
    """[start, end) in UTC microseconds."""

    start: int
    end: int

    def contains(self, times: Longs) -> Bools:
        """Which instants lie in it, shape (n,)."""
        inside: Bools = (times >= self.start) & (times < self.end)
        return inside

    def day(self, times: Longs) -> Longs:
        """The number of each instant's day, 0 at the start, shape (n,)."""
        return (times - self.start) // DAY

    def __str__(self) -> str:
        first, last = from_micros(self.start), from_micros(self.end - 1)
        return f"{first:%Y-%m-%d} to {last:%Y-%m-%d}"


@dataclass(frozen=True)
class Periods:
    """What is learnt from and judged on when.

    ``search`` is fitted and ``validate`` judged while hyperparameters are chosen; ``fit`` is what
    the chosen model learns from, and ``test`` is looked at once.
    """

    cut: int
    delay: int
    search: Span
    validate: Span
    fit: Span
    test: Span

    @property
    def past(self) -> Span:
        """All that is fitted or validated on."""
        return Span(min(self.search.start, self.fit.start), self.fit.end)

    @property
    def everything(self) -> Span:
        """From the oldest row learnt from to the newest tested."""
        return Span(self.past.start, self.test.end)


def split(cut: int, lengths: PeriodsSpec, *, delay: timedelta) -> Periods:
    """The periods of a training at ``cut``.

    Where all lengths are whole days the test ends at midnight UTC, so that its days are whole.

    Args:
        cut: the clock, UTC microseconds.
        lengths: of train, validation and test.
        delay: until a label is surely known.
    """
    train, validate, test = (
        duration_micros(one) for one in (lengths.train, lengths.validate_, lengths.test)
    )
    late = duration_micros(delay)
    end = cut - late
    if not any(length % DAY for length in (train, validate, test)):
        end -= end % DAY
    tested = Span(end - test, end)
    known = tested.start - late
    validated = Span(known - validate, known)
    searched = Span(validated.start - late - train, validated.start - late)
    return Periods(
        cut=cut,
        delay=late,
        search=searched,
        validate=validated,
        fit=Span(known - train, known),
        test=tested,
    )

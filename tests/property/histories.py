"""What the history of a key is, as plainly as it can be said, and random histories to try it on.

It states the part on history of docs/time-and-windows.md again as code and shares nothing with
``compute.history``. Moments are few and values repeat, so that ties, deletes in the middle, keys
that come back and changes that change nothing are common.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

Values = tuple[str | None, int | None]
"""City and level."""


@dataclass(frozen=True)
class Change:
    """One change of a key, in the order of (moment, number)."""

    moment: int
    number: int
    deleted: bool
    values: Values

    @property
    def refused(self) -> bool:
        """Whether it belongs into quarantine: a row without city; a delete needs none."""
        return not self.deleted and self.values[0] is None

    @property
    def order(self) -> tuple[object, ...]:
        """By moment and number; of equal ones a delete is last, else greater values; null least."""
        return (
            self.moment,
            self.number,
            self.deleted,
            *[(value is not None, value) for value in self.values],
        )


Interval = tuple[int, int | None, int, Values]
"""From, to (None: it holds still), the number of the change that began it, its values."""


def scd1(changes: Iterable[Change]) -> Change | None:
    """The row that holds now: the last change, unless it is a delete."""
    last = max((one for one in changes if not one.refused), key=_order, default=None)
    return None if last is None or last.deleted else last


def scd2(changes: Iterable[Change]) -> Iterator[Interval]:
    """All rows that held, and when."""
    at_moment: dict[int, Change] = {}
    for one in sorted((one for one in changes if not one.refused), key=_order):
        at_moment[one.moment] = one  # of one moment the last
    states: list[Change] = []
    for one in at_moment.values():
        before = states[-1] if states else None
        if before is None or (before.deleted, before.values) != (one.deleted, one.values):
            states.append(one)
    for one, following in zip(states, [*states[1:], None], strict=False):
        if not one.deleted:
            yield one.moment, following and following.moment, one.number, one.values


def _order(change: Change) -> tuple[object, ...]:
    return change.order


def random_history(generator: random.Random) -> list[Change]:
    """Up to fourteen changes of one key; some twice, some refused, deletes often without values."""
    found = []
    for _ in range(generator.choice((1, 2, 4, 8, 12))):
        deleted = generator.random() < 0.25
        empty = deleted and generator.random() < 0.7
        values = (
            (None, None)
            if empty
            else (generator.choice(("Ghent", "Bruges", "Ω", None)), generator.choice((1, 2, None)))
        )
        found.append(Change(generator.randint(0, 5), generator.randint(0, 1), deleted, values))
    return found + found[: generator.choice((0, 0, 0, 2))]


def delivered(
    changes: list[Change], generator: random.Random, batches: int
) -> list[tuple[int, Change]]:
    """The changes in random order, each with the batch that brings it."""
    order = generator.sample(changes, len(changes))
    cuts = sorted(generator.randint(0, len(order)) for _ in range(batches - 1))
    return [(sum(place >= cut for cut in cuts), one) for place, one in enumerate(order)]

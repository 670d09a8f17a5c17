"""How often a table or a view may be loaded, what each way would give, and which one is taken.

Pure. A cost limit comes before a freshness target: what cannot be kept within it is said. Without a
limit the longest wait that keeps the target is the cheapest; without a target the shortest wait
that the limit allows is the freshest. A way is left only when it no longer holds, and another one
taken only when it holds clearly: so figures that tremble move nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from feldspar.monitor.auto.estimate import Estimate

PACES = (
    *(10.0, 20.0, 30.0),
    *(60.0, 120.0, 300.0, 600.0, 900.0, 1_800.0),
    *(3_600.0, 7_200.0, 10_800.0, 21_600.0, 43_200.0, 86_400.0),
)
"""Seconds from load to load that may be chosen, beside each round."""
CLEARLY = 0.8
"""What is newly chosen must need no more than this share of target and room."""
USUAL_SHARE = 0.1
"""Of the time, for fixed parts of loads, where nobody said how fresh or how cheap."""
WORTH = 0.1
"""Waiting that saves less than this share of what the rows themselves take is no use."""
WHOLE = 1.0


@dataclass(frozen=True)
class Need:
    """What is asked of a table or a view.

    Attributes:
        target: seconds from an event until it is there, at most; None: nobody said.
        wanted_by: whose target it is: its own, or that of a view that reads it.
        cost: share of the time that its steps may take; None: nobody said.
    """

    target: float | None = None
    wanted_by: str = ""
    cost: float | None = None


@dataclass(frozen=True)
class Around:
    """What a table or a view cannot choose, in seconds.

    Attributes:
        round: from a round of the stream to the next.
        feeding: from load to load of the table that a view reads; 0: each round, or no view.
        upstream: that this table's loads take.
        arrival: from an event to bronze.
        margin: share by which loads may take longer than expected.
        cores: that the driver has.
    """

    round: float
    feeding: float = 0.0
    upstream: float = 0.0
    arrival: float = 0.0
    margin: float = 0.0
    cores: int = 1

    @property
    def least(self) -> float:
        """From load to load where none is left out."""
        return max(self.round, self.feeding)

    @property
    def before(self) -> float:
        """From an event until a load that leaves none out can begin, at most."""
        return self.arrival + self.round + self.feeding + self.upstream


@dataclass(frozen=True)
class Option:
    """One way, and what would come of it.

    Attributes:
        every: seconds from load to load; 0: each round, or each time its table gets rows.
        rows: of a load.
        seconds: that a load takes, without margin.
        delay: seconds from an event until it is there, at most, with margin.
        fixed_share: of the time, for the fixed parts of loads.
        share: of the time, for all.
    """

    every: float
    rows: float
    seconds: float
    delay: float
    fixed_share: float
    share: float


def option(every: float, measured: Estimate, around: Around) -> Option:
    """What a load every so many seconds would give, if it goes on as it was."""
    gap = every or around.least
    rows = measured.rate * gap
    seconds = measured.seconds(rows)
    return Option(
        every=every,
        rows=rows,
        seconds=seconds,
        delay=around.before + every + seconds * (1 + around.margin),
        fixed_share=measured.fixed / gap,
        share=measured.fixed / gap + measured.rows_share,
    )


def options(measured: Estimate, around: Around) -> tuple[Option, ...]:
    """All ways, the most frequent first."""
    paces = (0.0, *(pace for pace in PACES if pace > around.least))
    return tuple(option(pace, measured, around) for pace in paces)


@dataclass(frozen=True)
class Judge:
    """Says which ways hold; ``slack`` is the share of each bound that they may need."""

    need: Need
    measured: Estimate

    @property
    def room(self) -> float | None:
        """Share of the time that is left for the fixed parts of loads; None: any."""
        if self.need.cost is None:
            return USUAL_SHARE if self.need.target is None else None
        rows = self.measured.rows_share
        return max(self.need.cost - rows, WORTH * rows)

    def in_time(self, one: Option, slack: float = WHOLE) -> bool:
        """Whether it keeps the target, and can keep up at all."""
        if self.need.target is None:
            return True
        return one.delay <= slack * self.need.target and one.share <= slack

    def affordable(self, one: Option, slack: float = WHOLE) -> bool:
        """Whether it keeps the cost limit, or comes as near as rest brings it.

        Where the rows alone take all that is allowed, or nearly, loads may take a tenth of that
        beside them: a longer rest would save less, and make everything late.
        """
        if self.need.cost is not None:
            nearest = slack * WORTH * self.measured.rows_share
            return one.share <= slack * self.need.cost or one.fixed_share <= nearest
        return self.need.target is not None or one.fixed_share <= slack * USUAL_SHARE

    def holds(self, one: Option, slack: float = WHOLE) -> bool:
        """Whether it does both."""
        return self.in_time(one, slack) and self.affordable(one, slack)

    def best(self, ways: Iterable[Option]) -> Option | None:
        """The cheapest of those that keep a target, the freshest where there is none."""
        in_order = sorted(ways, key=lambda one: one.every)
        if not in_order:
            return None
        return in_order[0] if self.need.target is None else in_order[-1]


def choose(ways: Sequence[Option], judge: Judge, *, current: float | None) -> Option:
    """The way to take.

    Args:
        ways: all, the most frequent first.
        judge: says which hold.
        current: ``every`` of the one that is taken now; None: none is.
    """
    now = next((one for one in ways if one.every == current), None)
    clear = [one for one in ways if judge.holds(one, CLEARLY)]
    if now is not None and judge.holds(now):
        clear.append(now)
    best = judge.best(clear)
    if best is not None:
        return best
    loose = [one for one in ways if judge.holds(one)]
    if now is None and loose:
        return loose[0]
    return _as_fresh_as_may_be(ways, judge, now)


def _as_fresh_as_may_be(ways: Sequence[Option], judge: Judge, now: Option | None) -> Option:
    """Where target and limit cannot both be kept: the limit is, or comes nearest."""
    clear = [one for one in ways if judge.affordable(one, CLEARLY)]
    freshest = clear[0] if clear else ways[-1]
    if now is not None and judge.affordable(now) and now.every <= freshest.every:
        return now
    return freshest

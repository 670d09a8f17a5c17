"""``trigger: auto``, whatever the figures: no later for more, nothing broken in silence, steady."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from feldspar.monitor.auto.decide import Known, decide, rests
from feldspar.monitor.auto.estimate import Estimate, estimate
from feldspar.monitor.auto.options import CLEARLY, Around, Judge, Need, option, options
from feldspar.stores.tables.decisions import Decision
from property import frames
from support.measured_loads import START, loads

LATER = START + timedelta(days=300)
TREMBLE = 0.03


@dataclass(frozen=True)
class Figures:
    """What a table takes, and how many rows come."""

    fixed: float
    a_row: float
    rate: float

    def known(self, *said: Decision) -> Known:
        found = loads(fixed=self.fixed, a_row=self.a_row, rate=self.rate, sizes=(100, 1_000))
        return Known(found, said)


def floats(least: float, most: float) -> st.SearchStrategy[float]:
    return st.floats(least, most, allow_nan=False)


FIGURES = st.builds(Figures, floats(0.01, 60), floats(1e-6, 0.1), floats(0.01, 100))
TARGETS = st.none() | floats(1, 90_000)
COSTS = st.none() | floats(0.001, 1)
NEEDS = st.builds(Need, TARGETS, st.just("silver.t"), COSTS)
AROUND = st.builds(
    Around, floats(0.1, 60), st.sampled_from((0.0, 60.0, 600.0)), floats(0, 30), floats(0, 600)
)
case = settings(max_examples=frames.CASES, deadline=None)


def decided(figures: Figures, need: Need, around: Around, *said: Decision) -> Decision:
    return decide("silver.t", need, figures.known(*said), around, run=1, at=LATER)


@case
@given(FIGURES, NEEDS, AROUND, floats(0, 90_000), st.lists(st.integers(0, 10**9), min_size=2))
def test_more_waiting_rows_never_rest_longer(figures, need, around, waited, waiting) -> None:
    decision = decided(figures, need, around)
    resting = [
        bool(rests(decision, waited=waited, waiting=rows)) for rows in [None, *sorted(waiting)]
    ]

    assert resting == sorted(resting, reverse=True)


@case
@given(FIGURES, NEEDS, AROUND, st.lists(floats(0, 90_000), min_size=2), st.integers(0, 10**9))
def test_what_is_due_stays_due(figures, need, around, waits, waiting) -> None:
    decision = decided(figures, need, around)
    resting = [bool(rests(decision, waited=one, waiting=waiting)) for one in sorted(waits)]

    assert resting == sorted(resting, reverse=True)


@case
@given(FIGURES, floats(1, 90_000), AROUND, floats(1, 100))
def test_more_arrivals_never_wait_longer_for_a_target(figures, target, around, times) -> None:
    busier = replace(figures, rate=figures.rate * times)
    need = Need(target, "silver.t")
    every = decided(figures, need, around).every_seconds
    measured = estimate(busier.known().loads)

    # loads so often would leave no time between them
    full = option(every, measured, around).share > CLEARLY
    assert full or decided(busier, need, around).every_seconds <= every


@case
@given(FIGURES, NEEDS, AROUND)
def test_a_bound_is_kept_or_it_is_said_that_it_is_not(figures, need, around) -> None:
    decision = decided(figures, need, around)
    told = " ".join(decision.reasons)

    over = need.cost is not None and decision.share > need.cost
    late = need.target is not None and decision.delay_seconds > need.target
    assert (decision.keeps_cost, over and "is allowed: not kept" not in told) == (not over, False)
    assert (late and decision.keeps_freshness, late and "which is not kept" not in told) == (
        False,
        False,
    )


@case
@given(FIGURES, NEEDS, AROUND)
def test_what_can_clearly_be_kept_is_kept_at_the_least_cost(figures, need, around) -> None:
    decision = decided(figures, need, around)
    measured = Estimate(
        12, decision.fixed_seconds, decision.row_seconds, decision.rows_a_second, 1, 1
    )
    ways = options(measured, replace(around, margin=decision.margin))
    clear = [one for one in ways if Judge(need, measured).holds(one, CLEARLY)]
    wanted = [one.every for one in (clear[:1] if need.target is None else clear[-1:])]

    assert not clear or [decision.every_seconds] == wanted


@case
@given(
    FIGURES,
    NEEDS,
    AROUND,
    st.lists(st.tuples(*[floats(1 - TREMBLE, 1 + TREMBLE)] * 3), min_size=2, max_size=12),
)
def test_figures_that_tremble_never_bring_back_a_pace_that_was_left(
    figures, need, around, trembling
) -> None:
    said, paces = [], []
    for fixed, a_row, rate in trembling:
        now = Figures(figures.fixed * fixed, figures.a_row * a_row, figures.rate * rate)
        said.append(decided(now, need, around, *said[-1:]))
        if paces[-1:] != [said[-1].every_seconds]:
            paces.append(said[-1].every_seconds)

    assert len(paces) == len(set(paces))

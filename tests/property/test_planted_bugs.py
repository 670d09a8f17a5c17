"""What the properties are worth: each of these bugs is caught by the gate's number of cases."""

from __future__ import annotations

from types import ModuleType

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from property import frames, oracle
from property.planting import planted
from property.runs import cut
from property.test_pit import plans
from property.test_windows_arrow import SPREADS, differences

PIT, WINDOWS = "feldspar.compute.pit", "feldspar.compute.windows"
ARROW = f"{WINDOWS}.arrow"
quick = settings(deadline=None, phases=[Phase.generate], derandomize=True)

ROW_BUGS = {
    "ttl that leaves out its end": ("asked - best[0] > plan.ttl", "asked - best[0] >= plan.ttl"),
    "newest by arrival": (
        "return at, tuple(values[at] for values in (event_time, *others))",
        "return at, tuple(values[at] for values in (others[0], event_time, *others[1:]))",
    ),
    "late rows leak": (
        "visible_at = np.maximum(event_time, known_time + plan.serving_delay)",
        "visible_at = event_time",
    ),
    "any of the rows that became visible together": (
        "alike = (visible_at[1:] == visible_at[:-1]) & (event_time[1:] > event_time[:-1])",
        "alike = visible_at[1:] == visible_at[:-1]",
    ),
    "rows that were never the newest": (
        "kept = np.flatnonzero(key == np.maximum.accumulate(key))",
        "kept = np.arange(len(key))",
    ),
}

WINDOW_BUGS = {
    "old end that is closed": (
        "fold",
        "start = self._line.until(question.entity, old)",
        "start = self._line.until(question.entity, old - 1)",
    ),
    "variance as a difference of sums": (
        "moments",
        "np.add.reduceat(found.count * off * off + found.m2, at)",
        "np.add.reduceat(found.count * found.mean**2 + found.m2, at) - count * mean**2",
    ),
    "correction counted beside what it corrects": (
        "versions",
        "until[rows] = later_min(event, visible_at[rows])",
        "until[rows] = NEVER",
    ),
    "own event left out": (
        "fold",
        "folds_own = rule.folds_own and spine.own_event is not None",
        "folds_own = False",
    ),
    "own event counted twice": (
        "fold",
        "cut = np.flatnonzero((own >= start) & (own < stop))",
        "cut = np.flatnonzero((own >= start) & (own < start))",
    ),
    "late events leak": (
        "versions",
        "    return visible_at, until\n",
        "    return events.event_time, until\n",
    ),
}


def rows_are_the_oracles(engine: ModuleType, cases: int = frames.CASES) -> None:
    def differ(asked, rows, plan, seed) -> bool:
        stored = frames.rows_table(rows)
        runs = cut(stored, seed, plan.serving_delay)
        answers = engine.add_columns(frames.spine_table(asked), runs, plan, types=stored.schema)
        expected = [oracle.newest(question, rows, plan) for question in asked]
        return answers["view__place"].to_pylist() != expected

    @settings(quick, max_examples=cases)
    @given(frames.questions(), frames.versions(), plans, st.integers(0, 2**32))
    def holds(asked, rows, plan, seed) -> None:
        assert not differ(asked, rows, plan, seed)

    @settings(quick, max_examples=cases // 3)
    @given(frames.close_questions, frames.crowded, plans, st.integers(0, 2**32))
    def ties_hold(asked, rows, plan, seed) -> None:
        assert not differ(asked, rows, plan, seed)

    ties_hold()
    holds()


def windows_are_the_oracles(engine: ModuleType, cases: int = frames.CASES) -> None:
    @settings(quick, max_examples=cases)
    @given(frames.questions(), frames.versions(), frames.aggregations(), frames.rules)
    def holds(asked, rows, items, rule) -> None:
        plan = frames.window_plan(items, rule)
        assert differences(plan, asked, rows, engine.add_windows) == []

    @settings(quick, max_examples=cases // 3)
    @given(frames.questions(frames.NEAR), frames.versions(frames.NEAR), frames.rules)
    def variances_hold(asked, rows, rule) -> None:
        plan = frames.window_plan(SPREADS, rule)
        assert differences(plan, asked, rows, engine.add_windows) == []

    variances_hold()
    holds()


@pytest.mark.parametrize("bug", ROW_BUGS)
def test_a_bug_in_the_join_is_caught(bug: str) -> None:
    old, new = ROW_BUGS[bug]
    with (
        planted(f"{PIT}.bucketed", old, new, engine=f"{PIT}.bucketed") as engine,
        pytest.raises(AssertionError),
    ):
        rows_are_the_oracles(engine)


@pytest.mark.parametrize("bug", WINDOW_BUGS)
def test_a_bug_in_windows_is_caught(bug: str) -> None:
    module, old, new = WINDOW_BUGS[bug]
    with (
        planted(f"{WINDOWS}.{module}", old, new, engine=ARROW) as engine,
        pytest.raises(AssertionError),
    ):
        windows_are_the_oracles(engine)


def test_without_a_bug_nothing_is_caught() -> None:
    with planted(f"{PIT}.bucketed", "NO_RUN = -1", "NO_RUN = -1", engine=f"{PIT}.bucketed") as one:
        rows_are_the_oracles(one, cases=30)
    with planted(f"{WINDOWS}.arrays", "NO_EVENT = -1", "NO_EVENT = -1", engine=ARROW) as two:
        windows_are_the_oracles(two, cases=30)

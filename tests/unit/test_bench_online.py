"""The serving benchmark's own promises: no delay hides another, verdicts follow the figures."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bench.load import Load, figures
from bench.online_report import Compared, Scored

MILLI = 1_000_000
NOBODY = (0.0, 0.0, 0.0)


def recorded(at: list[int], took: list[int], codes: list[int] | None = None) -> dict[str, Any]:
    """Requests by when they were sent and how long they took, in milliseconds."""
    errors = ["" if code == 200 else "refused" for code in codes or [200] * len(at)]
    return {
        "at": np.array(at) * MILLI,
        "took": np.array(took) * MILLI,
        "code": np.array(codes or [200] * len(at)),
        "error": np.array(errors),
        "number": np.arange(len(at)),
    }


def load(p99: float, *, rate: float = 1.0, minutes: tuple[float, ...] = (1.0,)) -> Load:
    sent = recorded([0, 1000], [1, 1])
    return replace(figures(sent, rate=1.0, shares=NOBODY), rate=rate, p99=p99, minutes=minutes)


def test_a_request_that_left_late_counts_from_when_it_was_due() -> None:
    # 100 a second: the third was due after 20 ms, the generator slept until 500
    found = figures(recorded([0, 10, 500, 510], [2, 2, 2, 2]), rate=100.0, shares=NOBODY)

    assert found.worst == pytest.approx(482.0)


def test_without_a_rate_nothing_is_due_before_it_is_sent() -> None:
    found = figures(recorded([0, 10, 500], [2, 3, 4]), rate=0.0, shares=NOBODY)

    assert found.worst == pytest.approx(4.0)


def test_what_is_not_200_is_an_error_and_no_answer() -> None:
    found = figures(recorded([0, 500, 999], [1, 1, 1], [200, 503, 0]), rate=0.0, shares=NOBODY)

    assert (found.errors, found.said) == (2, {"503 refused": 1, "0 refused": 1})
    assert found.answered == pytest.approx(1.0)


def test_each_whole_minute_has_its_own_p99() -> None:
    at = [second * 1000 for second in range(150)]
    took = [5 if second < 60 else 9 for second in range(150)]

    found = figures(recorded(at, took), rate=1.0, shares=NOBODY)

    assert found.minutes == pytest.approx((5.0, 9.0))


def test_half_of_feasts_p99_is_reached_or_not() -> None:
    points = [("feast", 0.3, load(8.0)), ("feldspar", 0.3, load(4.0))]
    points += [("feast", 0.6, load(8.0)), ("feldspar", 0.6, load(5.0))]

    found = Compared(1, 0, {}, points).verdicts()

    assert [one["reached"] for one in found] == [True, False]


def test_the_highest_rate_is_the_highest_that_holds() -> None:
    tried = [load(10.0, rate=2.0), load(70.0, rate=3.0), load(49.0, rate=2.5)]

    found = Scored([load(1.0)], (), tried).highest(50.0)

    assert found is not None
    assert found.rate == 2.5


def test_growth_and_drift_compare_the_end_with_the_beginning() -> None:
    memory = (*[100] * 60, *[200] * 60, *[103] * 60)
    found = Scored([load(1.0, minutes=(4.0, 9.0, 5.0))], memory, ())

    assert (found.growth(), found.drift()) == (pytest.approx(0.03), pytest.approx(0.25))

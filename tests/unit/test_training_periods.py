"""Periods respect the label delay, and cards known before a test day are not judged."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd

from feldspar.spec.model import PeriodsSpec
from feldspar.times import to_micros
from feldspar.training import handbook
from feldspar.training.periods import DAY, Span, split
from feldspar.training.samples import Sample, by_period, without_known_cards

WEEK = timedelta(days=7)


def micros(text: str) -> int:
    return to_micros(datetime.fromisoformat(text).replace(tzinfo=UTC))


def sample(rows: list[tuple[int, bool, int]], *, known_after: int = 0) -> Sample:
    """Rows of (time, label, card)."""
    times = np.array([time for time, _, _ in rows], dtype=np.int64)
    return Sample(
        features=pd.DataFrame({"amount": np.arange(len(rows), dtype=np.float64)}),
        label=np.array([label for _, label, _ in rows], dtype=np.bool_),
        weight=np.ones(len(rows)),
        time=times,
        known=times + known_after,
        card=np.array([card for _, _, card in rows], dtype=np.int64),
    )


def test_the_handbook_trains_and_tests_on_the_published_days() -> None:
    periods = handbook.periods()

    assert str(periods.fit) == "2018-07-25 to 2018-07-31"
    assert str(periods.test) == "2018-08-08 to 2018-08-14"


def test_the_test_ends_at_midnight_when_the_cut_is_in_the_middle_of_a_day() -> None:
    lengths = PeriodsSpec(train=3 * WEEK, validate_=WEEK, test=WEEK)

    periods = split(micros("2018-09-30T23:59:57"), lengths, delay=WEEK)

    assert periods.test == Span(micros("2018-09-16"), micros("2018-09-23"))


def test_a_label_delay_lies_between_what_is_learnt_and_what_is_judged() -> None:
    lengths = PeriodsSpec(train=3 * WEEK, validate_=WEEK, test=WEEK)

    periods = split(micros("2018-09-30T23:59:57"), lengths, delay=WEEK)

    gaps = (
        periods.validate.start - periods.search.end,
        periods.test.start - periods.validate.end,
        periods.test.start - periods.fit.end,
    )
    assert gaps == (7 * DAY, 7 * DAY, 7 * DAY)


def test_hours_are_not_rounded_to_days() -> None:
    hour = timedelta(hours=1)
    lengths = PeriodsSpec(train=3 * hour, validate_=hour, test=hour)

    periods = split(micros("2018-09-30T12:34:56"), lengths, delay=hour)

    assert periods.test.end == micros("2018-09-30T11:34:56")


def test_a_row_whose_label_came_after_the_test_began_is_not_learnt_from() -> None:
    periods = handbook.periods()
    rows = sample([(periods.fit.start, True, 1), (periods.fit.end - 1, True, 2)])
    late = Sample(
        rows.features,
        rows.label,
        rows.weight,
        rows.time,
        known=np.array([periods.test.start, periods.test.start + 1]),
        card=rows.card,
    )

    split_rows = by_period(late, periods)

    assert list(split_rows.fit.time) == [periods.fit.start]


def test_a_row_whose_label_is_not_mature_at_the_cut_is_nowhere() -> None:
    periods = handbook.periods()
    rows = sample([(periods.test.start, False, 1)], known_after=30 * DAY)

    found = by_period(rows, periods)

    assert [len(found.search), len(found.validate), len(found.fit), len(found.test)] == [0] * 4


def test_a_card_is_known_from_the_day_after_its_fraud_plus_the_delay() -> None:
    spans = handbook.periods()
    learnt, test = spans.fit, spans.test
    compromised = 7
    fraud = sample([(learnt.end + 2 * DAY, True, compromised)])
    judged = sample([(test.start + day * DAY, False, compromised) for day in range(7)])

    kept = without_known_cards(judged, fraud, learnt=learnt, span=test)

    assert list(test.day(kept.time)) == [0, 1, 2]


def test_a_card_compromised_while_learning_is_never_judged() -> None:
    spans = handbook.periods()
    fraud = sample([(spans.fit.end - 1, True, 3)])
    judged = sample([(spans.test.start, False, 3), (spans.test.start, False, 4)])

    kept = without_known_cards(judged, fraud, learnt=spans.fit, span=spans.test)

    assert list(kept.card if kept.card is not None else []) == [4]

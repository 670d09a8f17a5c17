"""On-demand functions: the published calendar, one row equals many, unknown inputs are neutral."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feldspar.errors import InputError
from payments.on_demand import calendar, credit_ratios

PUBLISHED = (
    Path(__file__).parents[3] / "shared" / "data" / "payments" / "windowed_features_sample.parquet"
)
INPUTS = (
    "customer_features__debt_ratio",
    "customer_features__revolving_utilization",
    "customer_features__late_payment_ratio_12m",
    "customer_features__geographic_risk_score",
    "customer_features__behavioral_score",
    "customer_features__income",
    "transaction_features__merchant_risk_score",
    "real_time_features__device_fingerprint_score",
    "real_time_features__ip_risk_score",
)
SCORES = ["combined_risk_score", "creditworthiness_index", "fraud_probability"]

shares = st.none() | st.floats(allow_nan=True, allow_infinity=True)
rows = st.fixed_dictionaries(dict.fromkeys(INPUTS, shares))


def during(*times: object, dtype: str | None = None) -> list[tuple[int, int]]:
    """Weekend and night of each time."""
    frame = calendar(pd.DataFrame({"tx_datetime": pd.Series(list(times), dtype=dtype)}))
    return list(zip(frame["during_weekend"], frame["during_night"], strict=True))


def scores(**known: float) -> pd.Series:
    """The three scores when only the given inputs (by the end of their name) are known."""
    values = {name: [known.get(name.split("__")[1])] for name in INPUTS}
    return credit_ratios(pd.DataFrame(values)).iloc[0]


def test_calendar_equals_the_published_columns() -> None:
    if not PUBLISHED.exists():
        if os.environ.get("CI") == "true":
            pytest.fail(f"{PUBLISHED} is missing")
        pytest.skip(f"the published features are not at {PUBLISHED}")
    published = pd.read_parquet(PUBLISHED)

    ours = calendar(published[["tx_datetime"]])

    wrong = (ours["during_weekend"] != published["tx_during_weekend"]) | (
        ours["during_night"] != published["tx_during_night"]
    )
    assert (len(published) > 30_000, int(wrong.sum())) == (True, 0)


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        ("2018-04-06T23:59:59.999999Z", (0, 0)),
        ("2018-04-07T00:00:00Z", (1, 1)),
        ("2018-04-08T06:59:59.999999Z", (1, 1)),
        ("2018-04-08T07:00:00Z", (1, 0)),
        ("2018-04-09T00:00:00Z", (0, 1)),
        ("2018-04-09T01:30:00+02:00", (1, 0)),
        ("1969-12-27T03:00:00Z", (1, 1)),
    ],
)
def test_calendar_edges(time: str, expected: tuple[int, int]) -> None:
    assert during(time) == [expected]


@pytest.mark.parametrize(
    "time",
    [
        pd.Timestamp("2018-04-08T05:00:00Z"),
        pd.Timestamp("2018-04-08T05:00:00"),
        pd.Timestamp("2018-04-07T23:00:00-06:00"),
        datetime(2018, 4, 8, 5, tzinfo=UTC),
        1_523_163_600_000_000,
        np.datetime64("2018-04-08T05:00:00", "ms"),
    ],
)
def test_calendar_reads_a_time_of_any_type(time: object) -> None:
    assert during(time) == [(1, 1)]


def test_calendar_of_an_unknown_time_is_null() -> None:
    frame = calendar(pd.DataFrame({"tx_datetime": [None, pd.Timestamp("2018-04-08T05:00:00Z")]}))

    assert frame["during_weekend"].tolist() == [pd.NA, 1]


def test_calendar_refuses_what_is_no_time() -> None:
    with pytest.raises(InputError, match="tx_datetime holds a value that is no time"):
        during("yesterday")


def test_calendar_names_the_missing_column_and_the_nearest_one() -> None:
    with pytest.raises(InputError, match=r"needs the column tx_datetime.*\n.*tx_date_time"):
        calendar(pd.DataFrame({"tx_date_time": [1]}))


@pytest.mark.parametrize("function", [calendar, credit_ratios])
def test_no_rows_give_no_rows(function: object) -> None:
    empty = pd.DataFrame({name: pd.Series(dtype=object) for name in ("tx_datetime", *INPUTS)})

    assert len(function(empty)) == 0  # type: ignore[operator]  # both take and return a frame


def test_outputs_keep_the_index() -> None:
    frame = pd.DataFrame({name: [0.1, 0.2] for name in INPUTS}, index=["b", "a"])

    assert credit_ratios(frame).index.tolist() == ["b", "a"]


def test_nothing_known_is_neutral() -> None:
    assert scores().tolist() == pytest.approx([0.5, 0.5, 0.0085])


def test_a_blameless_customer_scores_at_the_good_ends() -> None:
    best = scores(
        debt_ratio=0, revolving_utilization=0, late_payment_ratio_12m=0, geographic_risk_score=0,
        behavioral_score=1, merchant_risk_score=0, income=1e9,
    )  # fmt: skip

    assert best[SCORES[:2]].tolist() == pytest.approx([0, 1], abs=1e-4)


def test_a_strange_device_at_a_bad_address_makes_fraud_likely() -> None:
    assert scores(device_fingerprint_score=0, ip_risk_score=1)["fraud_probability"] > 0.5


@pytest.mark.parametrize("name", ["debt_ratio", "revolving_utilization", "late_payment_ratio_12m"])
def test_more_debt_is_more_risk_and_less_worth(name: str) -> None:
    low, high = scores(**{name: 0.2}), scores(**{name: 0.7})

    assert high["combined_risk_score"] > low["combined_risk_score"]
    assert high["creditworthiness_index"] < low["creditworthiness_index"]


def test_ratios_refuse_what_is_no_number() -> None:
    frame = pd.DataFrame({name: ["a lot"] for name in INPUTS})

    with pytest.raises(InputError, match="holds a value that is no number"):
        credit_ratios(frame)


@settings(deadline=None)  # a busy machine is no counterexample
@given(st.lists(rows, min_size=1, max_size=20))
def test_scores_lie_within_0_and_1(many: list[dict[str, float | None]]) -> None:
    found = credit_ratios(pd.DataFrame(many)).to_numpy()

    assert ((found >= 0) & (found <= 1)).all()


@settings(deadline=None)  # a busy machine is no counterexample
@given(st.lists(rows, min_size=1, max_size=20))
def test_one_row_gives_the_same_bits_as_many(many: list[dict[str, float | None]]) -> None:
    together = credit_ratios(pd.DataFrame(many))

    alone = pd.concat([credit_ratios(pd.DataFrame([row])) for row in many], ignore_index=True)
    pd.testing.assert_frame_equal(alone, together, check_exact=True)

"""Features of the example that are computed at request time, by the same functions offline.

Each function is pure: a frame with the named columns in, a frame of outputs with the same index
out, row by row, so one row gives the same bits alone as among a million (no transcendental
functions, whose last bit may depend on how many values are computed at once). Imports stay light:
the scoring process loads this module. The definitions are in conf/views.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from feldspar.errors import InputError, nearest

Floats = npt.NDArray[np.float64]

NEUTRAL = 0.5
"""What an unknown score or ratio counts as, half-way between best and worst."""
BASE_ODDS = 0.0085 / (1 - 0.0085)
"""Odds of a fraud when nothing is known: its share in the handbook's payments."""
TYPICAL_INCOME = 32_000.0
BEHAVIOUR = "customer_features__behavioral_score"
MERCHANTS = "transaction_features__merchant_risk_score"
INCOME = "customer_features__income"
DEVICE = "real_time_features__device_fingerprint_score"
ADDRESS = "real_time_features__ip_risk_score"
RISK_WEIGHTS = {
    "customer_features__debt_ratio": 0.25,
    "customer_features__revolving_utilization": 0.15,
    "customer_features__late_payment_ratio_12m": 0.20,
    "customer_features__geographic_risk_score": 0.10,
    BEHAVIOUR: 0.15,
    MERCHANTS: 0.15,
}
"""Weights of the combined risk, summing to 1; behaviour counts as 1 - score."""

_DAY = 86_400_000_000
_HOUR = 3_600_000_000


def calendar(df: pd.DataFrame) -> pd.DataFrame:
    """Whether a payment is made at the weekend or at night, both by UTC.

    Args:
        df: ``tx_datetime``: aware times of any zone; naive ones are UTC; whole numbers are
            microseconds since the epoch; ISO 8601 text is read.

    Returns:
        ``during_weekend`` (1 on Saturday and Sunday, else 0) and ``during_night`` (1 while the
        hour is 0 to 6, so until 06:59:59), as nullable integers; null where the time is.

    Raises:
        InputError: the column is missing or a value is no time.
    """
    micros, unknown = _micros(_column(df, "tx_datetime"))
    # 1970-01-01 was a Thursday, day 3 of a week that begins on Monday; floors hold before 1970.
    weekend = (micros // _DAY + 3) % 7 >= 5
    night = micros % _DAY // _HOUR <= 6
    return pd.DataFrame(
        {
            "during_weekend": pd.arrays.IntegerArray(weekend.astype(np.int64), unknown),
            "during_night": pd.arrays.IntegerArray(night.astype(np.int64), unknown.copy()),
        },
        index=df.index,
    )


def credit_ratios(df: pd.DataFrame) -> pd.DataFrame:
    """Three scores in 0..1 from what is known of a customer; nothing known is neutral.

    ``combined_risk_score``: 1 is worst, a weighted mean of debt, late payments, place, behaviour
    and merchants (``RISK_WEIGHTS``), an unknown part counts 0.5.
    ``creditworthiness_index``: 1 is best, 0.6 (1 - combined_risk_score)
    + 0.4 income / (income + 32,000); an unknown income counts as 32,000, a negative one as 0.
    ``fraud_probability``: odds / (1 + odds), the odds being 0.0085 / 0.9915, the share of frauds in
    all payments, times 0.25 + 12 x^2 for the address (x = ip_risk_score) and for the device
    (x = 1 - device_fingerprint_score), times 0.5 + merchant_risk_score; an unknown part is left
    out. Scores and ratios outside 0..1 are taken as the nearer end.

    Args:
        df: the columns of ``RISK_WEIGHTS`` and ``INCOME``, ``DEVICE``, ``ADDRESS``; None and NaN
            are unknown.

    Returns:
        The three scores as doubles, never null.

    Raises:
        InputError: a column is missing or holds something that is no number.
    """
    risk = _combined_risk(df)
    income = _numbers(df, INCOME)
    income = np.where(np.isnan(income), TYPICAL_INCOME, np.clip(income, 0.0, 1e12))
    odds = _fraud_odds(df)
    return pd.DataFrame(
        {
            "combined_risk_score": risk,
            "creditworthiness_index": 0.6 * (1.0 - risk) + 0.4 * income / (income + TYPICAL_INCOME),
            "fraud_probability": odds / (1.0 + odds),
        },
        index=df.index,
    )


def _combined_risk(df: pd.DataFrame) -> Floats:
    risk = np.zeros(len(df))
    for name, weight in RISK_WEIGHTS.items():
        share = _share(df, name)
        worst_at_one = 1.0 - share if name == BEHAVIOUR else share
        risk = risk + weight * np.where(np.isnan(worst_at_one), NEUTRAL, worst_at_one)
    return np.clip(risk, 0.0, 1.0)


def _fraud_odds(df: pd.DataFrame) -> Floats:
    merchants = _share(df, MERCHANTS)
    odds = BASE_ODDS * _evidence(_share(df, ADDRESS)) * _evidence(1.0 - _share(df, DEVICE))
    return odds * np.where(np.isnan(merchants), 1.0, 0.5 + merchants)


def _evidence(risk: Floats) -> Floats:
    return np.where(np.isnan(risk), 1.0, 0.25 + 12.0 * risk * risk)


def _share(df: pd.DataFrame, name: str) -> Floats:
    return np.clip(_numbers(df, name), 0.0, 1.0)


def _numbers(df: pd.DataFrame, name: str) -> Floats:
    try:
        return _column(df, name).to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError) as error:
        raise InputError(f"column {name} holds a value that is no number: {error}") from error


def _micros(times: pd.Series) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Microseconds since the epoch, and where the time is null (those count as 0)."""
    unknown = times.isna().to_numpy(dtype=bool)
    if pd.api.types.is_numeric_dtype(times.dtype):
        return times.fillna(0).to_numpy(dtype=np.int64), unknown
    if times.dtype == object or pd.api.types.is_string_dtype(times.dtype):
        try:
            times = pd.to_datetime(times, utc=True, format="ISO8601")
        except (TypeError, ValueError) as error:
            raise InputError(
                f"column {times.name} holds a value that is no time: {error}"
            ) from error
    # numpy has no zones: an aware column comes out in UTC.
    micros = times.to_numpy(dtype="datetime64[us]").astype(np.int64)
    return np.where(unknown, 0, micros), unknown


def _column(df: pd.DataFrame, name: str) -> pd.Series:
    if name not in df.columns:
        known = [str(column) for column in df.columns]
        raise InputError(
            f"an on-demand function needs the column {name}, which is not among its inputs",
            hint=f"nearest: {', '.join(nearest(name, known)) or 'none'}; see inputs in conf/views",
        )
    return df[name]

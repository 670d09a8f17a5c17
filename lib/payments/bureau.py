"""Credit-bureau snapshots: what is said of every customer at each month's end.

A customer's state moves slowly from month to month; the late-instalment ratios are counted from
the months that were drawn, so the ratios of 6 and 12 months never contradict each other.
``behavioral_score`` is 1 for the best behaviour, ``geographic_risk_score`` 1 for the worst place.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from payments.customers import Customers, Floats
from payments.randomness import stream
from payments.world import World

DAY = 86_400
MICROS = 1_000_000
INSTANT = pa.timestamp("us", tz="UTC")
SCHEMA = pa.schema(
    [
        ("customer_id", pa.int64()),
        ("snapshot_at", INSTANT),
        ("reported_at", INSTANT),
        ("age", pa.int32()),
        ("income", pa.float64()),
        ("employment_years", pa.float64()),
        ("credit_history_length", pa.int32()),
        ("num_credit_lines", pa.int32()),
        ("debt_ratio", pa.float64()),
        ("revolving_utilization", pa.float64()),
        ("late_payment_ratio_6m", pa.float64()),
        ("late_payment_ratio_12m", pa.float64()),
        ("geographic_risk_score", pa.float64()),
        ("behavioral_score", pa.float64()),
    ]
)

_SLOW_SHARE = 0.08  # of the reports that come up to 20 days later
_TAKEN_AT_HOUR = 18


@dataclass(frozen=True)
class Snapshot:
    """All customers at one month's end.

    Attributes:
        index: number of the month, 0 is the first.
        taken: seconds since the epoch of each customer's snapshot.
        reported: seconds since the epoch at which it arrives, days later.
        columns: the values by their name in ``SCHEMA``, one entry for each customer.
    """

    index: int
    taken: npt.NDArray[np.int64]
    reported: npt.NDArray[np.int64]
    columns: dict[str, npt.NDArray[np.generic]]


@dataclass(frozen=True)
class _State:
    """What changes from month to month."""

    stress: Floats
    employed: Floats
    missed: npt.NDArray[np.bool_]


def logistic(values: Floats) -> Floats:
    """The logistic function, real numbers to 0..1."""
    return np.asarray(1.0 / (1.0 + np.exp(-values)), dtype=np.float64)


def month_ends(first: date, last: date) -> list[date]:
    """The last days of all months between two dates, both included."""
    ends: list[date] = []
    day = first.replace(day=1)
    while True:
        following = (day + timedelta(days=32)).replace(day=1)
        if following - timedelta(days=1) > last:
            return ends
        ends.append(following - timedelta(days=1))
        day = following


def iter_snapshots(world: World) -> Iterator[Snapshot]:
    """Snapshots month by month, the first one at the start of the history, one in memory."""
    options = world.options
    draw = stream(options.seed, "bureau")
    count = world.customers.count
    origin = _origin(draw, world.customers)
    offset = draw.integers(0, 3_600, count)
    state = _first_state(draw, world.customers)
    last = options.start + timedelta(days=options.days - 1)
    for index, day in enumerate(month_ends(options.history_start, last)):
        monthly = stream(options.seed, "bureau of a month", index=index)
        state = _next_state(state, world.customers, draw=monthly)
        taken = int(datetime(day.year, day.month, day.day, _TAKEN_AT_HOUR, tzinfo=UTC).timestamp())
        slow = monthly.random(count) < _SLOW_SHARE
        delay = np.where(slow, monthly.integers(4 * DAY, 20 * DAY, count), DAY)
        yield Snapshot(
            index=index,
            taken=taken + offset,
            reported=taken + offset + delay + monthly.integers(0, DAY, count),
            columns=_values(origin, state, world.customers, month=index, draw=monthly),
        )


def snapshot_batch(snapshot: Snapshot, *, before: int) -> pa.RecordBatch:
    """The rows of a snapshot that have been reported before a second since the epoch."""
    kept = snapshot.reported < before
    clocks = {
        "customer_id": np.arange(len(kept), dtype=np.int64),
        "snapshot_at": snapshot.taken * MICROS,
        "reported_at": snapshot.reported * MICROS,
    }
    columns = clocks | snapshot.columns
    arrays = [pa.array(columns[field.name][kept], type=field.type) for field in SCHEMA]
    return pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)


def _origin(draw: np.random.Generator, customers: Customers) -> dict[str, Floats]:
    """Age (years), credit history (months), place and habits when the history begins."""
    age = draw.uniform(19, 70, customers.count)
    return {
        "age": age,
        "history": draw.uniform(0, 1, customers.count) * (age - 18) * 12,
        "lines": draw.poisson(3 + 0.5 * customers.risk.clip(-2, 2)).astype(np.float64),
        "place": draw.beta(2, 5, customers.count),
        "thrift": 0.6 * draw.standard_normal(customers.count),
    }


def _first_state(draw: np.random.Generator, customers: Customers) -> _State:
    chance = logistic(-2.8 + 1.1 * customers.risk)
    return _State(
        stress=0.6 * draw.standard_normal(customers.count),
        employed=draw.exponential(6, customers.count).clip(0, 30),
        missed=draw.random((12, customers.count)) < chance,
    )


def _next_state(state: _State, customers: Customers, *, draw: np.random.Generator) -> _State:
    count = customers.count
    stress = 0.92 * state.stress + 0.24 * draw.standard_normal(count)
    dismissed = draw.random(count) < 0.008 * (1 + logistic(2 * customers.risk))
    missed = draw.random(count) < logistic(-2.8 + 1.1 * customers.risk + 0.9 * stress)
    return _State(
        stress=stress + 0.5 * dismissed,
        employed=np.where(dismissed, 0.0, state.employed + 1 / 12),
        missed=np.vstack([state.missed[1:], missed]),
    )


def _values(
    origin: dict[str, Floats],
    state: _State,
    customers: Customers,
    *,
    month: int,
    draw: np.random.Generator,
) -> dict[str, npt.NDArray[np.generic]]:
    risk, noise = customers.risk, draw.standard_normal((3, customers.count))
    income = customers.income * 1.0015**month * (1 - 0.15 * np.exp(-2 * state.employed))
    values = {
        "age": np.floor(origin["age"] + month / 12).astype(np.int32),
        "income": np.round(income * np.exp(0.01 * noise[0]), 2),
        "employment_years": np.round(state.employed, 2),
        "credit_history_length": np.floor(origin["history"] + month).astype(np.int32),
        "num_credit_lines": (origin["lines"] + (state.stress > 0.8)).astype(np.int32),
        "debt_ratio": logistic(-0.9 + 0.7 * risk + 0.9 * state.stress),
        "revolving_utilization": logistic(-0.6 + 0.6 * risk + 0.8 * state.stress + 0.2 * noise[1]),
        "late_payment_ratio_6m": state.missed[-6:].mean(axis=0),
        "late_payment_ratio_12m": state.missed.mean(axis=0),
        "geographic_risk_score": origin["place"],
        "behavioral_score": logistic(0.9 - 0.8 * risk + origin["thrift"] + 0.3 * noise[2]),
    }
    return {
        name: np.round(value, 4) if value.dtype == np.float64 else value
        for name, value in values.items()
    }

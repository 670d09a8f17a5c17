"""Card payments as they happen, one day at a time; how they arrive is in ``arrivals``.

Rates, times and amounts follow the Fraud Detection Handbook, chapter 3.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from payments.customers import FAVOURITES
from payments.fraud import commit_fraud
from payments.randomness import stream
from payments.world import World

DAY = 86_400
PAYMENT = np.dtype(
    [
        ("transaction_id", np.int64),
        ("second", np.int64),
        ("customer", np.int64),
        ("terminal", np.int64),
        ("amount", np.float64),
        ("scenario", np.int8),
    ]
)
Rows = npt.NDArray[np.void]

_NOON, _SPREAD = 43_200, 20_000
_WITHIN_DAY = 0.9692  # share of that normal distribution which falls into the day


def iter_days(world: World) -> Iterator[Rows]:
    """The payments of each day in the order of time, numbered through; seconds since the epoch.

    Only one day is in memory at a time.
    """
    numbered = 0
    for day in range(world.options.days):
        rows = _payments_of(world, day)
        rows["transaction_id"] = np.arange(numbered, numbered + len(rows))
        numbered += len(rows)
        yield rows


def _payments_of(world: World, day: int) -> Rows:
    draw = stream(world.options.seed, "payments", index=day)
    customer, second = _moments(world, day, draw=draw)
    favourite = draw.integers(0, FAVOURITES, len(customer))
    terminal = world.customers.favourites[customer, favourite].astype(np.int64)
    mean = world.customers.mean_amount[customer]
    amount = draw.normal(mean, mean / 2)
    amount = np.where(amount < 0, draw.uniform(0, 2 * mean), amount)
    amount, scenario = commit_fraud(
        np.round(amount, 2),
        at_compromised=np.isin(terminal, world.fraud.compromised(day)),
        with_leaked=np.isin(customer, world.fraud.leaked(day)),
        draw=draw,
    )
    rows = np.zeros(len(customer), dtype=PAYMENT)
    rows["second"] = second
    rows["customer"] = customer
    rows["terminal"] = terminal
    rows["amount"] = amount
    rows["scenario"] = scenario
    return rows


def _moments(
    world: World, day: int, *, draw: np.random.Generator
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Who pays and when on a day, in the order of time."""
    options = world.options
    expected = world.customers.weight * options.payments / options.days / _WITHIN_DAY
    customer = np.repeat(np.arange(world.customers.count), draw.poisson(expected))
    second = draw.normal(_NOON, _SPREAD, len(customer)).astype(np.int64)
    kept = (second > 0) & (second < DAY)
    customer, second = customer[kept], second[kept]
    order = np.argsort(second, kind="stable")
    return customer[order], second[order] + options.start_second + day * DAY

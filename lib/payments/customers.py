"""Customers: how often, how much and where they pay, and the risk nobody sees directly.

``risk`` is the one cause behind gambling, debt, late instalments and default, so that payments,
bureau snapshots and loans tell of the same person. These profiles are the only thing that is held
in memory for the whole span.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from payments.options import GeneratorOptions
from payments.randomness import stream
from payments.terminals import Terminals

FAVOURITES = 24
_CANDIDATES = 48
_CHUNK = 20_000
_NEIGHBOURHOOD = 60.0

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Customers:
    """One entry for each customer.

    Attributes:
        risk: standard normal, high is bad.
        mean_amount: mean amount of a payment, 5 to 100.
        weight: share in all payments, sums to 1.
        income: a year's income at the start of the history.
        favourites: customers x 24 terminals where the customer pays.
    """

    risk: Floats
    mean_amount: Floats
    weight: Floats
    income: Floats
    favourites: npt.NDArray[np.int32]

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.risk)


def make_customers(options: GeneratorOptions, terminals: Terminals) -> Customers:
    """Draws the customers; amounts and rates as in the Fraud Detection Handbook, chapter 3."""
    draw = stream(options.seed, "customers")
    count = options.customer_count
    risk = draw.standard_normal(count)
    mean_amount = draw.uniform(5, 100, count)
    rate = draw.uniform(0, 4, count)
    wealth = 0.3 * (mean_amount - 52.5) / 27.4 - 0.15 * risk + 0.3 * draw.standard_normal(count)
    return Customers(
        risk=risk,
        mean_amount=mean_amount,
        weight=rate / rate.sum(),
        income=32_000 * np.exp(wealth),
        favourites=_favourites(draw, risk, terminals=terminals),
    )


def _favourites(
    draw: np.random.Generator, risk: Floats, *, terminals: Terminals
) -> npt.NDArray[np.int32]:
    """Terminals around a home; the riskier a customer, the more of them are of a risky trade."""
    high_risk = terminals.high_risk
    chosen = np.empty((len(risk), FAVOURITES), dtype=np.int32)
    for first in range(0, len(risk), _CHUNK):
        part = risk[first : first + _CHUNK]
        home = draw.integers(0, terminals.count, (len(part), 1))
        steps = draw.normal(0, _NEIGHBOURHOOD, (len(part), _CANDIDATES)).astype(np.int64)
        near = (home + steps) % terminals.count
        # The 24 highest of (log weight + Gumbel noise) are a weighted draw without replacement.
        appeal = draw.gumbel(size=near.shape) + 0.8 * part[:, None] * high_risk[near]
        best = np.argpartition(-appeal, FAVOURITES, axis=1)[:, :FAVOURITES]
        best.sort(axis=1)
        chosen[first : first + _CHUNK] = np.take_along_axis(near, best, axis=1)
    return chosen

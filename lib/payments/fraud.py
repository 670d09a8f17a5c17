"""Fraud: the three scenarios of the Fraud Detection Handbook, chapter 3, with its frequencies.

1: an amount above 220 is a fraud. 2: a compromised terminal makes every payment a fraud for 28
days. 3: of a leaked card's payments in 14 days one in three is a fraud of five times the amount.
A later scenario overrides an earlier one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from payments.options import GeneratorOptions
from payments.randomness import stream

AMOUNT_LIMIT = 220.0
COMPROMISED_DAYS = 28
LEAKED_DAYS = 14
LEAKED_FACTOR = 5.0
LEAKED_SHARE = 1 / 3

_TERMINALS_A_DAY = 2 / 10_000
_CUSTOMERS_A_DAY = 3 / 5_000


@dataclass(frozen=True)
class FraudSchedule:
    """When which terminal is compromised and which card leaks.

    Attributes:
        terminals: (day, terminal) pairs, the first day of each case.
        customers: (day, customer) pairs.
    """

    terminals: npt.NDArray[np.int64]
    customers: npt.NDArray[np.int64]

    def compromised(self, day: int) -> npt.NDArray[np.int64]:
        """Terminals that are compromised on a day (0 is the first of the span)."""
        return _active(self.terminals, day, length=COMPROMISED_DAYS)

    def leaked(self, day: int) -> npt.NDArray[np.int64]:
        """Customers whose card is in wrong hands on a day."""
        return _active(self.customers, day, length=LEAKED_DAYS)


def make_schedule(options: GeneratorOptions) -> FraudSchedule:
    """Draws all cases of the span; their number grows with days and with terminals or customers."""
    return FraudSchedule(
        terminals=_cases(
            options, "compromised", count=options.terminal_count, rate=_TERMINALS_A_DAY
        ),
        customers=_cases(options, "leaked", count=options.customer_count, rate=_CUSTOMERS_A_DAY),
    )


def commit_fraud(
    amount: npt.NDArray[np.float64],
    *,
    at_compromised: npt.NDArray[np.bool_],
    with_leaked: npt.NDArray[np.bool_],
    draw: np.random.Generator,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int8]]:
    """Amounts after fraud and the scenario of each payment (0: none)."""
    scenario = (amount > AMOUNT_LIMIT).astype(np.int8)
    scenario[at_compromised] = 2
    abused = with_leaked & (draw.random(len(amount)) < LEAKED_SHARE)
    scenario[abused] = 3
    return np.where(abused, np.round(amount * LEAKED_FACTOR, 2), amount), scenario


def _cases(
    options: GeneratorOptions, purpose: str, *, count: int, rate: float
) -> npt.NDArray[np.int64]:
    draw = stream(options.seed, purpose)
    per_day = draw.poisson(rate * count, options.days)
    day = np.repeat(np.arange(options.days, dtype=np.int64), per_day)
    return np.stack([day, draw.integers(0, count, len(day))], axis=1)


def _active(cases: npt.NDArray[np.int64], day: int, *, length: int) -> npt.NDArray[np.int64]:
    age = day - cases[:, 0]
    return np.unique(cases[(age >= 0) & (age < length), 1])

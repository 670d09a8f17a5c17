"""Sessions of the banking app: logins, device and address risk, and what the customer sees.

``device_fingerprint_score`` is 1 for a device that is known and 0 for one never seen,
``ip_risk_score`` is 1 for the worst address. While a customer's card is in wrong hands (fraud
scenario 3) there are more sessions, logins and risk. One more session lies within the day before
each loan; its id starts at ``LOAN_SESSIONS``.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from payments import lines
from payments.customers import Customers, Floats
from payments.loans import Loans
from payments.malformed import SESSION_KINDS, break_session
from payments.payments import DAY, Rows
from payments.randomness import stream
from payments.world import World

LOAN_SESSIONS = 10**12
PER_DAY = 0.15
COLUMNS = (
    "session_id", "customer_id", "started_at", "login_attempts_24h", "device_fingerprint_score",
    "ip_risk_score", "session_duration", "current_balance", "last_transaction_amount",
)  # fmt: skip

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Sessions:
    """Sessions in the order of time; seconds since the epoch; ``last_amount`` is NaN if none."""

    session: Integers
    customer: Integers
    second: Integers
    leaked: npt.NDArray[np.bool_]
    last_amount: Floats

    def __len__(self) -> int:
        return len(self.session)


class LastAmounts:
    """The amount of each customer's last payment so far, moved on day by day.

    Args:
        customers: how many customers there are.
    """

    def __init__(self, customers: int) -> None:
        self._amounts = np.full(customers, np.nan)

    def at(self, customer: Integers, second: Integers, *, payments: Rows) -> Floats:
        """Amount of the last payment up to each second of the day whose payments are given."""
        base = int(min(payments["second"].min(initial=2**62), second.min(initial=2**62)))
        order = np.lexsort((payments["second"], payments["customer"]))
        rows = payments[order]
        # Sorted by (customer, second) packed into one number: a day has fewer than 2**17 seconds.
        keys = (rows["customer"] << 17) + (rows["second"] - base)
        at = np.searchsorted(keys, (customer << 17) + (second - base), side="right") - 1
        amounts = self._amounts[customer]
        found = at >= 0
        found[found] = rows["customer"][at[found]] == customer[found]
        amounts[found] = rows["amount"][at[found]]
        return amounts

    def move_on(self, payments: Rows) -> None:
        """Takes in a whole day's payments, which are in the order of time."""
        self._amounts[payments["customer"]] = payments["amount"]


def sessions_of_day(
    world: World, day: int, *, payments: Rows, last: LastAmounts, first_id: int
) -> Sessions:
    """The sessions of one day, numbered from ``first_id``; also moves ``last`` on by the day."""
    draw = stream(world.options.seed, "sessions", index=day)
    leaked = np.zeros(world.customers.count, dtype=bool)
    leaked[world.fraud.leaked(day)] = True
    number = draw.poisson(np.where(leaked, 3 * PER_DAY, PER_DAY))
    customer = np.repeat(np.arange(world.customers.count), number)
    within = draw.normal(50_000, 18_000, len(customer)).astype(np.int64) % DAY
    order = np.argsort(within, kind="stable")
    customer = customer[order]
    second = world.options.start_second + day * DAY + within[order]
    amounts = last.at(customer, second, payments=payments)
    last.move_on(payments)
    return Sessions(
        session=first_id + np.arange(len(customer)),
        customer=customer,
        second=second,
        leaked=leaked[customer],
        last_amount=amounts,
    )


def sessions_before_loans(world: World, loans: Loans, *, month: int) -> Sessions:
    """One session five minutes to twenty hours before each loan."""
    draw = stream(world.options.seed, "sessions before loans", index=month)
    mean = world.customers.mean_amount[loans.customer]
    return Sessions(
        session=LOAN_SESSIONS + loans.loan,
        customer=loans.customer,
        second=loans.granted - draw.integers(300, 20 * 3_600, len(loans.loan)),
        leaked=np.zeros(len(loans.loan), dtype=bool),
        last_amount=np.round(draw.uniform(0.2, 1.8, len(mean)) * mean, 2),
    )


def session_lines(
    sessions: Sessions, world: World, *, purpose: str, index: int
) -> tuple[bytes, Counter[str]]:
    """JSON lines, and how many of them are broken in which way."""
    draw = stream(world.options.seed, purpose, index=index)
    values = (
        lines.texts(sessions.session),
        lines.texts(sessions.customer),
        lines.joined(['"', lines.instants(sessions.second), '"'], separator=""),
        *(lines.texts(column) for column in _measures(sessions, world.customers, draw=draw)),
        lines.texts(sessions.last_amount),
    )
    parts = [
        part
        for name, value in zip(COLUMNS, values, strict=True)
        for part in ("," if name != COLUMNS[0] else "{", f'"{name}":', value)
    ]
    text = lines.joined([*parts, "}"], separator="")
    flawed = np.flatnonzero(draw.random(len(sessions)) < world.options.malformed_share).tolist()
    # The day shifts where the round begins, so that small sets have every kind too.
    kinds = [SESSION_KINDS[(at + index) % len(SESSION_KINDS)] for at in range(len(flawed))]
    broken = [break_session(kind, text[at].as_py()) for kind, at in zip(kinds, flawed, strict=True)]
    return lines.as_bytes(lines.replaced(text, positions=flawed, by=broken)), Counter(kinds)


def _measures(
    sessions: Sessions, customers: Customers, *, draw: np.random.Generator
) -> tuple[npt.NDArray[np.generic], ...]:
    """Logins, device score, address risk, seconds and balance, in the order of the columns."""
    count = len(sessions)
    stranger = sessions.leaked & (draw.random(count) < 0.7)
    risk = customers.risk[sessions.customer]
    logins = 1 + draw.poisson(np.where(stranger, 6.0, 0.5 + 0.2 * (risk > 1)))
    device = np.where(stranger, draw.beta(2, 6, count), draw.beta(9, 1.5, count))
    address = np.where(stranger, draw.beta(5, 3, count), draw.beta(1.5, 10, count))
    duration = draw.gamma(2.0, np.where(stranger, 60.0, 120.0))
    month = customers.income[sessions.customer] / 12
    balance = month * (np.exp(0.5 * draw.standard_normal(count) - 0.4 * risk) - 0.3)
    return (
        logins,
        np.round(device, 4),
        np.round(address, 4),
        np.round(duration, 1),
        np.round(balance, 2),
    )

"""What tables and Redis must hold after deliveries, said in plain Python.

Nothing here knows of batches, runs or faults: a row is in silver or in quarantine, once.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from support.faults.deliveries import COLUMNS, Delivery, Line

Row = tuple[object, ...]
WEEK = timedelta(days=7)


@dataclass(frozen=True)
class Payment:
    """A version of a payment."""

    ident: int
    when: datetime
    customer: int
    terminal: int
    amount: float
    told: datetime

    @staticmethod
    def of(line: Line) -> Payment:
        """What a good line says."""
        ident, when, customer, terminal, amount, _, told = line.values
        times = datetime.fromisoformat(when), datetime.fromisoformat(told)
        return Payment(int(ident), times[0], int(customer), int(terminal), float(amount), times[1])


@dataclass(frozen=True)
class Expected:
    """Rows of each table with how often each is there, and what Redis answers by customer."""

    bronze: Counter[Row]
    quarantine: Counter[Row]
    silver: Counter[Row]
    last_payment: Counter[Row]
    customer_spend: Counter[Row]
    files: Counter[Row]
    rows_in: int
    newest: dict[int, Row]
    events: dict[int, set[Row]]


def expected(sent: Sequence[Delivery]) -> Expected:
    """Everything that must be there once all deliveries were taken in."""
    lines = [(one.name, line) for one in sent for line in one.lines]
    versions = {Payment.of(line) for _, line in lines if not line.reasons}
    clock = max(one.when for one in versions)
    by_customer = defaultdict(list)
    for one in versions:
        by_customer[one.customer].append(one)
    return Expected(
        bronze=Counter((name, *line.values) for name, line in lines),
        quarantine=Counter(
            (name, line.reasons, _raw(line)) for name, line in lines if line.reasons
        ),
        silver=Counter(
            (one.ident, one.when, one.customer, one.terminal, one.amount, False, one.told)
            for one in versions
        ),
        last_payment=Counter((one.customer, one.amount, one.when, one.told) for one in versions),
        customer_spend=Counter(
            (one.customer, one.ident, one.amount, one.when, one.told) for one in versions
        ),
        files=Counter((one.name, "loaded") for one in sent),
        rows_in=len(lines),
        newest={customer: _newest(found) for customer, found in by_customer.items()},
        events={customer: _events(found, clock) for customer, found in by_customer.items()},
    )


def _raw(line: Line) -> tuple[tuple[str, str], ...]:
    """The values that a raw record has, by column: an empty one is null, and left out."""
    return tuple(sorted((name, one) for name, one in zip(COLUMNS, line.values, strict=True) if one))


def _newest(versions: Sequence[Payment]) -> Row:
    last = max(versions, key=lambda one: (one.when, one.told))
    return last.when, last.told, last.amount


def _events(versions: Sequence[Payment], clock: datetime) -> set[Row]:
    """The last version of each payment of the week before the clock."""
    last: dict[int, Payment] = {}
    for one in sorted(versions, key=lambda one: one.told):
        last[one.ident] = one
    return {
        (one.ident, one.when, one.told, one.amount)
        for one in last.values()
        if one.when > clock - WEEK
    }

"""Loans and whether they default within twelve months of being granted.

Whether a borrower defaults depends on the bureau's values at the time of the grant. A default is
known on its day, a good outcome when the twelve months are over; what lies after the span is null
(``defaulted`` and ``outcome_known_at``), because nobody could know it when the files were written.

Payments span half a year only and a label needs a whole one, so loans and snapshots begin years
before the payments (``history_days``): training, validation and test periods with mature labels
then exist on the day the payments end. Loans from before the payments have empty windows of
payments, which is what a platform that got its card feed late sees too. In the last twelve months
the loans with a known outcome are mostly defaults: train on loans granted 365 days before the cut.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from payments.bureau import DAY, INSTANT, MICROS, Snapshot, iter_snapshots, logistic
from payments.customers import Floats
from payments.randomness import stream
from payments.world import World

OUTCOME_DAYS = 365
TERMS = (12, 24, 36, 48, 60)
SCHEMA = pa.schema(
    [
        ("loan_id", pa.int64()),
        ("customer_id", pa.int64()),
        ("granted_at", INSTANT),
        ("amount", pa.float64()),
        ("term_months", pa.int32()),
        ("defaulted", pa.bool_()),
        ("outcome_known_at", INSTANT),
    ]
)

_SHARE_A_MONTH = 0.09


@dataclass(frozen=True)
class Loans:
    """The loans granted between two snapshots, in the order of time; seconds since the epoch."""

    loan: npt.NDArray[np.int64]
    customer: npt.NDArray[np.int64]
    granted: npt.NDArray[np.int64]
    amount: Floats
    term: npt.NDArray[np.int32]
    defaulted: npt.NDArray[np.bool_]
    outcome: npt.NDArray[np.int64]


def iter_months(world: World) -> Iterator[tuple[Snapshot, Loans]]:
    """Each snapshot with the loans granted in the 28 days after it, or until the span ends."""
    numbered = 0
    for snapshot in iter_snapshots(world):
        loans = _loans_after(snapshot, world, first_id=numbered)
        numbered += len(loans.loan)
        yield snapshot, loans


def loan_batch(loans: Loans, *, before: int) -> pa.RecordBatch:
    """Rows for the files; outcomes that are not known before a second since the epoch are null."""
    unknown = loans.outcome >= before
    columns = {
        "loan_id": loans.loan,
        "customer_id": loans.customer,
        "granted_at": loans.granted * MICROS,
        "amount": loans.amount,
        "term_months": loans.term,
        "defaulted": pa.array(loans.defaulted, mask=unknown),
        "outcome_known_at": pa.array(loans.outcome * MICROS, mask=unknown).cast(INSTANT),
    }
    arrays = [pa.array(columns[field.name], type=field.type) for field in SCHEMA]
    return pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)


def _loans_after(snapshot: Snapshot, world: World, *, first_id: int) -> Loans:
    draw = stream(world.options.seed, "loans", index=snapshot.index)
    customer = np.flatnonzero(draw.random(world.customers.count) < _SHARE_A_MONTH)
    granted = snapshot.taken[customer] + draw.integers(1, 28 * DAY, len(customer))
    order = np.argsort(granted, kind="stable")
    order = order[granted[order] < world.options.end_second]
    customer, granted = customer[order], granted[order]
    count = len(customer)
    income = np.asarray(snapshot.columns["income"][customer], dtype=np.float64)
    share = draw.uniform(0.05, 0.8, count)
    defaulted = draw.random(count) < default_probability(snapshot, customer, share=share)
    early = (DAY * (20 + draw.gamma(2.0, 55.0, count))).astype(np.int64)
    after = np.where(defaulted, np.minimum(early, OUTCOME_DAYS * DAY), OUTCOME_DAYS * DAY)
    return Loans(
        loan=first_id + np.arange(count),
        customer=customer,
        granted=granted,
        amount=np.round(income * share, -1),
        term=draw.choice(TERMS, count).astype(np.int32),
        defaulted=defaulted,
        outcome=granted + after,
    )


def default_probability(
    snapshot: Snapshot, customer: npt.NDArray[np.int64], *, share: Floats
) -> Floats:
    """Chance of a default within twelve months, about 0.12 in the mean.

    Args:
        snapshot: the bureau's state when the loan is granted.
        customer: positions of the borrowers.
        share: amount of each loan by a year's income.
    """
    value = {
        name: np.asarray(column[customer], dtype=np.float64)
        for name, column in snapshot.columns.items()
    }
    logit: Floats = (
        -2.75
        + 3.5 * (value["debt_ratio"] - 0.3)
        + 2.0 * (value["revolving_utilization"] - 0.4)
        + 3.0 * (value["late_payment_ratio_12m"] - 0.1)
        - 0.7 * np.log(value["income"] / 32_000)
        - 1.5 * (value["behavioral_score"] - 0.7)
        + 1.0 * (value["geographic_risk_score"] - 0.3)
        + 0.8 * (share - 0.4)
    )
    return logistic(logit)

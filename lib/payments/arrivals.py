"""How payments arrive: mostly within a minute, some days late, some twice, some corrected.

A delivery belongs to the day on which it arrives. What is still under way is carried over, at
most two weeks of late rows and copies; what would arrive after the span is never delivered.
"""

from __future__ import annotations

import numpy as np

from payments.malformed import PAYMENT_KINDS
from payments.options import GeneratorOptions
from payments.payments import DAY, PAYMENT, Rows
from payments.randomness import stream

HOUR = 3_600
LATE_SECONDS = 10 * DAY
COPY_SECONDS = 14 * DAY
CORRECTION_SECONDS = 9 * DAY
ORIGINAL, DUPLICATE, CORRECTION = 0, 1, 2
DELIVERY = np.dtype(
    [
        *((name, PAYMENT[name]) for name in PAYMENT.names or ()),
        ("arrived", np.int64),
        ("delivered", np.int64),
        ("origin", np.int8),
        ("flaw", np.int8),
    ]
)
"""A payment on its way: ``flaw`` is 0, or 1 + the position of its kind in PAYMENT_KINDS."""


class Deliveries:
    """What is under way; handed the payments of one day after the other.

    Args:
        options: of the whole data set.
    """

    def __init__(self, options: GeneratorOptions) -> None:
        self._options = options
        self._pending = np.zeros(0, dtype=DELIVERY)
        self._day = 0
        self._flawed = 0

    def after(self, payments: Rows) -> Rows:
        """Takes the next day's payments; the rows delivered on that day, in order of delivery."""
        sent = _send(payments, self._options, day=self._day)
        broken = np.flatnonzero(sent["flaw"])
        sent["flaw"][broken] = 1 + (self._flawed + np.arange(len(broken))) % len(PAYMENT_KINDS)
        self._flawed += len(broken)
        pending = np.concatenate(
            [self._pending, sent, *_copies(sent, self._options, day=self._day)]
        )
        self._day += 1
        due = pending["delivered"] < self._options.start_second + self._day * DAY
        delivered, self._pending = pending[due], pending[~due]
        return delivered[np.argsort(delivered["delivered"], kind="stable")]


def _send(payments: Rows, options: GeneratorOptions, *, day: int) -> Rows:
    draw = stream(options.seed, "arrivals", index=day)
    rows = np.zeros(len(payments), dtype=DELIVERY)
    for name in PAYMENT.names or ():
        rows[name] = payments[name]
    prompt = 1 + draw.exponential(8, len(rows)).astype(np.int64).clip(0, 600)
    late = draw.integers(HOUR, LATE_SECONDS, len(rows))
    is_late = draw.random(len(rows)) < options.late_share
    rows["arrived"] = rows["second"] + np.where(is_late, late, prompt)
    rows["delivered"] = rows["arrived"]
    rows["flaw"] = draw.random(len(rows)) < options.malformed_share
    return rows


def _copies(sent: Rows, options: GeneratorOptions, *, day: int) -> tuple[Rows, Rows]:
    """Exact copies that come later, and corrections, which are versions; never of broken rows."""
    draw = stream(options.seed, "copies", index=day)
    chance = draw.random(len(sent))
    sound = sent["flaw"] == 0
    twice = sent[sound & (chance < options.duplicate_share)]
    twice["origin"] = DUPLICATE
    twice["delivered"] += draw.integers(0, COPY_SECONDS, len(twice))
    corrected = sent[sound & (sent["scenario"] == 0) & (chance > 1 - options.correction_share)]
    corrected["origin"] = CORRECTION
    corrected["amount"] = np.round(corrected["amount"] * 0.9, 2)
    corrected["arrived"] += draw.integers(HOUR, CORRECTION_SECONDS, len(corrected))
    corrected["delivered"] = corrected["arrived"]
    return twice, corrected

"""The payments feed: deliveries as CSV lines, and the count of what was planted in them."""

from __future__ import annotations

from collections import Counter

import numpy as np

from payments import lines
from payments.arrivals import CORRECTION, DUPLICATE, HOUR, ORIGINAL
from payments.malformed import PAYMENT_KINDS, break_payment
from payments.payments import Rows
from payments.terminals import CHANNELS, COUNTRIES, MERCHANT_TYPES, Terminals

COLUMNS = (
    "transaction_id", "tx_datetime", "customer_id", "terminal_id", "amount", "is_fraud",
    "fraud_scenario", "channel", "merchant_type", "country", "arrived_at",
)  # fmt: skip
HEADER = (",".join(COLUMNS) + "\n").encode()


def payment_lines(rows: Rows, terminals: Terminals) -> bytes:
    """CSV lines of deliveries; rows with a flaw come out broken."""
    at = rows["terminal"]
    columns = (
        lines.texts(rows["transaction_id"]),
        lines.instants(rows["second"]),
        lines.texts(rows["customer"]),
        lines.texts(at),
        lines.texts(rows["amount"]),
        lines.texts((rows["scenario"] > 0).astype(np.int8)),
        lines.texts(rows["scenario"]),
        lines.names(CHANNELS, terminals.channel[at]),
        lines.names(MERCHANT_TYPES, terminals.merchant_type[at]),
        lines.names(COUNTRIES, terminals.country[at]),
        lines.instants(rows["arrived"]),
    )
    text = lines.joined(columns, separator=",")
    flawed = np.flatnonzero(rows["flaw"]).tolist()
    broken = [
        break_payment(
            PAYMENT_KINDS[rows["flaw"][at] - 1], text[at].as_py().split(","), columns=COLUMNS
        )
        for at in flawed
    ]
    return lines.as_bytes(lines.replaced(text, positions=flawed, by=broken))


def planted(rows: Rows) -> Counter[str]:
    """Counts of deliveries: duplicates, corrections, late, fraud_1 to fraud_3, each kind of flaw.

    Late and frauds count sound first deliveries; late is an hour or more after it happened.
    """
    counts: Counter[str] = Counter()
    sound = (rows["origin"] == ORIGINAL) & (rows["flaw"] == 0)
    counts["late"] = int((sound & (rows["arrived"] - rows["second"] >= HOUR)).sum())
    counts["duplicates"] = int((rows["origin"] == DUPLICATE).sum())
    counts["corrections"] = int((rows["origin"] == CORRECTION).sum())
    for scenario in (1, 2, 3):
        counts[f"fraud_{scenario}"] = int((sound & (rows["scenario"] == scenario)).sum())
    for code, kind in enumerate(PAYMENT_KINDS, start=1):
        counts[kind] = int((rows["flaw"] == code).sum())
    return counts

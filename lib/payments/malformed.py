"""The ways in which a line of a feed is broken, each planted in known number.

The manifest counts them by these names; what a table makes of each is the table's definition.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

PAYMENT_KINDS = (
    "amount_not_a_number",
    "amount_negative",
    "amount_out_of_range",
    "customer_missing",
    "time_unreadable",
    "channel_unknown",
    "key_missing",
    "line_too_long",
    "line_too_short",
)
SESSION_KINDS = ("json_broken", "field_unknown", "key_missing", "score_out_of_range")


def break_payment(kind: str, fields: Sequence[str], *, columns: Sequence[str]) -> str:
    """A CSV line (without its end) of the given fields, broken in one way.

    Raises:
        KeyError: the kind is not one of ``PAYMENT_KINDS``.
    """
    if kind == "line_too_long":
        return ",".join([*fields, "surplus", "fields"])
    if kind == "line_too_short":
        return ",".join(fields[:4])
    amount = fields[columns.index("amount")]
    column, value = {
        "amount_not_a_number": ("amount", "abc"),
        "amount_negative": ("amount", f"-{float(amount) + 1:.2f}"),
        "amount_out_of_range": ("amount", f"{2_000_000 + float(amount):.2f}"),
        "customer_missing": ("customer_id", ""),
        "time_unreadable": ("tx_datetime", "2018-13-45T25:61:00Z"),
        "channel_unknown": ("channel", "carrier_pigeon"),
        "key_missing": ("transaction_id", ""),
    }[kind]
    pairs = zip(columns, fields, strict=True)
    return ",".join(value if name == column else field for name, field in pairs)


def break_session(kind: str, line: str) -> str:
    """A JSON line (without its end), broken in one way.

    Raises:
        KeyError: the kind is not one of ``SESSION_KINDS``.
    """
    if kind == "json_broken":
        return line[: len(line) * 2 // 3]
    change = {
        "field_unknown": {"app_build": "4.2.0-rc1"},
        "key_missing": {"session_id": None},
        "score_out_of_range": {"ip_risk_score": 7.5},
    }[kind]
    return json.dumps(json.loads(line) | change, separators=(",", ":"))

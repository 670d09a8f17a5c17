"""Answers of the small project's lending service, as a serving process logs them."""

from __future__ import annotations

from datetime import UTC, datetime

from feldspar.serving.served import ServedRecord
from feldspar.times import to_micros

T = datetime(2024, 5, 20, 12, tzinfo=UTC)
FEATURES = {
    "customer_spend__count_1d": 2,
    "customer_spend__count_7d": 3,
    "customer_spend__avg_amount_1d": 20.0,
    "customer_spend__avg_amount_7d": 30.0,
    "last_payment__last_amount": 10.0,
    "last_payment__last_amount_twice": 20.0,
    "last_payment__ratio": 0.5,
}


def record(number: int) -> ServedRecord:
    return ServedRecord(
        request_id=str(number),
        served_at=to_micros(T) + number,
        service="lending",
        request={"customer_id": number},
        at=to_micros(T),
        features=FEATURES,
        newest={"customer_spend": to_micros(T) - 5, "last_payment": None},
        versions={"customer_spend": 7, "last_payment": 4},
        stamps={"customer_spend": 6},
    )

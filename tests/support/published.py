"""The published payments, which lie beside the project and not in it."""

from __future__ import annotations

import os

import pytest

from support.places import REPOSITORY

FOLDER = REPOSITORY / ".." / "shared" / "data" / "payments"
PAYMENTS = FOLDER / "transactions.parquet"
SAMPLE = FOLDER / "windowed_features_sample.parquet"

without_published_payments = pytest.mark.skipif(
    not FOLDER.exists() and os.environ.get("CI") != "true",
    reason="the published payments are not in ../shared/data/payments",
)

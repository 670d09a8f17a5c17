"""Figures that every engine of expressions must share to give the same values."""

from __future__ import annotations

from feldspar.spec.types import BIGINT_MAX, BIGINT_MIN, INT_MAX, INT_MIN, ColumnType

HOUR_MICROS = 3_600_000_000
DAY_MICROS = 24 * HOUR_MICROS
THURSDAY = 3
"""The epoch's weekday, counted from Monday = 0."""

NO_FRACTION = 2.0**52
"""Doubles from here on are whole: rounding leaves them alone."""

INTEGERS = {ColumnType.INT: (INT_MIN, INT_MAX), ColumnType.BIGINT: (BIGINT_MIN, BIGINT_MAX)}

# Doubles strictly between these lose their fraction to a value that the type holds.
OPEN_BOUNDS = {
    ColumnType.INT: (float(INT_MIN) - 1.0, float(INT_MAX) + 1.0),
    ColumnType.BIGINT: (-9223372036854777856.0, 2.0**63),
}

UPPER_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
LOWER_LETTERS = "abcdefghijklmnopqrstuvwxyz"

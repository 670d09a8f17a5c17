"""The column types that a YAML file may name.

How an engine holds a type is the engine's: Arrow's are in ``compute.expressions.arrow``.
"""

from __future__ import annotations

from enum import StrEnum


class ColumnType(StrEnum):
    """A column's type; the value is its name in YAML, and every type may hold null.

    ``timestamp`` is an instant in UTC with microseconds, ``date`` a day without a zone.
    """

    BOOLEAN = "boolean"
    INT = "int"
    BIGINT = "bigint"
    DOUBLE = "double"
    STRING = "string"
    TIMESTAMP = "timestamp"
    DATE = "date"

    @property
    def spark(self) -> str:
        """The type's name in Spark DDL.

        >>> ColumnType.BIGINT.spark
        'bigint'
        """
        return self.value

    @property
    def is_integer(self) -> bool:
        """Whether values are whole numbers of fixed width."""
        return self in (ColumnType.INT, ColumnType.BIGINT)

    @property
    def is_number(self) -> bool:
        """Whether arithmetic is defined."""
        return self.is_integer or self is ColumnType.DOUBLE


INT_MIN, INT_MAX = -(2**31), 2**31 - 1
BIGINT_MIN, BIGINT_MAX = -(2**63), 2**63 - 1

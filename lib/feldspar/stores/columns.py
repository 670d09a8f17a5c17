"""Packed columns inside a value of the online store: numbers, yes/no, texts, each with nulls.

Little-endian and dense, one block a column; how columns make a value is in ``stores.rows``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from feldspar.spec.types import ColumnType

_DENSE = {
    ColumnType.BOOLEAN: np.dtype("?"),
    ColumnType.INT: np.dtype("<i4"),
    ColumnType.BIGINT: np.dtype("<i8"),
    ColumnType.DOUBLE: np.dtype("<f8"),
    ColumnType.TIMESTAMP: np.dtype("<i8"),
    ColumnType.DATE: np.dtype("<i4"),
}
_LENGTHS = np.dtype("<u4")
_WHOLE, _HOLED = b"\x00", b"\x01"


def bitmap(flags: Sequence[bool]) -> bytes:
    """One bit for each flag, eight to a byte, first flag first."""
    return np.packbits(np.fromiter(flags, dtype=np.bool_, count=len(flags))).tobytes()


def set_bits(value: bytes, at: int, count: int) -> list[bool]:
    """The flags of a ``bitmap`` that starts at a byte."""
    packed = np.frombuffer(value, dtype=np.uint8, count=(count + 7) // 8, offset=at)
    flags: list[bool] = np.unpackbits(packed, count=count).astype(np.bool_).tolist()
    return flags


def pack_column(values: Sequence[Any], kind: ColumnType) -> bytes:
    """A column of n values; None is null."""
    present = [value is not None for value in values]
    head = _WHOLE if all(present) else _HOLED + bitmap(present)
    if kind is ColumnType.STRING:
        texts = [b"" if value is None else value.encode() for value in values]
        lengths = np.fromiter(map(len, texts), dtype=_LENGTHS, count=len(texts))
        return b"".join([head, lengths.tobytes(), *texts])
    filled = values if head == _WHOLE else [0 if value is None else value for value in values]
    return head + np.asarray(filled, dtype=_DENSE[kind]).tobytes()


class ColumnReader:
    """Reads columns one after the other.

    Args:
        value: all bytes.
        at: where the first column starts.
        count: n, the same for every column.
    """

    def __init__(self, value: bytes, at: int, count: int) -> None:
        self._value = value
        self._at = at
        self._count = count

    def read(self, kind: ColumnType) -> list[Any]:
        """The next column."""
        present = self._present()
        values = self._texts() if kind is ColumnType.STRING else self._numbers(_DENSE[kind])
        if present is None:
            return values
        return [value if held else None for value, held in zip(values, present, strict=True)]

    def _present(self) -> list[bool] | None:
        holed = self._value[self._at : self._at + 1] == _HOLED
        self._at += 1
        if not holed:
            return None
        flags = set_bits(self._value, self._at, self._count)
        self._at += (self._count + 7) // 8
        return flags

    def _numbers(self, kind: np.dtype[Any]) -> list[Any]:
        values = np.frombuffer(self._value, dtype=kind, count=self._count, offset=self._at)
        self._at += values.nbytes
        found: list[Any] = values.tolist()
        return found

    def _texts(self) -> list[Any]:
        texts = []
        for length in self._numbers(_LENGTHS):
            texts.append(self._value[self._at : self._at + length].decode())
            self._at += length
        return texts

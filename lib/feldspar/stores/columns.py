"""Packed columns inside a value of the online store: numbers, yes/no, texts, each with nulls.

Little-endian and dense, one block a column; how columns make a value is in
``stores.events``.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from feldspar.spec.types import ColumnType

Many = Sequence[Any] | npt.NDArray[Any]
_DENSE = {
    ColumnType.BOOLEAN: np.dtype("?"),
    ColumnType.INT: np.dtype("<i4"),
    ColumnType.BIGINT: np.dtype("<i8"),
    ColumnType.DOUBLE: np.dtype("<f8"),
    ColumnType.TIMESTAMP: np.dtype("<i8"),
    ColumnType.DATE: np.dtype("<i4"),
}
_CODES = {
    ColumnType.BOOLEAN: "?",
    ColumnType.INT: "i",
    ColumnType.BIGINT: "q",
    ColumnType.DOUBLE: "d",
    ColumnType.TIMESTAMP: "q",
    ColumnType.DATE: "i",
}
_STRING = ColumnType.STRING
_LENGTHS = np.dtype("<u4")
_MANY = 150
"""From here on numpy adds up faster than Python."""
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
    if kind is _STRING:
        texts = [b"" if value is None else value.encode() for value in values]
        lengths = np.fromiter(map(len, texts), dtype=_LENGTHS, count=len(texts))
        return b"".join([head, lengths.tobytes(), *texts])
    filled = values if head == _WHOLE else [0 if value is None else value for value in values]
    return head + np.asarray(filled, dtype=_DENSE[kind]).tobytes()


@lru_cache(maxsize=4096)
def _dense(count: int, code: str) -> struct.Struct:
    return struct.Struct(f"<{count}{code}")


def read_column(value: bytes, at: int, count: int, kind: ColumnType) -> tuple[Sequence[Any], bool]:
    """A packed column of ``count`` values that starts at a byte, and whether none of it is null."""
    if value[at]:
        present = set_bits(value, at + 1, count)
        found = _values(value, at + 1 + (count + 7) // 8, count, kind)
        held = zip(found, present, strict=True)
        return [one if there else None for one, there in held], False
    return _values(value, at + 1, count, kind), True


def read_many(value: bytes, at: int, count: int, kind: ColumnType) -> Many:
    """A packed column; a long one of numbers without nulls stays an array, undecoded."""
    if count < _MANY or value[at] or kind is _STRING:
        return read_column(value, at, count, kind)[0]
    return np.frombuffer(value, _DENSE[kind], count, at + 1)


def _values(value: bytes, at: int, count: int, kind: ColumnType) -> Sequence[Any]:
    if kind is not _STRING:
        return _dense(count, _CODES[kind]).unpack_from(value, at)
    lengths = _dense(count, "I")
    texts = []
    start = at + lengths.size
    for length in lengths.unpack_from(value, at):
        texts.append(value[start : start + length].decode())
        start += length
    return texts

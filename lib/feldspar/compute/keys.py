"""Typed key tuples of two frames as dense whole-number codes that can be compared.

Two rows get the same code if and only if their tuples are equal, value by value and type by
type; tuples are never joined into a string. A tuple with a null in it has the code -1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from feldspar.compute.columns import Bools, Longs, find
from feldspar.errors import EngineError

NO_KEY = -1


@dataclass(frozen=True, eq=False)
class KeyCodes:
    """Codes of the same key columns in two frames.

    Attributes:
        left: int64, shape (rows of the left frame,); -1 where a part of the key is null.
        right: int64, the same for the right frame.
        size: all codes are below it.
    """

    left: Longs
    right: Longs
    size: int


def key_codes(
    left: pa.Table, right: pa.Table, left_names: Sequence[str], right_names: Sequence[str]
) -> KeyCodes:
    """Codes of the key tuples of two frames, dense from 0.

    Raises:
        EngineError: a column is absent, or two columns of one key have different types.
    """
    if not left_names or len(left_names) != len(right_names):
        raise EngineError(f"keys {tuple(left_names)} and {tuple(right_names)} do not pair up")
    if left is right and tuple(left_names) == tuple(right_names):
        codes, size = _codes([_plain(find(left, name)) for name in left_names])
        return KeyCodes(codes, codes, size)
    pairs = zip(left_names, right_names, strict=True)
    codes, size = _codes([_stacked(left, right, *names) for names in pairs])
    return KeyCodes(codes[: left.num_rows], codes[left.num_rows :], size)


def _codes(parts: Sequence[pa.ChunkedArray]) -> tuple[Longs, int]:
    codes, size = _encode(parts[0])
    for column in parts[1:]:
        part, part_size = _encode(column)
        missing = (codes == NO_KEY) | (part == NO_KEY)
        codes, size = _dense(codes * part_size + part, size * part_size, missing)
    return codes, size


def _stacked(left: pa.Table, right: pa.Table, left_name: str, right_name: str) -> pa.ChunkedArray:
    columns = [_plain(find(left, left_name)), _plain(find(right, right_name))]
    types = [column.type for column in columns]
    if types[0] != types[1]:
        raise EngineError(
            f"key {left_name!r} is {types[0]} but {right_name!r} is {types[1]}",
            hint="give both the same type: keys are compared as typed values",
        )
    return pa.chunked_array([chunk for column in columns for chunk in column.chunks], types[0])


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """One width per family of types, so that int32 5 equals int64 5 and nothing else does."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return _plain(column.cast(kind.value_type))
    if pa.types.is_integer(kind):
        return column.cast(pa.int64())
    if pa.types.is_string(kind) or pa.types.is_string_view(kind):
        return column.cast(pa.large_string())
    return column


def _encode(column: pa.ChunkedArray) -> tuple[Longs, int]:
    if len(column) == 0:
        return np.empty(0, dtype=np.int64), 1
    encoded = column.combine_chunks().dictionary_encode()
    codes = encoded.indices.fill_null(NO_KEY).to_numpy(zero_copy_only=False)
    return codes.astype(np.int64), max(1, len(encoded.dictionary))


def _dense(codes: Longs, size: int, missing: Bools) -> tuple[Longs, int]:
    """Codes without holes, so that the next part of the key cannot overflow."""
    if size > len(codes):
        codes, size = _encode(pa.chunked_array([codes]))
    return np.where(missing, NO_KEY, codes), size

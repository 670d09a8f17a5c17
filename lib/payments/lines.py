"""Columns to text: joins arrays into one line a row, without a loop over rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc


def instants(seconds: npt.NDArray[np.int64]) -> pa.Array:
    """Seconds since the epoch as ``2018-04-01T00:00:31Z``."""
    text = np.datetime_as_string(seconds.astype("datetime64[s]"), unit="s", timezone="UTC")
    return pa.array(text, type=pa.string())


def names(known: Sequence[str], codes: npt.NDArray[np.int8]) -> pa.Array:
    """The name at each code's position."""
    return pa.array(list(known), type=pa.string()).take(pa.array(codes))


def texts(values: npt.NDArray[np.generic]) -> pa.Array:
    """Numbers in their shortest form; NaN becomes ``null``."""
    written = pc.cast(pa.array(values, from_pandas=True), pa.string())
    return pc.fill_null(written, "null")


def joined(parts: Sequence[pa.Array | str], *, separator: str) -> pa.Array:
    """One text a row; a plain string among the parts is the same in each row."""
    return pc.binary_join_element_wise(*parts, separator)


def as_bytes(lines: pa.Array) -> bytes:
    """All lines, each ended by a line feed."""
    if len(lines) == 0:
        return b""
    return ("\n".join(lines.to_pylist()) + "\n").encode()


def replaced(lines: pa.Array, *, positions: Sequence[int], by: Sequence[str]) -> pa.Array:
    """The lines with those at ``positions`` exchanged."""
    mask = np.zeros(len(lines), dtype=bool)
    mask[list(positions)] = True
    return pc.replace_with_mask(lines, pa.array(mask), pa.array(list(by), type=pa.string()))

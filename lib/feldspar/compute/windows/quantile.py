"""Approximate quantiles: a DDSketch with 64 buckets an octave, the same in every engine.

DDSketch (Masson, Rim and Lee, VLDB 2019) counts values in buckets of constant relative width.
Here a bucket is a double's sign, its exponent and the first 6 bits of its mantissa, so that no
logarithm decides: the key comes out of the bits alike everywhere. The quantile q of n values is
the one of rank floor(q (n - 1)), from 0; the answer is the middle of its bucket, no more than
1/128 (0.8 %) of the value away from it. Numbers nearer to 0 than 2.3e-308 count as 0; infinities
are themselves; with a NaN among the values the answer is NaN.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from math import floor, inf, isnan, nan

import numpy as np

from feldspar.compute.columns import Doubles, Longs

_DROPPED = 46
"""Of 52 bits of the mantissa 6 are kept."""
_LEAST = 1 << 6
"""Keys of normal numbers start here; below lie 0 and what counts as 0."""
_INFINITE = 2047 << 6
NOT_A_NUMBER = _INFINITE + 1
"""The key of NaN; greater than every other."""
_MAGNITUDE = (1 << 63) - 1
_DOUBLE = struct.Struct("<d")
_LONG = struct.Struct("<q")


def key_of(value: float | int) -> int:
    """The bucket of a number; keys order as numbers do.

    >>> key_of(-2.0) < key_of(0.0) < key_of(1.0) == key_of(1.01) < key_of(1.02)
    True
    """
    number = float(value)
    if isnan(number):
        return NOT_A_NUMBER
    (bits,) = _LONG.unpack(_DOUBLE.pack(number))
    key: int = (bits & _MAGNITUDE) >> _DROPPED
    if key < _LEAST:
        return 0
    return -key if bits < 0 else key


def keys_of(values: Doubles) -> Longs:
    """``key_of`` for each number."""
    bits = values.view(np.int64)
    key = (bits & _MAGNITUDE) >> _DROPPED
    key = np.where(key < _LEAST, 0, key)
    return np.where(np.isnan(values), NOT_A_NUMBER, np.where(bits < 0, -key, key))


def number_of(key: int) -> float:
    """The number that stands for a bucket: its middle."""
    size = abs(key)
    if key == NOT_A_NUMBER:
        return nan
    if size == 0:
        return 0.0
    if size == _INFINITE:
        return inf if key > 0 else -inf
    bits = (size << _DROPPED) + (1 << (_DROPPED - 1))
    (number,) = _DOUBLE.unpack(_LONG.pack(bits))
    return float(number) if key > 0 else -float(number)


def numbers_of(keys: Longs) -> Doubles:
    """``number_of`` for each key."""
    different, place = np.unique(keys, return_inverse=True)
    known = np.array([number_of(int(key)) for key in different], dtype=np.float64)
    return known[place] if len(known) else np.zeros(0)


def rank_of(quantile: float, count: int) -> int:
    """Which of ``count`` sorted values is meant, from 0."""
    return floor(quantile * (count - 1))


def quantile_of(buckets: Mapping[int, int], quantile: float) -> float | None:
    """The quantile of the values that buckets count; None of none."""
    count = sum(buckets.values())
    if not count:
        return None
    if NOT_A_NUMBER in buckets:
        return nan
    left = rank_of(quantile, count)
    for key in sorted(buckets):
        left -= buckets[key]
        if left < 0:
            return number_of(key)
    raise AssertionError("a rank lies below the count")

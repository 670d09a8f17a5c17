"""Approximate functions: the same in plain Python and in numpy, mergeable, within their bounds."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feldspar.compute.columns import coded, numbers
from feldspar.compute.windows import distinct, quantile
from property import frames

DOUBLES = st.floats() | st.sampled_from((0.0, -0.0, 5e-324, 2.0**-1022, 1e308))
LONGS = st.integers(-(2**63), 2**63 - 1) | st.integers(2**53 - 2, 2**53 + 2)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)


@settings(max_examples=frames.CASES, deadline=None)
@given(st.lists(DOUBLES, max_size=8), st.lists(LONGS, max_size=8))
def test_numbers_hash_alike_one_by_one_and_all_at_once(doubles, longs) -> None:
    for values, kind in ((doubles, pa.float64()), (longs, pa.int64())):
        column = numbers(pa.chunked_array([values], kind), "x")
        assert distinct.hashes(column).tolist() == [distinct.hash_of(one) for one in values]


@settings(max_examples=frames.CASES, deadline=None)
@given(st.lists(TEXTS, max_size=8))
def test_texts_hash_alike_one_by_one_and_all_at_once(values) -> None:
    column = coded(pa.chunked_array([values], pa.string()), "x")
    assert distinct.hashes(column).tolist() == [distinct.hash_of(one) for one in values]


@pytest.mark.parametrize(
    ("value", "hashed"),
    [
        ("", 0xB4B2797457A0A6E4),
        ("online", 0xC5F4E2B1FEF00528),
        # what SplitMix64 gives first from the seed 0
        (0, 0xE220A8397B1DCDAF),
        (1.5, 0xD6DAB18E1392608A),
        (2**53 + 1, 0x55CE0BFD3337037),
    ],
)
def test_the_hash_is_what_it_always_was(value, hashed) -> None:
    assert distinct.hash_of(value) == hashed


@settings(max_examples=frames.CASES, deadline=None)
@given(st.lists(st.integers(0, 2**64 - 1), max_size=8))
def test_a_hash_has_the_same_place_one_by_one_and_all_at_once(hashes) -> None:
    index, rank = distinct.places(np.array(hashes, dtype=np.uint64))
    both = list(zip(index.tolist(), rank.tolist(), strict=True))
    assert both == [distinct.place_of(one) for one in hashes]


@pytest.mark.parametrize("size", [1, 10, 100, 1_000, 5_000, 20_000, 100_000])
def test_distinct_counts_are_within_four_standard_errors(size: int) -> None:
    found = distinct.estimate(distinct.registers(range(size)))
    assert abs(found - size) <= 4 * 1.04 / math.sqrt(distinct.REGISTERS) * size


@settings(max_examples=frames.CASES, deadline=None)
@given(st.lists(st.lists(TEXTS, max_size=6), max_size=4))
def test_registers_of_parts_are_registers_of_all(parts) -> None:
    merged = distinct.merged(distinct.registers(part) for part in parts)
    assert merged == distinct.registers([value for part in parts for value in part])


@settings(max_examples=frames.CASES, deadline=None)
@given(st.lists(DOUBLES, max_size=8))
def test_numbers_have_the_same_bucket_one_by_one_and_all_at_once(values) -> None:
    keys = quantile.keys_of(np.array(values, dtype=np.float64)).tolist()
    assert keys == [quantile.key_of(one) for one in values]


@settings(max_examples=frames.CASES, deadline=None)
@given(st.floats(allow_nan=False))
def test_a_bucket_stands_within_its_bound(value) -> None:
    found = quantile.number_of(quantile.key_of(value))
    near = abs(found - value) <= abs(value) / 128 if math.isfinite(value) else found == value
    assert near or (found == 0.0 and abs(value) < 2.0**-1022)


@settings(max_examples=frames.CASES, deadline=None)
@given(st.floats(allow_nan=False), st.floats(allow_nan=False))
def test_buckets_order_as_numbers(left, right) -> None:
    low, high = sorted((left, right))
    assert quantile.key_of(low) <= quantile.key_of(high)


@settings(max_examples=frames.CASES, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60), st.floats(0, 1))
def test_quantiles_are_within_their_bound(values, wanted) -> None:
    found = quantile.quantile_of(Counter(map(quantile.key_of, values)), wanted)
    exact = sorted(values)[math.floor(wanted * (len(values) - 1))]
    assert found is not None
    assert abs(found - exact) <= max(abs(exact) / 128, 2.0**-1022)

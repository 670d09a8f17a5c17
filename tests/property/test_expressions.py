"""Arrow and plain Python give the same value for any expression and any row.

Spark is compared in tests/spark/test_expressions_spark.py, where many cases share a job.
"""

from __future__ import annotations

import math
import os
from random import Random

import pyarrow as pa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feldspar.compute.expressions.arrow import arrow_type, evaluate
from feldspar.compute.expressions.online import compile_row
from feldspar.spec.expression import parse, type_of
from feldspar.spec.types import ColumnType
from support.expressions import (
    NAMES,
    SCHEMA,
    VALUES,
    arrow_rows,
    random_expression,
    random_row,
    same,
    storage,
)

CASES = int(os.environ.get("CASES", "300"))
RELAXED = settings(max_examples=CASES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
SEEDS = st.integers(min_value=0, max_value=2**63)


@RELAXED
@given(seed=SEEDS, kind=st.sampled_from(list(ColumnType)), depth=st.integers(0, 4))
def test_arrow_and_one_row_agree(seed: int, kind: ColumnType, depth: int) -> None:
    random = Random(seed)
    expression = parse(random_expression(random, kind, depth))
    rows = [random_row(random) for _ in range(30)]

    online = compile_row(expression, SCHEMA, names=NAMES)
    result = evaluate(expression, arrow_rows(rows), SCHEMA, names=NAMES)

    assert result.type == arrow_type(type_of(expression, SCHEMA))
    batch = result.cast(storage(type_of(expression, SCHEMA))).to_pylist()
    wrong = [
        (row, online(row), value)
        for row, value in zip(rows, batch, strict=True)
        if not same(online(row), value)
    ]
    assert not wrong, f"{expression}: {wrong[0]}"


@RELAXED
@given(seed=SEEDS, kind=st.sampled_from(list(ColumnType)), depth=st.integers(0, 4))
def test_the_canonical_text_reads_back_as_itself(seed: int, kind: ColumnType, depth: int) -> None:
    expression = parse(random_expression(Random(seed), kind, depth))

    again = parse(str(expression))

    assert (again, str(again)) == (expression, str(expression))


@RELAXED
@given(left=st.integers(-(2**63), 2**63 - 1), right=st.integers(-(2**63), 2**63 - 1))
def test_whole_numbers_are_exact_or_null(left: int, right: int) -> None:
    schema = {"a": ColumnType.BIGINT, "b": ColumnType.BIGINT}
    table = pa.table({"a": [left, None], "b": [right, 1]}, pa.schema({"a": "int64", "b": "int64"}))

    results = {
        text: evaluate(parse(text), table, schema).to_pylist()
        for text in ("a + b", "a - b", "a * b")
    }

    exact = {"a + b": left + right, "a - b": left - right, "a * b": left * right}
    expected = {
        text: [value if -(2**63) <= value < 2**63 else None, None] for text, value in exact.items()
    }
    assert results == expected


@RELAXED
@given(value=st.floats(allow_nan=False) | st.sampled_from(VALUES[ColumnType.DOUBLE]))
def test_exp_and_ln_agree_to_the_last_bit_outside_spark(value: float | None) -> None:
    schema = {"x": ColumnType.DOUBLE}
    table = pa.table({"x": pa.array([value], pa.float64())})

    for text in ("exp(x)", "ln(x)", "ln(abs(x))"):
        online = compile_row(parse(text), schema)({"x": value})
        batch = evaluate(parse(text), table, schema)[0].as_py()

        assert same(online, batch) or math.isclose(online, batch, rel_tol=1e-15)

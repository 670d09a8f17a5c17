"""Derived and on-demand features over an Arrow table: one function for batches and for one row.

The table has the request's columns under their own names and features as ``view__feature``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import assert_never

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from feldspar.compute.expressions.arrow import arrow_type, evaluate
from feldspar.compute.services.hooks import HookError, call_hook
from feldspar.graph.view import Computation, Derived, OnDemand, PlainView, Service, reference_types
from feldspar.names import feature_column, input_column
from feldspar.spec.types import ColumnType


def complete(table: pa.Table, service: Service) -> pa.Table:
    """The table with every feature of the service that is computed rather than stored.

    Args:
        table: n rows with the request's columns and all stored features of the service's views.
        service: says what to compute, in order.

    Returns:
        n rows in the same order, with one column more for each computed feature.

    Raises:
        HookError: an on-demand function failed or returned the wrong shape.
    """
    types = reference_types(service)
    for column, default in plain_defaults(service.views).items():
        place = table.column_names.index(column)
        filled = pc.fill_null(table.column(column), pa.scalar(default, table.column(column).type))
        table = table.set_column(place, column, filled)
    for computation in service.computations:
        for name, values in _computed(table, computation, types=types).items():
            table = table.append_column(name, values)
    return table


def plain_defaults(views: Sequence[object]) -> dict[str, float | int]:
    """Frame column to what stands for null, of plain features that state it."""
    return {
        feature_column(view.name, feature.name): feature.default
        for view in views
        if isinstance(view, PlainView)
        for feature in view.features
        if feature.default is not None
    }


def _computed(
    table: pa.Table, computation: Computation, *, types: Mapping[str, ColumnType]
) -> dict[str, pa.Array]:
    match computation:
        case Derived():
            names = {reference: input_column(reference) for reference in computation.inputs}
            values = evaluate(computation.expression, table, types, names=names)
            return {feature_column(computation.view, computation.name): values}
        case OnDemand():
            return _on_demand(table, computation)
        case _:
            assert_never(computation)


def _on_demand(table: pa.Table, computation: OnDemand) -> dict[str, pa.Array]:
    inputs = [input_column(reference) for reference in computation.inputs]
    frame = table.select(inputs).to_pandas()
    result = call_hook(computation.hook, frame)
    wanted = [name for name, _ in computation.outputs]
    if not isinstance(result, pd.DataFrame) or len(result) != len(frame):
        raise HookError(f"hook {computation.hook} must return a frame of {len(frame)} rows")
    missing = [name for name in wanted if name not in result.columns]
    if missing:
        raise HookError(f"hook {computation.hook} returned no column {missing[0]!r}")
    return {
        feature_column(computation.view, name): pa.array(
            result[name], type=arrow_type(kind), from_pandas=True
        )
        for name, kind in computation.outputs
    }

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
from feldspar.errors import nearest
from feldspar.graph.view import Computation, Derived, OnDemand, PlainView, Service, reference_types
from feldspar.names import feature_column, input_column
from feldspar.spec.types import ColumnType

_NULLABLE = {
    pa.int32(): pd.Int32Dtype(),
    pa.int64(): pd.Int64Dtype(),
    pa.bool_(): pd.BooleanDtype(),
}


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
    return Completer(service)(table)


class Completer:
    """``complete`` for one service; made once where many small tables are completed."""

    def __init__(self, service: Service) -> None:
        self._computations = service.computations
        self._types = reference_types(service)
        self._defaults = plain_defaults(service.views)
        self.adds_nothing = not self._computations and not self._defaults

    def __call__(self, table: pa.Table) -> pa.Table:
        """See ``complete``."""
        for column, default in self._defaults.items():
            place = table.column_names.index(column)
            values = table.column(column)
            filled = pc.fill_null(values, pa.scalar(default, values.type))
            table = table.set_column(place, column, filled)
        for computation in self._computations:
            for name, values in _computed(table, computation, types=self._types).items():
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


def hook_frame(computation: OnDemand, table: pa.Table) -> pd.DataFrame:
    """What an on-demand function is given of a table: its inputs, in their order.

    Whole numbers and booleans have pandas' nullable types: with the usual ones a null among the
    rows would make doubles of them, so that a row had other types alone than among many, and
    large numbers other values.
    """
    inputs = [input_column(reference) for reference in computation.inputs]
    frame: pd.DataFrame = table.select(inputs).to_pandas(types_mapper=_NULLABLE.get)
    return frame


def hook_answers(computation: OnDemand, frame: pd.DataFrame) -> dict[str, pa.Array]:
    """The declared outputs of an on-demand function for a frame, typed as declared.

    Raises:
        HookError: it failed, or returned another shape or other types.
    """
    hook = computation.hook
    result = call_hook(hook, frame)
    if not isinstance(result, pd.DataFrame) or len(result) != len(frame):
        rows = f"{len(result)} rows" if isinstance(result, pd.DataFrame) else type(result).__name__
        raise HookError(f"hook {hook} must return a frame of {len(frame)} rows; it returned {rows}")
    found = [str(name) for name in result.columns]
    for name, _ in computation.outputs:
        if name not in found:
            near = ", ".join(nearest(name, found)) or ", ".join(found)
            raise HookError(f"hook {hook} returned no column {name!r}; nearest: {near}")
    return {
        name: _typed(hook, name, kind, values=result[name]) for name, kind in computation.outputs
    }


def _typed(hook: str, name: str, kind: ColumnType, *, values: pd.Series) -> pa.Array:
    try:
        return pa.array(values, type=arrow_type(kind), from_pandas=True)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        text = f"hook {hook} declares {name} as {kind} and returned {values.dtype}: {error}"
        raise HookError(text) from error


def _on_demand(table: pa.Table, computation: OnDemand) -> dict[str, pa.Array]:
    answers = hook_answers(computation, hook_frame(computation, table))
    return {feature_column(computation.view, name): values for name, values in answers.items()}

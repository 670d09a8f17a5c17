"""Is an on-demand function what it must be: the same answer for a row at any time, in any company?

Each function is called on a few typed rows of normal values, edge values and nulls: twice with all
of them, which must agree to the bit, and with each row alone, as online, which must agree within
1e-9 (the last bit of some numpy functions depends on how many values are computed at once). The
frame must come back as it was, and the outputs as declared. A function that looks at the date, or
forgets slowly, may still pass: this finds mistakes, it proves nothing.
"""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from datetime import UTC, date, datetime

import numpy as np
import pandas as pd
import pyarrow as pa

from feldspar.compute.expressions.arrow import arrow_type
from feldspar.compute.services.arrow import hook_answers, hook_frame
from feldspar.compute.services.hooks import HookError
from feldspar.errors import FeldsparError
from feldspar.graph.compile_services import Catalogue
from feldspar.graph.graph import Graph
from feldspar.graph.view import OnDemand, reference_types
from feldspar.names import REQUEST, input_column
from feldspar.spec.types import INT_MAX, INT_MIN, ColumnType

TOLERANCE = 1e-9
ROWS = 22
_SHOWN = 200

# the first value is an ordinary one; with null each list has a prime length, so that a column
# goes through all of its values at whatever pace
_VALUES: Mapping[ColumnType, tuple[object, ...]] = {
    ColumnType.BOOLEAN: (True, False),
    ColumnType.INT: (3, 0, -1, 41, INT_MAX, INT_MIN),
    ColumnType.BIGINT: (7, 0, -1, 41, 2**53 + 1, -(2**62)),
    ColumnType.DOUBLE: (12.5, 0.0, -3.25, 0.1, 0.75, 1.0, 1e-9, 1e6, -1e6, 1_000.01),
    ColumnType.STRING: ("online", "", "0", " two words ", "Zürich", "x" * 300),
    ColumnType.TIMESTAMP: (
        datetime(2018, 4, 5, 10, 30, tzinfo=UTC),
        datetime(2018, 4, 7, 23, 59, 59, 999_999, tzinfo=UTC),
        datetime(1970, 1, 1, tzinfo=UTC),
        datetime(1969, 12, 27, 3, tzinfo=UTC),
        datetime(2020, 2, 29, 6, 59, tzinfo=UTC),
        datetime(2100, 12, 31, 12, tzinfo=UTC),
    ),
    ColumnType.DATE: (
        date(2018, 4, 5),
        date(2018, 4, 7),
        date(1970, 1, 1),
        date(1969, 12, 27),
        date(2020, 2, 29),
        date(2100, 12, 31),
    ),
}

_STATELESS = "answer from the frame alone: nothing kept between calls, no clock, no random numbers"
_ROW_BY_ROW = (
    "answer each row from itself: no rank, mean, shift or fill over the frame; "
    "what needs other rows is a windowed view"
)
_UNCHANGED = "put new columns into a new frame, or begin with a copy of the frame"
_ANY_VALUE = (
    "it must answer any values of its inputs, nulls too, with the columns and types under features"
)

Answers = dict[str, pa.Array]


@dataclass(frozen=True)
class Fault:
    """What is wrong with the function of an on-demand view."""

    view: str
    message: str
    hint: str


def faults(graph: Graph) -> tuple[Fault, ...]:
    """The first fault of each on-demand view's function; calls them on sample rows."""
    # what users' modules print must not stand among the answers of the console
    with redirect_stdout(sys.stderr), warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        found: dict[str, Fault] = {}
        for view in graph.on_demand.values():
            for types in _input_types(view, graph):
                fault = _fault(view, sample(view, types))
                if fault is not None:
                    found.setdefault(view.view, fault)
    return tuple(found.values())


def sample(view: OnDemand, types: Mapping[str, ColumnType]) -> pa.Table:
    """Rows for a function: first ordinary values, then every edge value and null of each input in
    changing company, last nulls alone.

    Args:
        view: whose inputs.
        types: of each input.
    """
    columns = {}
    for place, reference in enumerate(view.inputs):
        values = (*_VALUES[types[reference]], None)
        pace = 1 + place % (len(values) - 1)
        picked = [values[row * pace % len(values)] for row in range(ROWS)]
        columns[input_column(reference)] = pa.array([*picked, None], arrow_type(types[reference]))
    return pa.table(columns)


def _input_types(view: OnDemand, graph: Graph) -> list[dict[str, ColumnType]]:
    """The types that its inputs have, one mapping for each way in which services bring them."""
    known = [
        reference_types(service)
        for service in graph.services.values()
        if any(isinstance(one, OnDemand) and one.view == view.view for one in service.computations)
    ]
    if not known:
        # in no service yet: a request brings the columns of some table
        types = Catalogue(graph.tables, graph.views, graph.on_demand).types()
        for table in graph.tables.values():
            types |= {f"{REQUEST}.{name}": kind for name, kind in table.types().items()}
        known = [types]
    found: list[dict[str, ColumnType]] = []
    for types in known:
        mine = {one: types[one] for one in view.inputs if one in types}
        if len(mine) == len(set(view.inputs)) and mine not in found:
            found.append(mine)
    return found


def _fault(view: OnDemand, rows: pa.Table) -> Fault | None:
    try:
        together = _called(view, rows)
        _compare_calls(view, rows, together)
        _compare_alone(view, rows, together)
    except FeldsparError as error:
        return Fault(view.view, error.message, error.hint or _ANY_VALUE)
    return None


def _called(view: OnDemand, rows: pa.Table) -> Answers:
    """What the function answers.

    Raises:
        HookError: it failed, answered what is not declared, or changed the frame.
    """
    frame = hook_frame(view, rows)
    before = frame.copy(deep=True)
    answers = hook_answers(view, frame)
    if not frame.equals(before):
        text = f"hook {view.hook} changed its input: {_change(before, frame)}"
        raise HookError(text, hint=_UNCHANGED)
    return answers


def _change(before: pd.DataFrame, after: pd.DataFrame) -> str:
    was, now = [list(map(str, one.columns)) for one in (before, after)]
    if was != now:
        return f"columns {', '.join(was)} became {', '.join(now)}"
    if not before.index.equals(after.index):
        return "its rows or their index"
    changed = [name for name in was if not before[name].equals(after[name])]
    return f"values of {', '.join(changed)}"


def _compare_calls(view: OnDemand, rows: pa.Table, together: Answers) -> None:
    again = _called(view, rows)
    for name, row, first, second in _pairs(together, again):
        if not _same(first, second, tolerance=0.0):
            raise HookError(
                f"hook {view.hook} is not pure: two calls with the same {rows.num_rows} rows gave "
                f"{name} = {first}, then {second}, for the row {_text(rows, row)}",
                hint=_STATELESS,
            )


def _compare_alone(view: OnDemand, rows: pa.Table, together: Answers) -> None:
    parts = [_called(view, rows.slice(row, 1)) for row in range(rows.num_rows)]
    alone = {name: pa.concat_arrays([_whole(part[name]) for part in parts]) for name in together}
    for name, row, among, single in _pairs(together, alone):
        if not _same(among, single, tolerance=TOLERANCE):
            raise HookError(
                f"hook {view.hook} is not pure: {name} is {among} among {rows.num_rows} rows and "
                f"{single} for the same row alone: {_text(rows, row)}",
                hint=_ROW_BY_ROW,
            )


def _pairs(left: Answers, right: Answers) -> Iterator[tuple[str, int, object, object]]:
    for name in left:
        both = zip(left[name].to_pylist(), right[name].to_pylist(), strict=True)
        for row, (first, second) in enumerate(both):
            yield name, row, first, second


def _same(first: object, second: object, *, tolerance: float) -> bool:
    if isinstance(first, float) and isinstance(second, float):
        if math.isnan(first) or math.isnan(second):
            return math.isnan(first) and math.isnan(second)
        return math.isclose(first, second, rel_tol=tolerance, abs_tol=tolerance)
    return first == second


def _whole(values: pa.Array | pa.ChunkedArray) -> pa.Array:
    return values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values


def _text(rows: pa.Table, row: int) -> str:
    (values,) = rows.slice(row, 1).to_pylist()
    text = ", ".join(f"{name}={value}" for name, value in values.items())
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."

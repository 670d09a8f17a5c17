"""Audits what is computed of stored features, after all views, and hands on the marks alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from feldspar.compute.services.completion import REQUEST, Completion
from feldspar.graph.view import OutputColumn
from feldspar.monitor.audit.equality import Bools, is_inexact, same
from feldspar.monitor.audit.hypotheses import (
    FUNCTION,
    INPUTS,
    SHIFTS,
    shift_label,
    shifted,
)
from feldspar.monitor.audit.marks import Marks, Places, values_of
from feldspar.monitor.audit.views import DIAGNOSED, DIFFERENT, GONE, SERVED
from feldspar.spec.types import ColumnType
from feldspar.times import duration_micros

MARKS = "marks"


@dataclass(frozen=True)
class ComputedTask:
    """The last step of an audit; travels to executors.

    Attributes:
        completion: computes; None where the service has nothing computed.
        outputs: those of the service that are computed.
        states, marks: columns of the views.
        shown: columns that examples are told by.
    """

    completion: Completion | None
    outputs: tuple[OutputColumn, ...]
    states: tuple[str, ...]
    marks: tuple[str, ...]
    shown: tuple[str, ...]

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            table = pa.Table.from_batches([batch])
            found = Marks.joined([table.column(name) for name in self.marks], table.num_rows)
            if self.completion is not None and table.num_rows:
                _Computed(self, self.completion, table, found).note()
            yield pa.RecordBatch.from_arrays([found.column()], [MARKS])


class _Computed:
    """One batch."""

    def __init__(
        self, task: ComputedTask, completion: Completion, table: pa.Table, marks: Marks
    ) -> None:
        self._task, self._completion, self._table, self._marks = task, completion, table, marks
        states = [table.column(name).to_numpy() for name in task.states]
        nothing: Bools = np.zeros(table.num_rows, dtype=np.bool_)
        self._gone = np.any([one == GONE for one in states], axis=0) if states else nothing
        self._inputs = np.any([one == DIFFERENT for one in states], axis=0) if states else nothing

    def note(self) -> None:
        done = self._completion.completed(self._table)
        for output in self._task.outputs:
            good = self._equal(output, self._table, done)
            for row in np.flatnonzero(self._gone):
                self._marks.add(int(row), output.name, "gone")
            self._different(output, done, np.flatnonzero(~good & ~self._gone))
        self._zones(done)

    def _equal(self, output: OutputColumn, asked: pa.Table, done: pa.Table) -> Bools:
        served, replayed = asked.column(SERVED + output.name), done.column(output.name)
        return same(served, replayed, close=is_inexact(output))

    def _different(self, output: OutputColumn, done: pa.Table, place: Places) -> None:
        columns = [self._table.column(name) for name in self._task.shown]
        told = zip(*[values_of(one, place) for one in columns], strict=True)
        served = values_of(self._table.column(SERVED + output.name), place)
        gold = values_of(done.column(output.name), place)
        for row, who, was, is_ in zip(place, told, served, gold, strict=True):
            names = zip(self._task.shown, who, strict=True)
            text = ", ".join(f"{name.lstrip('_')} {value}" for name, value in names)
            example = f"{text}: served {was!r}, gold {is_!r}"
            self._marks.add(int(row), output.name, "different", example=example)
            self._marks.add(int(row), output.name, "diagnosed")
            cause = INPUTS if self._inputs[row] else FUNCTION
            self._marks.add(int(row), output.name, "cause", cause)

    def _zones(self, done: pa.Table) -> None:
        """Which shift of the request's times gives what was served of equal inputs."""
        wrong = {one: ~self._equal(one, self._table, done) for one in self._task.outputs}
        any_wrong = np.any([*wrong.values()], axis=0) if wrong else self._gone & False
        place = np.flatnonzero(any_wrong & ~self._gone & ~self._inputs)[:DIAGNOSED]
        if not len(place):
            return
        rows = self._table.take(pa.array(place))
        for shift in SHIFTS:
            moved = self._moved(rows, duration_micros(shift))
            redone = self._completion.completed(moved)
            for output, bad in wrong.items():
                fits = self._equal(output, rows, redone) & bad[place]
                for row in place[fits]:
                    self._marks.add(int(row), output.name, "cause", shift_label(shift))

    def _moved(self, rows: pa.Table, micros: int) -> pa.Table:
        for name, kind in self._completion.service.request:
            if kind is ColumnType.TIMESTAMP:
                rows = shifted(rows, REQUEST + name, micros)
        return rows

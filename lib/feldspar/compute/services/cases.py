"""Runs the YAML tests of views: the rows of a file through the engines, without a JVM.

The engines are those of training and serving: what passes here is what they compute.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from feldspar.compute.expressions.arrow import arrow_type
from feldspar.compute.pit.arrow import add_columns
from feldspar.compute.services.arrow import complete
from feldspar.compute.services.given import Reader, gold_rows, silver_rows
from feldspar.compute.services.plans import folds_own, pit_plan, window_plan
from feldspar.compute.windows.arrow import add_windows
from feldspar.errors import UsageError, nearest
from feldspar.graph.compile_services import Catalogue, service_of_view
from feldspar.graph.graph import Graph, Table
from feldspar.graph.view import PlainView, Service, View, WindowedView
from feldspar.names import EVENT_ID, REQUEST
from feldspar.spec.case import Cases, Row
from feldspar.spec.types import ColumnType

TOLERANCE = 1e-9
_TIME, _EVENT, _OWN = "_t", "_own_event", "_own_"


@dataclass(frozen=True)
class Difference:
    """A feature that is not what the file expects."""

    feature: str
    expected: object
    found: object


@dataclass(frozen=True)
class Outcome:
    """One row of ``expect``: where it stands, what it asks, what was wrong."""

    view: str
    file: str
    line: int
    asked: str
    features: int
    differences: tuple[Difference, ...]

    @property
    def passed(self) -> bool:
        """Whether every feature was as expected."""
        return not self.differences


def run_cases(cases: Cases, graph: Graph) -> tuple[Outcome, ...]:
    """Computes a view's features for each row that a file expects.

    Raises:
        DefinitionError: the file names what is not there, or a value is not of its type.
        UsageError: no view has the file's name.
    """
    run = _Run.of(cases, graph)
    found = complete(run.stored_features(), run.service)
    rows = found.select([*run.features.values()]).to_pylist()
    return tuple(run.outcome(at, row) for at, row in enumerate(rows))


@dataclass(frozen=True)
class _Run:
    """One file against the graph."""

    cases: Cases
    graph: Graph
    service: Service
    reader: Reader
    features: Mapping[str, str]
    """Feature of the view to its column in frames."""
    zone: str | None
    event_key: str | None
    """Column that names the event being scored, where a row of ``expect`` may say it."""

    @staticmethod
    def of(cases: Cases, graph: Graph) -> _Run:
        name = cases.view
        if name not in graph.views and name not in graph.on_demand:
            known = [*graph.views, *graph.on_demand]
            near = ", ".join(nearest(name, known)) or ", ".join(known)
            raise UsageError(f"{cases.document.file}: there is no view {name!r}; nearest: {near}")
        catalogue = Catalogue(graph.tables, graph.views, graph.on_demand)
        service = _with_request(service_of_view(name, catalogue), cases)
        features = {one.reference.partition(".")[2]: one.name for one in service.outputs}
        view = graph.views.get(name)
        return _Run(
            cases,
            graph,
            service,
            Reader(cases.document),
            features,
            zone=_zone(service, graph),
            event_key=view.event_key[0] if isinstance(view, WindowedView) else None,
        )

    def stored_features(self) -> pa.Table:
        """The expected rows' keys and times, with the stored features of every view needed."""
        self._check_names()
        table = self._spine()
        silver = {name: self._silver(self.graph.tables[name]) for name in self._tables()}
        for view in self.service.views:
            gold = gold_rows(silver[view.table], view, self.graph.tables[view.table])
            table = self._with_view(table, view, gold)
        return table

    def outcome(self, at: int, found: Row) -> Outcome:
        """Compares one row."""
        expected = self.cases.spec.expect[at]
        wanted = {name: value for name, value in expected.values.items() if name in self.features}
        different = [
            Difference(name, value, found[self.features[name]])
            for name, value in wanted.items()
            if not _same(value, found[self.features[name]])
        ]
        asked = {name: value for name, value in expected.values.items() if name not in wanted}
        said = [f"{name} {value}" for name, value in asked.items()]
        return Outcome(
            view=self.cases.view,
            file=self.cases.document.file,
            line=self.cases.document.line(("expect", at)),
            asked=", ".join([*said, *([f"at {expected.at}"] if expected.at else [])]),
            features=len(wanted),
            differences=tuple(different),
        )

    def _tables(self) -> list[str]:
        return list(dict.fromkeys(view.table for view in self.service.views))

    def _silver(self, table: Table) -> pa.Table:
        return silver_rows(table, self.cases.spec.given.get(table.name, ()), self.reader)

    def _check_names(self) -> None:
        tables = self._tables()
        for name in self.cases.spec.given:
            if name not in tables:
                text = f"{self.cases.view} reads no table {name!r}"
                raise self.reader.problem(("given", name), text, known=tables)
        known = [*dict(self.service.request), *self.features]
        known += [self.event_key] if self.event_key else []
        for at, row in enumerate(self.cases.spec.expect):
            for name in row.values:
                if name not in known:
                    text = f"{self.cases.view} has no key or feature {name!r}"
                    raise self.reader.problem(("expect", at, name), text, known=known)

    def _spine(self) -> pa.Table:
        columns = {name: self._column(name, kind) for name, kind in self.service.request}
        if self.service.views:
            columns[_TIME] = self._column("at", ColumnType.TIMESTAMP)
        if self._asks_for_events():
            view = self.graph.views[self.cases.view]
            kind = self.graph.tables[view.table].types()[view.event_key[0]]
            columns[_EVENT] = self._column(view.event_key[0], kind, optional=True)
        return pa.table(columns)

    def _asks_for_events(self) -> bool:
        key = self.event_key
        return key is not None and any(key in row.values for row in self.cases.spec.expect)

    def _column(self, name: str, kind: ColumnType, *, optional: bool = False) -> pa.Array:
        values = []
        for at, row in enumerate(self.cases.spec.expect):
            path = ("expect", at, name)
            value = row.at if name == "at" else row.values.get(name)
            if value is None and name not in row.values and not optional:
                raise self.reader.problem(("expect", at), f"{name!r} is missing")
            values.append(self.reader.value(path, value, kind=kind, zone=self.zone))
        return pa.array(values, arrow_type(kind))

    def _with_view(self, table: pa.Table, view: View, gold: pa.Table) -> pa.Table:
        match view:
            case PlainView():
                return add_columns(table, gold, pit_plan(view, keys=view.keys, time=_TIME))
            case WindowedView():
                own: dict[str, str] = {}
                event = _EVENT if self._asks_for_events() and view.name == self.cases.view else None
                if event and folds_own(view):
                    own = {one.name: _OWN + one.name for one in view.columns}
                    table = _with_own_values(table, view, gold)
                plan = window_plan(view, keys=view.keys, time=_TIME, own_event=event, own=own)
                return add_windows(table, gold, plan)


def _with_own_values(table: pa.Table, view: WindowedView, gold: pa.Table) -> pa.Table:
    """The values of each row's own event, from its newest version given."""
    newest = gold[::-1] if gold.num_rows else gold
    at = pc.index_in(table[_EVENT], value_set=newest[EVENT_ID].combine_chunks())
    for one in view.columns:
        table = table.append_column(_OWN + one.name, newest[one.name].take(at))
    return table


def _with_request(service: Service, cases: Cases) -> Service:
    """The service with the columns that its on-demand functions want of a request."""
    wanted = {
        reference.partition(".")[2]
        for one in service.computations
        for reference in one.inputs
        if reference.startswith(f"{REQUEST}.")
    }
    known = dict(service.request)
    samples = {
        name: value
        for row in cases.spec.expect
        for name, value in row.values.items()
        if value is not None
    }
    brought = {name: _kind_of(samples.get(name)) for name in sorted(wanted - known.keys())}
    return replace(service, request=(*known.items(), *brought.items()))


def _kind_of(value: Any) -> ColumnType:
    match value:
        case bool():
            return ColumnType.BOOLEAN
        case int():
            return ColumnType.BIGINT
        case float():
            return ColumnType.DOUBLE
        case datetime():
            return ColumnType.TIMESTAMP
        case _:
            return ColumnType.STRING


def _zone(service: Service, graph: Graph) -> str | None:
    for view in service.views:
        return graph.tables[view.table].source.zone
    return None


def _same(expected: Any, found: Any) -> bool:
    if expected is None or found is None:
        return expected is found
    if isinstance(expected, int | float) and isinstance(found, int | float):
        return math.isclose(expected, found, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    return bool(expected == found)

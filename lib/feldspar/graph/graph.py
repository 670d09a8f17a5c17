"""The compiled project: what ``compile_graph`` makes and everything else reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeVar

from feldspar.errors import UsageError, nearest
from feldspar.graph.view import OnDemand, Service, View
from feldspar.names import OF_MESSAGE, SNAPSHOT_AT
from feldspar.spec.entity import EntitySpec
from feldspar.spec.model import ModelSpec
from feldspar.spec.source import AnySource, JdbcSource, KafkaSource, TableSource
from feldspar.spec.syntax import Expression
from feldspar.spec.table import TableSpec
from feldspar.spec.types import ColumnType

T = TypeVar("T")


@dataclass(frozen=True)
class History:
    """What is kept of a table's changes.

    Attributes:
        kind: what holds now, or all that held and when.
        rows: changes, or snapshots of all keys that there are.
        sequence: columns that order the changes of a key, never null.
        deletes: true of a change that takes its key away; None: there are none.
        columns: those that are kept, in the order of the table.
        compared: those whose change is one: all but key, sequence and times.
        definition: canonical JSON of all that decides a row.
    """

    kind: Literal["scd1", "scd2"]
    rows: Literal["changes", "snapshots"]
    sequence: tuple[str, ...]
    deletes: Expression | None
    columns: tuple[str, ...]
    compared: tuple[str, ...]
    definition: str


@dataclass(frozen=True)
class Table:
    """A silver table with its source and its canonical definition."""

    name: str
    spec: TableSpec
    source_name: str
    source: TableSource
    rules: tuple[tuple[str, Expression], ...]
    definition: str
    history: History | None = None

    @property
    def needed(self) -> tuple[str, ...]:
        """Columns that no row may lack: key, event time, and what history orders by."""
        sequence = self.history.sequence if self.history else ()
        return tuple(dict.fromkeys((*self.spec.key, self.source.event_time, *sequence)))

    @property
    def deletes_rows(self) -> bool:
        """Whether rows may come that take their key away."""
        return self.history is not None and self.history.deletes is not None

    @property
    def of_message(self) -> tuple[str, ...]:
        """Columns of the message, or the snapshot, that a row came in: it may declare them."""
        if isinstance(self.source, JdbcSource):
            return (SNAPSHOT_AT,)
        return OF_MESSAGE if isinstance(self.source, KafkaSource) else ()

    def types(self) -> dict[str, ColumnType]:
        """Declared columns and their types."""
        return {name: column.type for name, column in self.spec.columns.items()}


@dataclass(frozen=True)
class Model:
    """A model, its compiled service and its label."""

    name: str
    spec: ModelSpec
    service: Service
    label: Expression
    definition: str


@dataclass(frozen=True)
class Graph:
    """Everything in the project, resolved; order of mappings is order of dependence."""

    name: str
    sources: Mapping[str, AnySource]
    tables: Mapping[str, Table]
    entities: Mapping[str, EntitySpec]
    views: Mapping[str, View]
    on_demand: Mapping[str, OnDemand]
    services: Mapping[str, Service]
    models: Mapping[str, Model]

    def service(self, name: str) -> Service:
        """A service by name; an unknown one names the nearest."""
        return _find(self.services, name, "service")

    def event_of(self, service: Service) -> Table | None:
        """The silver table of a service's event; None for one whose requests are keys."""
        return self.table(service.event) if service.event else None

    def view(self, name: str) -> View:
        """A table view by name; an unknown one names the nearest."""
        return _find(self.views, name, "view")

    def table(self, name: str) -> Table:
        """A silver table by name; an unknown one names the nearest."""
        return _find(self.tables, name, "table")

    def model(self, name: str) -> Model:
        """A model by name; an unknown one names the nearest."""
        return _find(self.models, name, "model")

    def model_of(self, service: str) -> Model:
        """The model that serves a service."""
        for model in self.models.values():
            if model.service.name == service:
                return model
        raise UsageError(f"no model in conf/models serves {service!r}")


def _find(known: Mapping[str, T], name: str, kind: str) -> T:
    if name in known:
        return known[name]
    near = ", ".join(nearest(name, known)) or ", ".join(known)
    raise UsageError(
        f"there is no {kind} {name!r}; nearest: {near}", hint=f"see: feldspar show {kind}s"
    )

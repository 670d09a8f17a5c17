"""Definitions in, graph out: every name resolved, every expression typed, or every problem named.

Needs neither data nor Spark and takes milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from feldspar.graph.canonical import canonical
from feldspar.graph.compile_history import refuse_deletes
from feldspar.graph.compile_services import Catalogue, add_derived, compile_services
from feldspar.graph.compile_tables import compile_tables
from feldspar.graph.compile_views import compile_views
from feldspar.graph.graph import Graph, Model, Table
from feldspar.graph.problems import Place, Problems
from feldspar.graph.view import OnDemand, Service
from feldspar.names import REQUEST, served_table
from feldspar.spec.expression import parse, type_of
from feldspar.spec.loading import Definitions
from feldspar.spec.model import ModelSpec
from feldspar.spec.source import FilesSource, served_source
from feldspar.spec.syntax import Expression, ExpressionError
from feldspar.spec.types import ColumnType


def compile_graph(definitions: Definitions) -> Graph:
    """Resolves all definitions.

    Raises:
        DefinitionError: with every problem found, file and line each.
    """
    problems = Problems(definitions)
    tables = compile_tables(definitions, problems)
    views, on_demand = compile_views(definitions, tables, problems)
    views = add_derived(definitions, views, on_demand=on_demand, problems=problems)
    catalogue = Catalogue(tables, views, on_demand)
    _check_on_demand(on_demand, catalogue, problems)
    services = {} if problems.found else compile_services(definitions, catalogue, problems)
    models = _models(definitions, tables, services=services, problems=problems)
    sources = {**definitions.sources, **_served(definitions, services, problems)}
    problems.close()
    return Graph(
        name=definitions.project.name,
        sources=sources,
        tables=tables,
        entities=definitions.entities,
        views=views,
        on_demand=on_demand,
        services=services,
        models=models,
    )


def _served(
    definitions: Definitions, services: Iterable[str], problems: Problems
) -> dict[str, FilesSource]:
    """The answers of each service are a source like any other."""
    found = {}
    for service in services:
        name = served_table(service)
        if name in definitions.sources:
            text = f"{name} is the source of what service {service} answered: take another name"
            problems.note(Place("sources", name), text)
        found[name] = served_source(service)
    return found


def _check_on_demand(
    on_demand: dict[str, OnDemand], catalogue: Catalogue, problems: Problems
) -> None:
    types = catalogue.types()
    for computed in on_demand.values():
        for index, reference in enumerate(computed.inputs):
            place = Place("views", computed.view, ("inputs", index))
            if reference.partition(".")[0] == computed.view:
                problems.note(place, f"a cycle: {computed.view} reads its own {reference}")
            elif not reference.startswith(f"{REQUEST}.") and reference not in types:
                problems.unknown(place, "feature", reference, known=types)


def _models(
    definitions: Definitions,
    tables: dict[str, Table],
    *,
    services: dict[str, Service],
    problems: Problems,
) -> dict[str, Model]:
    models = {}
    for name, spec in definitions.models.items():
        place = Place("models", name)
        if spec.service not in definitions.services:
            problems.unknown(
                place.at("service"), "service", spec.service, known=definitions.services
            )
        if spec.spine not in definitions.tables:
            problems.unknown(place.at("spine"), "table", spec.spine, known=definitions.tables)
        if spec.spine not in tables or spec.service not in services:
            continue
        refuse_deletes(tables[spec.spine], place.at("spine"), problems)
        _check_write_back(spec, services[spec.service], place=place, problems=problems)
        label = _label(spec, tables[spec.spine], place=place, problems=problems)
        if label is not None:
            service = services[spec.service]
            models[name] = Model(
                name=name,
                spec=spec,
                service=service,
                label=label,
                definition=canonical({"model": spec, "service": service.definition}),
            )
    return models


def _check_write_back(
    spec: ModelSpec, service: Service, *, place: Place, problems: Problems
) -> None:
    """Scores may not come back to the model that gave them: it would learn from itself."""
    if spec.write_back is None:
        return
    where, definitions = place.at("write_back"), problems.definitions
    source = definitions.sources.get(spec.write_back)
    if source is None:
        problems.unknown(where, "source", spec.write_back, known=definitions.sources)
    elif not isinstance(source, FilesSource) or not source.push:
        problems.note(where, f"source {spec.write_back} takes no rows: it lacks 'push: true'")
    for view in service.views:
        if definitions.tables[view.table].from_ == spec.write_back:
            text = f"{service.name} reads {view.name}, which is made of these scores"
            problems.note(where, f"{text}: a model may not learn from its own answers")


def _label(spec: ModelSpec, table: Table, *, place: Place, problems: Problems) -> Expression | None:
    try:
        label = parse(spec.label)
        kind = type_of(label, table.types())
    except ExpressionError as error:
        where = place.at("label")
        problems.expression(where, spec.label, error, table=table.name, types=table.types())
        return None
    if kind is not ColumnType.BOOLEAN:
        problems.note(place.at("label"), f"{spec.label} is {kind.value}, not true or false")
    columns = [table.spec.columns[column] for column in label.columns]
    if spec.label_delay is None and any(column.known_at for column in columns):
        text = "this label is known row by row: say by when all are, with label_delay"
        problems.note(place.at("label"), text)
    return label


def label_delay(model: Model, table: Table) -> timedelta:
    """Time from the event to the day its label is surely known."""
    if model.spec.label_delay is not None:
        return model.spec.label_delay
    delays = [table.spec.columns[column].known_after for column in model.label.columns]
    return max((delay for delay in delays if delay is not None), default=timedelta(0))

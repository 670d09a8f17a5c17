"""What conf/ defines, as listings: views, entities, services, sources, models.

Tables are in ``cli.listings_tables``: they are looked up in the lake as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from feldspar.cli.listing import Listing
from feldspar.cli.project import Project
from feldspar.errors import UsageError, nearest
from feldspar.graph.graph import Graph
from feldspar.graph.view import Aggregate, PlainView, WindowedView
from feldspar.spec.entity import EntitySpec
from feldspar.spec.source import (
    FilesSource,
    GeneratorSource,
    HttpSource,
    JdbcSource,
    KafkaSource,
    TableSource,
)
from feldspar.times import format_duration


def views(project: Project, name: str | None) -> Listing:
    """Every view with its entity, table and features; one view with each feature's type."""
    graph = project.graph()
    if name is not None:
        return _features_of(graph, name)
    rows: list[tuple[object, ...]] = [
        (view.name, view.entity, view.table, _timing(view), len(_features(view)))
        for view in graph.views.values()
    ]
    rows += [
        (computed.view, "on demand", computed.hook, "at request", len(computed.outputs))
        for computed in graph.on_demand.values()
    ]
    columns = ("view", "entity", "from", "time", "features")
    return Listing(columns, tuple(rows), numbers=("features",))


def entities(project: Project, name: str | None) -> Listing:
    """Every entity with its key and the views that describe it."""
    definitions = project.definitions()
    chosen = _chosen(definitions.entities, name, "entity")

    def row(entity: str, spec: EntitySpec) -> tuple[object, ...]:
        described = [
            view
            for view, one in definitions.views.items()
            if getattr(one, "entity", None) == entity
        ]
        return entity, ", ".join(spec.key), ", ".join(described), spec.description

    rows = tuple(row(one, definitions.entities[one]) for one in chosen)
    return Listing(("entity", "key", "views", "description"), rows)


def services(project: Project, name: str | None) -> Listing:
    """Every service with what a request brings; one service with each feature's type."""
    graph = project.graph()
    if name is not None:
        service = graph.service(name)
        outputs = tuple((one.reference, one.name, one.type.value) for one in service.outputs)
        brings = ", ".join(f"{column} {kind}" for column, kind in service.request)
        return Listing(
            ("feature", "column in frames", "type"),
            outputs,
            before=(f"a request brings: {brings}",),
        )
    rows = tuple(
        (
            one.name,
            ", ".join(one.keys),
            one.event or "",
            len(one.outputs),
            ", ".join(model.name for model in graph.models.values() if model.service is one),
        )
        for one in graph.services.values()
    )
    columns = ("service", "keys", "event", "features", "model")
    return Listing(columns, rows, numbers=("features",))


def sources(project: Project, name: str | None) -> Listing:
    """Every source with its place and its clocks."""
    definitions = project.definitions()
    rows: list[tuple[object, ...]] = []
    for one in _chosen(definitions.sources, name, "source"):
        source = definitions.sources[one]
        if isinstance(source, GeneratorSource):
            rows.append((one, source.kind, source.folder, None, None))
        else:
            known = ", ".join(str(rule) for rule in source.known_time)
            rows.append((one, source.kind, _place(source), source.event_time, known))
    return Listing(("source", "kind", "place", "event_time", "known_time"), tuple(rows))


def _place(source: TableSource) -> str:
    match source:
        case KafkaSource():
            return source.topic
        case JdbcSource():
            return source.table or "a query"
        case HttpSource():
            return source.url
        case FilesSource(push=True):
            return " and ".join(filter(None, (source.path, "HTTP")))
        case _:
            return source.path


def models(project: Project, name: str | None) -> Listing:
    """Every model with its service, label and rules; versions are in the registry."""
    graph = project.graph()
    rows = tuple(
        (
            one,
            graph.models[one].service.name,
            f"{graph.models[one].spec.spine}: {graph.models[one].spec.label}",
            ", ".join(graph.models[one].spec.learners),
            graph.models[one].spec.optimise,
            format_duration(graph.models[one].spec.retrain),
        )
        for one in _chosen(graph.models, name, "model")
    )
    columns = ("model", "service", "label", "learners", "optimise", "retrain")
    return Listing(columns, rows, after=("versions: feldspar registry dump",))


def _chosen(known: Iterable[str], name: str | None, kind: str) -> list[str]:
    names = list(known)
    if name is None:
        return names
    if name in names:
        return [name]
    near = ", ".join(nearest(name, names)) or ", ".join(names)
    raise UsageError(f"there is no {kind} {name!r}; nearest: {near}")


def _features_of(graph: Graph, name: str) -> Listing:
    columns = ("feature", "type", "made of")
    if name in graph.on_demand:
        computed = graph.on_demand[name]
        rows = tuple((one, kind.value, computed.hook) for one, kind in computed.outputs)
        return Listing(columns, rows, before=(f"{name}: on demand, {computed.hook}",))
    view = graph.view(name)
    about = f"{name}: {view.entity} from silver.{view.table}, {_timing(view)}"
    return Listing(columns, tuple(_features(view)), before=(about,))


def _features(view: PlainView | WindowedView) -> list[tuple[object, ...]]:
    texts = {column.name: str(column.expression) for column in view.columns}
    rows: list[tuple[object, ...]]
    match view:
        case WindowedView():
            rows = [(one.name, one.type.value, _aggregate(one, texts)) for one in view.aggregates]
        case PlainView():
            rows = [(one.name, one.type.value, texts[one.name]) for one in view.features]
    return rows + [(one.name, one.type.value, str(one.expression)) for one in view.derived]


def _aggregate(one: Aggregate, texts: Mapping[str, str]) -> str:
    """What a windowed feature is, in the words of its definition."""
    parts = [texts[one.argument]] if one.argument else []
    parts += [] if one.parameter is None else [str(one.parameter)]
    said = f"{one.function}({', '.join(parts)})"
    if one.by is not None:
        what = "its value" if one.gives == "value" else "the group"
        said = f"{what}, number {one.place} of {texts[one.by]} by {said}"
    hop = f", hop {format_duration(one.hop)}" if one.hop else ""
    return f"{said} over {format_duration(one.window)}{hop}"


def _timing(view: PlainView | WindowedView) -> str:
    match view:
        case WindowedView():
            sizes = sorted({one.window for one in view.aggregates})
            delay = f", delay {format_duration(view.delay)}" if view.delay else ""
            return f"windows {', '.join(map(format_duration, sizes))}{delay}"
        case PlainView():
            return f"newest, ttl {format_duration(view.ttl)}" if view.ttl else "newest"

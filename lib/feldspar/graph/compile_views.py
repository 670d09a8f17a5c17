"""Resolves plain and windowed views: gold columns, features, types, derived features' inputs."""

from __future__ import annotations

from datetime import timedelta

from feldspar.graph.compile_history import refuse_deletes
from feldspar.graph.compile_windows import compile_windowed
from feldspar.graph.graph import Table
from feldspar.graph.problems import Place, Problems
from feldspar.graph.scope import Scope
from feldspar.graph.view import GoldColumn, OnDemand, PlainFeature, PlainView, View
from feldspar.spec.entity import EntitySpec
from feldspar.spec.expression import parse, type_of
from feldspar.spec.loading import Definitions
from feldspar.spec.syntax import ExpressionError
from feldspar.spec.types import ColumnType
from feldspar.spec.view import FeatureSpec, OnDemandViewSpec, PlainViewSpec, WindowedViewSpec

_OF_WINDOWS = ("window", "windows", "where", "by")


def compile_views(
    definitions: Definitions, tables: dict[str, Table], problems: Problems
) -> tuple[dict[str, View], dict[str, OnDemand]]:
    """Table views (still without derived features) and on-demand views."""
    views: dict[str, View] = {}
    on_demand: dict[str, OnDemand] = {}
    for name, spec in definitions.views.items():
        place = Place("views", name)
        if isinstance(spec, OnDemandViewSpec):
            outputs = tuple(spec.features.items())
            on_demand[name] = OnDemand(name, spec.on_demand, inputs=spec.inputs, outputs=outputs)
            continue
        entity = definitions.entities.get(spec.entity)
        table = tables.get(spec.from_)
        if entity is None:
            problems.unknown(place.at("entity"), "entity", spec.entity, known=definitions.entities)
        if spec.from_ not in definitions.tables:
            problems.unknown(place.at("from"), "table", spec.from_, known=definitions.tables)
        if entity is not None and table is not None:
            views[name] = _view(spec, entity, table=table, place=place, problems=problems)
    return views, on_demand


def _view(
    spec: PlainViewSpec | WindowedViewSpec,
    entity: EntitySpec,
    *,
    table: Table,
    place: Place,
    problems: Problems,
) -> View:
    refuse_deletes(table, place.at("from"), problems)
    for key in entity.key:
        if key not in table.spec.columns:
            message = f"entity {spec.entity} needs column {key!r}; silver.{table.name} has none"
            problems.note(place.at("entity"), message)
    delay = spec.delay if isinstance(spec, WindowedViewSpec) else timedelta(0)
    scope = Scope(table, place, problems, delay + spec.serving_delay)
    if isinstance(spec, WindowedViewSpec):
        return compile_windowed(spec, entity, scope)
    return _plain(spec, entity, scope)


def _plain(spec: PlainViewSpec, entity: EntitySpec, scope: Scope) -> PlainView:
    columns, features = [], []
    for name, feature in spec.features.items():
        for key in _OF_WINDOWS:
            if getattr(feature, key) is not None:
                what = "a window" if key.startswith("window") else f"'{key}'"
                text = f"{what} needs a windowed view: give the view 'windows' and 'request_event'"
                scope.problems.note(scope.place.at("features", name, key), text)
        column = _gold_column(name, feature, scope)
        if column is not None:
            columns.append(column)
            features.append(PlainFeature(name, feature.default, column.type))
    return PlainView(
        name=scope.place.name,
        entity=spec.entity,
        keys=entity.key,
        table=scope.table.name,
        event_key=scope.table.spec.key,
        columns=tuple(columns),
        derived=(),
        serving_delay=spec.serving_delay,
        definition=scope.definition(spec, entity),
        features=tuple(features),
        ttl=spec.ttl,
        freshness=spec.freshness,
        trigger=spec.trigger,
        cost=spec.cost,
    )


def _gold_column(name: str, feature: FeatureSpec, scope: Scope) -> GoldColumn | None:
    try:
        expression = parse(feature.value)
        kind = type_of(expression, scope.table.types())
    except ExpressionError as error:
        scope.complain(("features", name), feature.value, error)
        return None
    scope.check_known(name, expression)
    return GoldColumn(name, expression, kind)


def value_types(views: dict[str, View], on_demand: dict[str, OnDemand]) -> dict[str, ColumnType]:
    """``view.feature`` to type, of everything but derived features."""
    types = {}
    for view in views.values():
        for feature, kind in view.feature_types().items():
            types[f"{view.name}.{feature}"] = kind
    for computed in on_demand.values():
        for feature, kind in computed.outputs:
            types[f"{computed.view}.{feature}"] = kind
    return types

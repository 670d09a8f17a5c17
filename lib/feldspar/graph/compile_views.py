"""Resolves plain and windowed views: gold columns, features, types, derived features' inputs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from feldspar.graph.canonical import canonical
from feldspar.graph.graph import Table
from feldspar.graph.problems import Place, Problems
from feldspar.graph.view import (
    Aggregate,
    GoldColumn,
    OnDemand,
    PlainFeature,
    PlainView,
    View,
    WindowedView,
)
from feldspar.names import fingerprint, windowed
from feldspar.spec.entity import EntitySpec
from feldspar.spec.expression import Aggregation, parse, parse_aggregation, result_type, type_of
from feldspar.spec.loading import Definitions
from feldspar.spec.syntax import Column, Expression, ExpressionError
from feldspar.spec.types import ColumnType
from feldspar.spec.view import FeatureSpec, OnDemandViewSpec, PlainViewSpec, WindowedViewSpec
from feldspar.times import format_duration


@dataclass(frozen=True)
class _Scope:
    """What a view's expressions may read, and where complaints go."""

    table: Table
    place: Place
    problems: Problems
    delay: timedelta

    def complain(self, path: tuple[str | int, ...], text: str, error: ExpressionError) -> None:
        self.problems.expression(
            self.place.at(*path), text, error, table=self.table.name, types=self.table.types()
        )


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
    for key in entity.key:
        if key not in table.spec.columns:
            message = f"entity {spec.entity} needs column {key!r}; silver.{table.name} has none"
            problems.note(place.at("entity"), message)
    delay = spec.delay if isinstance(spec, WindowedViewSpec) else timedelta(0)
    scope = _Scope(table, place, problems, delay + spec.serving_delay)
    if isinstance(spec, WindowedViewSpec):
        return _windowed(spec, entity, scope)
    return _plain(spec, entity, scope)


def _plain(spec: PlainViewSpec, entity: EntitySpec, scope: _Scope) -> PlainView:
    columns, features = [], []
    for name, feature in spec.features.items():
        for key in ("window", "windows"):
            if getattr(feature, key) is not None:
                text = "a window needs a windowed view: give the view 'windows' and 'request_event'"
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
        definition=_definition(spec, entity, scope),
        features=tuple(features),
        ttl=spec.ttl,
    )


def _gold_column(name: str, feature: FeatureSpec, scope: _Scope) -> GoldColumn | None:
    try:
        expression = parse(feature.value)
        kind = type_of(expression, scope.table.types())
    except ExpressionError as error:
        scope.complain(("features", name), feature.value, error)
        return None
    _check_known(name, expression, scope)
    return GoldColumn(name, expression, kind)


def _windowed(spec: WindowedViewSpec, entity: EntitySpec, scope: _Scope) -> WindowedView:
    if len(scope.table.spec.key) != 1:
        text = f"windows need a table with one key column; silver.{scope.table.name} has several"
        scope.problems.note(scope.place.at("from"), text)
    columns: dict[str, GoldColumn] = {}
    aggregates: list[Aggregate] = []
    for name, feature in spec.features.items():
        aggregates += _aggregates(name, feature, spec, scope=scope, columns=columns)
    return WindowedView(
        name=scope.place.name,
        entity=spec.entity,
        keys=entity.key,
        table=scope.table.name,
        event_key=scope.table.spec.key,
        columns=tuple(columns.values()),
        derived=(),
        serving_delay=spec.serving_delay,
        definition=_definition(spec, entity, scope),
        aggregates=tuple(aggregates),
        delay=spec.delay,
        request_event=spec.request_event,
    )


def _aggregates(
    name: str,
    feature: FeatureSpec,
    spec: WindowedViewSpec,
    *,
    scope: _Scope,
    columns: dict[str, GoldColumn],
) -> list[Aggregate]:
    try:
        aggregation = parse_aggregation(feature.value)
        kind = result_type(aggregation, scope.table.types())
    except ExpressionError as error:
        scope.complain(("features", name), feature.value, error)
        return []
    argument = _argument(name, aggregation, scope, columns=columns)
    if feature.window is not None:
        named = [(name, feature.window)]
    else:
        named = [(windowed(name, size), size) for size in feature.windows or spec.windows]
    return [
        Aggregate(
            name=full,
            function=aggregation.function,
            argument=argument,
            window=size,
            default=feature.default,
            type=kind,
        )
        for full, size in named
    ]


def _argument(
    name: str, aggregation: Aggregation, scope: _Scope, *, columns: dict[str, GoldColumn]
) -> str | None:
    expression = aggregation.argument
    if expression is None:
        return None
    column = gold_column_name(expression)
    _check_known(name, expression, scope)
    columns.setdefault(
        column, GoldColumn(column, expression, type_of(expression, scope.table.types()))
    )
    return column


def gold_column_name(expression: Expression) -> str:
    """A column keeps its name; any other expression gets one from its canonical text."""
    if isinstance(expression.node, Column):
        return expression.node.name
    return f"value_{fingerprint(str(expression))[:8]}"


def _check_known(name: str, expression: Expression, scope: _Scope) -> None:
    """A column that is known later than its row may only be used as late as that."""
    for column in sorted(expression.columns):
        spec = scope.table.spec.columns[column]
        later = spec.known_after
        if spec.known_at is not None:
            text = (
                f"{column} is known at {spec.known_at}, row by row: it can be a label, no feature"
            )
            scope.problems.note(scope.place.at("features", name), text)
        elif later is not None and later > scope.delay:
            after, delay = format_duration(later), format_duration(scope.delay)
            text = f"{column} is known {after} after its event; the view waits {delay}"
            hint = f"write delay: {after} in a view with windows"
            scope.problems.note(scope.place.at("features", name), text, hint=hint)


def _definition(spec: PlainViewSpec | WindowedViewSpec, entity: EntitySpec, scope: _Scope) -> str:
    clocks = {"event_time": scope.table.source.event_time}
    return canonical({"view": spec, "keys": list(entity.key), "clocks": clocks})


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

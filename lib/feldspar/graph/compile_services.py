"""Resolves derived features and services: which views to read, what to compute, in what order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from graphlib import CycleError, TopologicalSorter

from feldspar.errors import nearest
from feldspar.graph.canonical import canonical
from feldspar.graph.compile_views import value_types
from feldspar.graph.graph import Table
from feldspar.graph.problems import Place, Problems
from feldspar.graph.view import Computation, Derived, OnDemand, OutputColumn, Service, View
from feldspar.names import REQUEST, input_column
from feldspar.spec.expression import parse, type_of
from feldspar.spec.loading import Definitions
from feldspar.spec.service import ServiceSpec
from feldspar.spec.syntax import ExpressionError, UnknownColumnError
from feldspar.spec.types import ColumnType
from feldspar.spec.view import OnDemandViewSpec


def add_derived(
    definitions: Definitions,
    views: dict[str, View],
    *,
    on_demand: dict[str, OnDemand],
    problems: Problems,
) -> dict[str, View]:
    """The views with their derived features, typed in order of dependence."""
    types = value_types(views, on_demand)
    texts: dict[str, tuple[str, str, str]] = {}
    for name, spec in definitions.views.items():
        if isinstance(spec, OnDemandViewSpec) or name not in views:
            continue
        for feature, text in spec.derive.items():
            texts[f"{name}.{feature}"] = (name, feature, text)
    derived = _typed(texts, types, views, problems=problems)
    return {
        name: replace(view, derived=tuple(one for one in derived if one.view == name))
        for name, view in views.items()
    }


def _typed(
    texts: dict[str, tuple[str, str, str]],
    types: dict[str, ColumnType],
    views: Mapping[str, View],
    *,
    problems: Problems,
) -> list[Derived]:
    parsed = {}
    for reference, (view, feature, text) in texts.items():
        place = Place("views", view, ("derive", feature))
        try:
            parsed[reference] = parse(text)
        except ExpressionError as error:
            problems.unreadable(place, text, error)
    order = _order({key: expression.columns for key, expression in parsed.items()}, problems, texts)
    derived = []
    for reference in order:
        view, feature, text = texts[reference]
        place = Place("views", view, ("derive", feature))
        known = {key: kind for key, kind in types.items() if _same_entity(key, view, views)}
        try:
            types[reference] = type_of(parsed[reference], known)
            derived.append(Derived(view, feature, parsed[reference], types[reference]))
        except UnknownColumnError as error:
            if not _is_noted(error.column, problems):
                message = f"{text}: no feature {error.column!r} of entity {views[view].entity}"
                near = nearest(error.column, known)
                problems.note(place, message, near=near, see="feldspar show views")
        except ExpressionError as error:
            problems.unreadable(place, text, error)
    return derived


def _is_noted(reference: str, problems: Problems) -> bool:
    """Whether a feature is absent only because its own definition is wrong."""
    view, _, feature = reference.partition(".")
    spec = problems.definitions.views.get(view)
    if spec is None or isinstance(spec, OnDemandViewSpec):
        return False
    declared = any(feature == name or feature.startswith(f"{name}_") for name in spec.features)
    broken = problems.is_broken("views", view) or problems.is_broken("tables", spec.from_)
    return broken and (declared or feature in spec.derive)


def _same_entity(reference: str, view: str, views: Mapping[str, View]) -> bool:
    other = views.get(reference.partition(".")[0])
    return other is not None and other.entity == views[view].entity


def _order(
    needs: Mapping[str, frozenset[str]],
    problems: Problems,
    texts: Mapping[str, tuple[str, str, str]],
) -> list[str]:
    sorter = TopologicalSorter(
        {key: [one for one in wanted if one in needs] for key, wanted in needs.items()}
    )
    try:
        return list(sorter.static_order())
    except CycleError as error:
        ring = error.args[1]
        view, feature, _ = texts[ring[0]]
        problems.note(Place("views", view, ("derive", feature)), f"a cycle: {' -> '.join(ring)}")
        return []


@dataclass(frozen=True)
class Catalogue:
    """Everything a service may name."""

    tables: Mapping[str, Table]
    views: Mapping[str, View]
    on_demand: Mapping[str, OnDemand]

    def computation(self, reference: str) -> Computation | None:
        """The derived feature or on-demand view that makes a feature, if one does."""
        view, _, feature = reference.partition(".")
        if view in self.on_demand:
            return self.on_demand[view]
        for derived in self.views[view].derived if view in self.views else ():
            if derived.name == feature:
                return derived
        return None

    def types(self) -> dict[str, ColumnType]:
        """``view.feature`` to type, of everything."""
        types = value_types(dict(self.views), dict(self.on_demand))
        for view in self.views.values():
            types.update({derived.reference: derived.type for derived in view.derived})
        return types


def compile_services(
    definitions: Definitions, catalogue: Catalogue, problems: Problems
) -> dict[str, Service]:
    """Every service that could be resolved."""
    services = {}
    for name, spec in definitions.services.items():
        place = Place("services", name)
        before = len(problems.found)
        keys = _keys(spec, definitions, place=place, problems=problems)
        request = _request(spec, keys, catalogue, place=place, problems=problems)
        references = list(_references(spec, request, catalogue, place=place, problems=problems))
        if len(problems.found) == before:
            services[name] = _service(
                name, spec, references, keys=keys, request=request, catalogue=catalogue
            )
    return services


def _keys(
    spec: ServiceSpec, definitions: Definitions, *, place: Place, problems: Problems
) -> tuple[str, ...]:
    keys: list[str] = []
    for index, entity in enumerate(spec.entities):
        if entity not in definitions.entities:
            problems.unknown(
                place.at("entities", index), "entity", entity, known=definitions.entities
            )
            continue
        keys += [key for key in definitions.entities[entity].key if key not in keys]
    return tuple(keys)


def _request(
    spec: ServiceSpec,
    keys: tuple[str, ...],
    catalogue: Catalogue,
    *,
    place: Place,
    problems: Problems,
) -> dict[str, ColumnType]:
    if spec.event is not None and spec.event not in catalogue.tables:
        problems.unknown(place.at("event"), "table", spec.event, known=catalogue.tables)
        return {}
    if spec.event is not None:
        table = catalogue.tables[spec.event]
        missing = [key for key in keys if key not in table.spec.columns]
        if missing:
            problems.note(place.at("event"), f"table {spec.event} has no key column {missing[0]!r}")
        late = {
            name
            for name, column in table.spec.columns.items()
            if column.known_after is not None or column.known_at is not None
        }
        return {name: kind for name, kind in table.types().items() if name not in late}
    types: dict[str, ColumnType] = {}
    for view in catalogue.views.values():
        if set(view.keys) <= set(keys):
            table = catalogue.tables[view.table]
            types.update({key: table.types()[key] for key in view.keys if key in table.types()})
    return types


def _references(
    spec: ServiceSpec,
    request: Mapping[str, ColumnType],
    catalogue: Catalogue,
    *,
    place: Place,
    problems: Problems,
) -> Iterator[tuple[str, ColumnType]]:
    types = catalogue.types()
    known = {**types, **{f"{REQUEST}.{name}": kind for name, kind in request.items()}}
    for index, entry in enumerate(spec.features):
        whole = entry in catalogue.views or entry in catalogue.on_demand
        if entry in known:
            yield entry, known[entry]
        elif whole:
            yield from (pair for pair in types.items() if pair[0].startswith(f"{entry}."))
        else:
            _no_feature(
                entry,
                spec,
                catalogue,
                request=request,
                place=place.at("features", index),
                problems=problems,
            )


def _no_feature(
    entry: str,
    spec: ServiceSpec,
    catalogue: Catalogue,
    *,
    request: Mapping[str, ColumnType],
    place: Place,
    problems: Problems,
) -> None:
    owner, _, feature = entry.partition(".")
    if owner == REQUEST and _comes_late(feature, spec, catalogue):
        problems.note(place, f"{feature} is known later than its event: a request cannot bring it")
    elif owner == REQUEST:
        problems.unknown(place, "column of the request", feature, known=request)
    else:
        known = [*catalogue.views, *catalogue.on_demand, *catalogue.types()]
        problems.unknown(place, "view or feature", entry, known=known)


def _comes_late(column: str, spec: ServiceSpec, catalogue: Catalogue) -> bool:
    table = catalogue.tables.get(spec.event or "")
    return table is not None and column in table.spec.columns


def _service(
    name: str,
    spec: ServiceSpec,
    references: list[tuple[str, ColumnType]],
    *,
    keys: tuple[str, ...],
    request: Mapping[str, ColumnType],
    catalogue: Catalogue,
) -> Service:
    views: dict[str, View] = {}
    computations: dict[str, Computation] = {}
    for reference, _ in references:
        _need(reference, catalogue, views=views, computations=computations)
    outputs = tuple(OutputColumn(input_column(ref), ref, kind) for ref, kind in references)
    needed = {view.name: view.definition for view in views.values()}
    derived = [
        f"{one.reference}={one.expression}"
        for one in computations.values()
        if isinstance(one, Derived)
    ]
    return Service(
        name=name,
        entities=spec.entities,
        keys=keys,
        event=spec.event,
        request=tuple(request.items()),
        views=tuple(views.values()),
        computations=tuple(computations.values()),
        outputs=outputs,
        definition=canonical(
            {
                "service": spec,
                "views": needed,
                "outputs": [one.reference for one in outputs],
                "derived": derived,
            }
        ),
        fallback=spec.fallback,
        served_log=spec.served_log,
    )


def service_of_view(name: str, catalogue: Catalogue) -> Service:
    """A service of one view's features alone, with everything they are made of.

    Its request brings the keys of the views it reads; what on-demand functions want of a
    request besides is for the caller to add.
    """
    references = [
        (one, kind) for one, kind in catalogue.types().items() if one.startswith(f"{name}.")
    ]
    views: dict[str, View] = {}
    for reference, _ in references:
        _need(reference, catalogue, views=views, computations={})
    entities = tuple(dict.fromkeys(view.entity for view in views.values()))
    request = {
        key: catalogue.tables[view.table].types()[key]
        for view in views.values()
        for key in view.keys
    }
    spec = ServiceSpec(entities=entities, features=(name,))
    return _service(
        name, spec, references, keys=tuple(request), request=request, catalogue=catalogue
    )


def _need(
    reference: str,
    catalogue: Catalogue,
    *,
    views: dict[str, View],
    computations: dict[str, Computation],
) -> None:
    """Adds what a reference needs, dependencies first (definitions are known to be acyclic)."""
    owner = reference.partition(".")[0]
    computation = catalogue.computation(reference)
    if computation is None:
        if owner != REQUEST:
            views[owner] = catalogue.views[owner]
        return
    label = computation.reference if isinstance(computation, Derived) else computation.view
    if label in computations:
        return
    for wanted in sorted(computation.inputs):
        _need(wanted, catalogue, views=views, computations=computations)
    computations[label] = computation

"""Resolves windowed views: what each feature aggregates, over which windows, under which names.

``where`` and ``by ... values`` end here: they become part of the aggregated expression, so that
engines know nothing of them. A feature is named ``<feature>[_<value or number>][_<window>]``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta

from feldspar.graph.hops import Hops
from feldspar.graph.scope import Scope
from feldspar.graph.view import Aggregate, GoldColumn, WindowedView
from feldspar.names import fingerprint, windowed
from feldspar.spec.entity import EntitySpec
from feldspar.spec.expression import (
    Aggregation,
    both,
    equals,
    only_where,
    parse,
    parse_aggregation,
    result_type,
    type_of,
    where,
)
from feldspar.spec.syntax import Column, Expression, ExpressionError, Scalar
from feldspar.spec.types import ColumnType
from feldspar.spec.view import FeatureSpec, WindowedViewSpec

RANKED = ("count", "sum", "avg", "min", "max", "stddev", "variance")
"""Functions by which groups can be ranked."""
_NOT_IN_NAMES = re.compile(r"[^a-z0-9]+")


def compile_windowed(spec: WindowedViewSpec, entity: EntitySpec, scope: Scope) -> WindowedView:
    """The view with every feature over every window; problems are noted in the scope."""
    if len(scope.table.spec.key) != 1:
        text = f"windows need a table with one key column; silver.{scope.table.name} has several"
        scope.note(("from",), text)
    making = _Making(scope, spec, Hops.of(spec, scope))
    for name, feature in spec.features.items():
        making.add(name, feature)
    return WindowedView(
        name=scope.place.name,
        entity=spec.entity,
        keys=entity.key,
        table=scope.table.name,
        event_key=scope.table.spec.key,
        columns=tuple(making.columns.values()),
        derived=(),
        serving_delay=spec.serving_delay,
        definition=scope.definition(spec, entity),
        aggregates=tuple(making.aggregates.values()),
        delay=spec.delay,
        request_event=spec.request_event,
        freshness=spec.freshness,
        trigger=spec.trigger,
        cost=spec.cost,
    )


@dataclass
class _Making:
    """The columns and features found so far."""

    scope: Scope
    spec: WindowedViewSpec
    hops: Hops
    columns: dict[str, GoldColumn] = field(default_factory=dict)
    aggregates: dict[str, Aggregate] = field(default_factory=dict)

    def add(self, name: str, feature: FeatureSpec) -> None:
        """One feature as written, over all of its windows."""
        try:
            aggregation = parse_aggregation(feature.value)
            result_type(aggregation, self.scope.types)
        except ExpressionError as error:
            self.scope.complain(("features", name), feature.value, error)
            return
        condition = self._expression(name, "where", feature.where)
        by = self._expression(name, "by", feature.by)
        if (feature.where and condition is None) or (feature.by and by is None):
            return
        if condition is not None and type_of(condition, self.scope.types) is not ColumnType.BOOLEAN:
            self.scope.note(("features", name, "where"), f"{condition} is not true or false")
            return
        for one in self._unwindowed(name, feature, aggregation, condition, by):
            for full, size in _sizes(one.name, feature, self.spec):
                made = replace(one, name=full, window=size, hop=self.hops.of_window(size))
                if full in self.aggregates:
                    self.scope.note(("features", name), f"there are two features {full!r}")
                self.aggregates[full] = made

    def _unwindowed(
        self,
        name: str,
        feature: FeatureSpec,
        aggregation: Aggregation,
        condition: Expression | None,
        by: Expression | None,
    ) -> Iterator[Aggregate]:
        """The feature's columns for one window."""
        if by is None:
            yield from self._places(name, name, feature, _where(aggregation, condition))
        elif feature.top is not None:
            yield from self._top(
                name, feature, _where(aggregation, condition), _only(by, condition)
            )
        else:
            for value in feature.values or ():
                yield from self._of_value(name, feature, aggregation, condition, (by, value))

    def _of_value(
        self,
        name: str,
        feature: FeatureSpec,
        aggregation: Aggregation,
        condition: Expression | None,
        of: tuple[Expression, Scalar],
    ) -> Iterator[Aggregate]:
        by, value = of
        try:
            wanted = equals(by, value)
            type_of(wanted, self.scope.types)
        except ExpressionError as error:
            self.scope.complain(("features", name, "values"), f"{by} = {value!r}", error)
            return
        both_hold = wanted if condition is None else both(condition, wanted)
        full = f"{name}_{_in_name(value)}"
        yield from self._places(name, full, feature, only_where(aggregation, both_hold))

    def _places(
        self, name: str, full: str, feature: FeatureSpec, aggregation: Aggregation
    ) -> Iterator[Aggregate]:
        """One column, or one for each of the first or last k."""
        made = self._aggregate(name, full, feature, aggregation)
        if made is None:
            return
        if aggregation.function in ("first", "last") and aggregation.parameter is not None:
            for place in range(1, int(aggregation.parameter) + 1):
                yield replace(made, name=f"{full}_{place}", parameter=place)
        else:
            yield made

    def _top(
        self, name: str, feature: FeatureSpec, aggregation: Aggregation, by: Expression
    ) -> Iterator[Aggregate]:
        kind = type_of(by, self.scope.types)
        if kind is not ColumnType.STRING:
            hint = "write cast(... as string)"
            self.scope.note(("features", name, "by"), f"groups are texts, not {kind}", hint=hint)
            return
        if aggregation.function not in RANKED:
            text = f"groups cannot be ranked by {aggregation.function}"
            self.scope.note(("features", name), text, hint=f"allowed: {', '.join(RANKED)}")
            return
        made = self._aggregate(name, name, feature, aggregation)
        column = self._column(name, by)
        for place in range(1, (feature.top or 0) + 1) if made is not None else ():
            assert made is not None
            one = replace(made, name=f"{name}_top_{place}_value", by=column, place=place)
            group = replace(one, name=f"{name}_top_{place}", gives="group", type=kind, default=None)
            yield from (group, one)

    def _aggregate(
        self, name: str, full: str, feature: FeatureSpec, aggregation: Aggregation
    ) -> Aggregate | None:
        kind = result_type(aggregation, self.scope.types)
        if feature.default is not None and not kind.is_number:
            text = f"the default is a number, the feature is {kind}"
            self.scope.note(("features", name, "default"), text)
            return None
        argument = aggregation.argument
        return Aggregate(
            name=full,
            function=aggregation.function,
            argument=None if argument is None else self._column(name, argument),
            window=timedelta(0),
            default=feature.default,
            type=kind,
            parameter=aggregation.parameter,
        )

    def _column(self, name: str, expression: Expression) -> str:
        column = gold_column_name(expression)
        self.scope.check_known(name, expression)
        kind = type_of(expression, self.scope.types)
        self.columns.setdefault(column, GoldColumn(column, expression, kind))
        return column

    def _expression(self, name: str, key: str, text: str | None) -> Expression | None:
        if text is None:
            return None
        try:
            found = parse(text)
            type_of(found, self.scope.types)
        except ExpressionError as error:
            self.scope.complain(("features", name, key), text, error)
            return None
        return found


def gold_column_name(expression: Expression) -> str:
    """A column keeps its name; any other expression gets one from its canonical text."""
    if isinstance(expression.node, Column):
        return expression.node.name
    return f"value_{fingerprint(str(expression))[:8]}"


def _sizes(name: str, feature: FeatureSpec, spec: WindowedViewSpec) -> list[tuple[str, timedelta]]:
    if feature.window is not None:
        return [(name, feature.window)]
    return [(windowed(name, size), size) for size in feature.windows or spec.windows]


def _where(aggregation: Aggregation, condition: Expression | None) -> Aggregation:
    return aggregation if condition is None else only_where(aggregation, condition)


def _only(expression: Expression, condition: Expression | None) -> Expression:
    return expression if condition is None else where(expression, condition)


def _in_name(value: Scalar) -> str:
    """A value as part of a column's name.

    >>> _in_name("Point of Sale"), _in_name(True), _in_name(-3)
    ('point_of_sale', 'true', 'minus_3')
    """
    text = str(value).lower()
    if isinstance(value, int) and text.startswith("-"):
        text = f"minus_{text}"
    return _NOT_IN_NAMES.sub("_", text).strip("_") or "empty"

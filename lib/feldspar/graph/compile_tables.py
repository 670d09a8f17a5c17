"""Resolves silver tables: source, key, clocks, checks and rules against the columns."""

from __future__ import annotations

from feldspar.graph.canonical import canonical
from feldspar.graph.compile_history import compile_history
from feldspar.graph.graph import Table
from feldspar.graph.problems import Place, Problems
from feldspar.spec.check import Between, Matches, OneOf
from feldspar.spec.expression import parse, type_of
from feldspar.spec.loading import Definitions
from feldspar.spec.source import FilesSource, KnownByColumn, TableSource
from feldspar.spec.syntax import Expression, ExpressionError
from feldspar.spec.table import TableSpec
from feldspar.spec.types import ColumnType

NUMBERS = (ColumnType.INT, ColumnType.BIGINT, ColumnType.DOUBLE)


def compile_tables(definitions: Definitions, problems: Problems) -> dict[str, Table]:
    """Every table that could be resolved; the rest is in ``problems``."""
    tables = {}
    for name, spec in definitions.tables.items():
        place = Place("tables", name)
        source = definitions.sources.get(spec.from_)
        if source is None:
            problems.unknown(place.at("from"), "source", spec.from_, known=definitions.sources)
            continue
        if not isinstance(source, TableSource):
            problems.note(place.at("from"), f"{spec.from_} only writes files for other sources")
            continue
        _check_names(spec, source, place=place, problems=problems)
        rules = _rules(spec, place, problems)
        history = compile_history(spec, source, place=place, problems=problems)
        tables[name] = Table(
            name=name,
            spec=spec,
            source_name=spec.from_,
            source=source,
            rules=rules,
            definition=canonical({"table": spec, "source": source}),
            history=history,
        )
    _check_pushed(definitions, problems)
    return tables


def _check_pushed(definitions: Definitions, problems: Problems) -> None:
    """A pushed row is judged by its table while the caller waits: it must be one table's."""
    for name, source in definitions.sources.items():
        if not isinstance(source, FilesSource) or not source.push:
            continue
        tables = [table for table, spec in definitions.tables.items() if spec.from_ == name]
        if len(tables) > 1:
            found = ", ".join(tables)
            text = f"a source with 'push: true' has one table that reads it; found {found}"
            problems.note(Place("sources", name, ("push",)), text)


def _check_names(spec: TableSpec, source: TableSource, *, place: Place, problems: Problems) -> None:
    types = {name: column.type for name, column in spec.columns.items()}

    def need(column: str, *path: str | int, what: str) -> None:
        if column not in types:
            problems.no_column(place.at(*path), what, column, table=place.name, types=types)

    for key in spec.key:
        need(key, "key", what="key")
    need(source.event_time, "columns", what=f"event_time of source {spec.from_}")
    if spec.columns.get(source.event_time) and (
        spec.columns[source.event_time].type is not ColumnType.TIMESTAMP
    ):
        problems.note(place.at("columns", source.event_time), "event_time must be a timestamp")
    for rule in source.known_time:
        if isinstance(rule, KnownByColumn):
            need(rule.column, "columns", what=f"known_time of source {spec.from_}")
    _check_columns(spec, place, problems)
    _check_checks(spec, place, problems)
    if spec.unknown_columns == "evolve" and getattr(source, "envelope", None):
        text = "a feed of change events does not list its columns; 'rescue' keeps their values"
        problems.note(place.at("unknown_columns"), text)


def _check_columns(spec: TableSpec, place: Place, problems: Problems) -> None:
    types = {name: column.type for name, column in spec.columns.items()}
    for name, column in spec.columns.items():
        where = place.at("columns", name)
        if name.startswith("_"):
            problems.note(where, "names that start with _ are the platform's")
        if column.known_at is not None and column.known_at not in types:
            problems.no_column(where, "known_at", column.known_at, table=place.name, types=types)


def _check_checks(spec: TableSpec, place: Place, problems: Problems) -> None:
    for column, checks in spec.checks.items():
        where = place.at("checks", column)
        if column not in spec.columns:
            types = {name: one.type for name, one in spec.columns.items()}
            problems.no_column(where, "checks", column, table=place.name, types=types)
            continue
        kind = spec.columns[column].type
        for check in checks:
            if isinstance(check, Between) and kind not in NUMBERS:
                problems.note(where, f"between is for numbers; {column} is {kind.value}")
            if isinstance(check, Matches) and kind is not ColumnType.STRING:
                problems.note(where, f"matches is for text; {column} is {kind.value}")
            if isinstance(check, OneOf) and kind is not ColumnType.STRING and kind not in NUMBERS:
                problems.note(where, f"in is for text and numbers; {column} is {kind.value}")


def _rules(spec: TableSpec, place: Place, problems: Problems) -> tuple[tuple[str, Expression], ...]:
    types = {name: column.type for name, column in spec.columns.items()}
    rules = []
    for name, text in spec.rules.items():
        try:
            expression = parse(text)
            kind = type_of(expression, types)
        except ExpressionError as error:
            where = place.at("rules", name)
            problems.expression(where, text, error, table=place.name, types=types)
            continue
        if kind is not ColumnType.BOOLEAN:
            problems.note(place.at("rules", name), f"{text} is {kind.value}, not true or false")
        rules.append((name, expression))
    return tuple(rules)

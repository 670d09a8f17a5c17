"""``feldspar online show``: what is served of one entity, or would be at a T, and from what."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import date, timedelta
from typing import Any

from feldspar.cli.arguments import DONE, Arguments, Subparsers, add_verb
from feldspar.cli.output import print_json, say
from feldspar.cli.project import Project
from feldspar.cli.tables import print_table, size_text, time_text
from feldspar.errors import UsageError, nearest
from feldspar.graph.graph import Graph
from feldspar.graph.view import View
from feldspar.online.entity import Found, Kept, find_entity
from feldspar.spec.types import ColumnType
from feldspar.stores.cursors import Cursor
from feldspar.stores.online import KeyPart, OnlineStore
from feldspar.times import (
    MICROSECOND,
    from_micros,
    parse_instant,
    rough_duration,
    to_micros,
    utc_now,
)

_LINES = 10
_PARTS = 4
_CUT = 60
_AS_THEY_ARE = ("features", "values", "parts")
_INSTANTS = (
    *("newest", "event_time", "known_time", "visible_at", "start", "end"),
    *("clock", "floor", "since", "pushed"),
)
"""Facts that are microseconds since the epoch."""


def add_parser(subparsers: Subparsers) -> None:
    """Adds the verb."""
    example = (
        "feldspar online show customer 4711\n"
        "feldspar online show customer 4711 --view customer_spend --as-of 2018-09-30T23:59:59Z\n"
        "feldspar online show customer 4711 --json"
    )
    parser = add_verb(subparsers, "online show", example=example, handler=show_entity)
    parser.add_argument("entity", metavar="ENTITY", help="one of conf/entities")
    parser.add_argument("keys", metavar="KEY", nargs="+", help="its key, part by part")
    parser.add_argument("--as-of", metavar="TIME", help="the time T (default: the clock)")
    parser.add_argument("--view", metavar="VIEW", help="one of its views alone")


def show_entity(arguments: Arguments) -> int:
    """Prints each view of one entity.

    Raises:
        UsageError: there is no such entity, view or key.
        UnreachableError: Redis does not answer.
    """
    project = Project.of(arguments)
    graph, environment = project.graph(), project.environment()
    views = _views(graph, arguments.entity, arguments.view)
    keys = _keys(graph, views[0], arguments.keys)
    with OnlineStore.of(environment) as store:
        t = _time(arguments.as_of, store, clock=environment.clock)
        found = find_entity(views, keys, t, store=store)
    if arguments.json:
        print_json(_facts(arguments, t, found))
        return DONE
    clock = "as asked" if arguments.as_of else f"by the {environment.clock} clock"
    say(f"{arguments.entity} {', '.join(arguments.keys)} at {_instant(t)}, {clock}")
    for view, one in zip(views, found, strict=True):
        _print_view(view, one, t)
        for line in _advice(graph, view, one, arguments):
            say(f"  {line}")
    return DONE


def _views(graph: Graph, entity: str, name: str | None) -> list[View]:
    if entity not in graph.entities:
        near = ", ".join(nearest(entity, graph.entities)) or ", ".join(graph.entities)
        text = f"there is no entity {entity!r}; nearest: {near}"
        raise UsageError(text, hint="see: feldspar show entities")
    found = [view for view in graph.views.values() if view.entity == entity]
    if name is not None:
        view = graph.view(name)
        if view not in found:
            names = ", ".join(one.name for one in found)
            raise UsageError(f"view {name} is of {view.entity}, not of {entity}; it has: {names}")
        return [view]
    if not found:
        raise UsageError(f"no view describes {entity}", hint="see: feldspar show views")
    return found


def _keys(graph: Graph, view: View, words: Sequence[str]) -> list[KeyPart]:
    if len(words) != len(view.keys):
        wanted = ", ".join(view.keys)
        raise UsageError(f"{view.entity} is named by {wanted}; found {' '.join(words)}")
    types = graph.table(view.table).types()
    return [_key(word, types[key], key) for word, key in zip(words, view.keys, strict=True)]


def _key(word: str, kind: ColumnType, name: str) -> KeyPart:
    try:
        match kind:
            case ColumnType.INT | ColumnType.BIGINT:
                return int(word)
            case ColumnType.BOOLEAN:
                return {"true": True, "false": False}[word]
            case ColumnType.DATE:
                return date.fromisoformat(word)
            case ColumnType.TIMESTAMP:
                return parse_instant(word)
    except (KeyError, ValueError) as error:
        raise UsageError(f"{name} is a {kind.value}; found {word!r}") from error
    return word


def _time(asked: str | None, store: OnlineStore, *, clock: str) -> int:
    if asked is not None:
        return to_micros(parse_instant(asked))
    pushed = store.clock() if clock == "data" else None
    return to_micros(utc_now()) if pushed is None else pushed


def _print_view(view: View, one: Found, t: int) -> None:
    say(f"\n{view.name}: {', '.join(_head(one, t))}")
    if one.cursor is not None:
        say(f"  {'; '.join(_stored(one, one.cursor))}")
    if one.features:
        print_table(
            ("feature", "value"),
            [(name.removeprefix(f"{view.name}__"), _short(v)) for name, v in one.features.items()],
            numbers=("value",),
        )
    if one.kept:
        _print_kept(one.kept)
    if one.tiles:
        _print_tiles(one)


def _head(one: Found, t: int) -> Iterator[str]:
    yield one.state
    if one.newest is not None:
        yield f"newest {_instant(one.newest)} ({_length(t - one.newest)} old)"
    if one.left is not None:
        yield f"{_length(one.left)} left"


def _stored(one: Found, cursor: Cursor) -> Iterator[str]:
    at = _instant(cursor.clock)
    yield f"pushed up to gold version {cursor.version} at {at}, epoch {cursor.epoch}"
    if one.value is None:
        yield "nothing of this entity in Redis"
        return
    ends = one.value.milliseconds
    expiry = "no expiry" if ends is None else f"key expires in {_length(ends * 1_000)}"
    yield f"{size_text(one.value.size)} in Redis, {expiry}"


def _print_kept(kept: Sequence[Kept]) -> None:
    states = [one.state for one in kept]
    counts = ", ".join(f"{states.count(one)} {one}" for one in dict.fromkeys(states))
    first = ("event",) if kept[0].event_id is not None else ()
    values = tuple(kept[0].values)
    rows = [
        (
            *((one.event_id,) if first else ()),
            _instant(one.event_time),
            _instant(one.known_time),
            " ".join((one.state, *one.windows)),
            *map(_short, one.values.values()),
        )
        for one in kept[:_LINES]
    ]
    title = f"from {len(kept)} {'events' if first else 'rows'}: {counts}"
    print_table((*first, "happened", "known", "is", *values), rows, title=title, numbers=values)
    _print_rest(len(kept))


def _print_tiles(one: Found) -> None:
    names = tuple(one.tiles[0].parts)[:_PARTS]
    rows = [
        (
            _instant(tile.start),
            _length(tile.end - tile.start),
            *(_short(tile.parts.get(name)) for name in names),
        )
        for tile in one.tiles[:_LINES]
    ]
    title = f"from {len(one.tiles)} tiles"
    print_table(("after", "length", *names), rows, title=title, numbers=names)
    _print_rest(len(one.tiles))


def _print_rest(count: int) -> None:
    if count > _LINES:
        say(f"  and {count - _LINES} older ones; --json shows all")


def _advice(graph: Graph, view: View, one: Found, asked: Arguments) -> Iterator[str]:
    """What to run where Redis cannot answer."""
    if one.state == "not pushed":
        for name, cursor in one.others.items():
            yield f"{name}, another definition, is pushed up to gold version {cursor.version}"
        yield "next: feldspar apply"
    elif one.state == "too early" and one.cursor is not None:
        yield f"Redis answers from {_instant(one.cursor.floor)} on; for earlier times ask gold:"
        named = zip(view.keys, asked.keys, strict=True)
        where = " and ".join(f"{key} = {word}" for key, word in named)
        yield f'feldspar query "select * from gold.{view.name} where {where}"'
        services = [name for name, service in graph.services.items() if view in service.views]
        if services:
            yield f"feldspar training-set {services[0]} --spine FILE --out FILE  (the key and T)"


def _facts(asked: Arguments, t: int, found: Sequence[Found]) -> dict[str, Any]:
    return {
        "entity": asked.entity,
        "keys": asked.keys,
        "at": from_micros(t),
        "views": {one.view: _view_facts(one) for one in found},
    }


def _view_facts(one: Found) -> dict[str, Any]:
    facts = asdict(one)
    del facts["view"]
    facts["left_seconds"] = _seconds(facts.pop("left"))
    return {name: _with_instants(name, part) for name, part in facts.items()}


def _with_instants(name: str, value: Any) -> Any:
    """Microseconds as instants, wherever they are; values of features stay as they are."""
    if name in _AS_THEY_ARE:
        return value
    if name in _INSTANTS and isinstance(value, int):
        return from_micros(value)
    if isinstance(value, Mapping):
        return {inner: _with_instants(inner, part) for inner, part in value.items()}
    if isinstance(value, list | tuple):
        return [_with_instants("", part) for part in value]
    return value


def _seconds(micros: int | None) -> float | None:
    return None if micros is None else micros / 1_000_000


def _instant(micros: int) -> str:
    return str(time_text(from_micros(micros)))


def _length(micros: int) -> str:
    length: timedelta = abs(micros) * MICROSECOND
    return f"{'-' if micros < 0 else ''}{rough_duration(length)}"


def _short(value: Any) -> str | None:
    if value is None:
        return None
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return text if len(text) <= _CUT else f"{text[:_CUT]}..."

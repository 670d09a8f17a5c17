"""Looks at what is deployed and what waits, for ``graph.plan``: its only view of the outside.

Reads logs, listings and small keys, never rows; takes no JVM.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc

from feldspar.errors import InputError, TableNotFoundError
from feldspar.graph.graph import Graph
from feldspar.graph.observed import (
    ModelState,
    Observed,
    PagesState,
    RelationState,
    SourceState,
    TableId,
    TableState,
    TopicState,
    WaitingFile,
)
from feldspar.graph.planning.draft import generator_is_off
from feldspar.names import EVENT_TIME, GENERATED, cursor
from feldspar.spec.environment import Environment
from feldspar.spec.source import (
    IN_THE_LAKE,
    DeltaSource,
    FilesSource,
    GeneratorSource,
    HttpSource,
    JdbcSource,
    KafkaSource,
)
from feldspar.stores import jdbc, kafka, objects
from feldspar.stores.online import OnlineStore
from feldspar.stores.tables import arrow, extracts, log, offsets, pages
from feldspar.stores.tables.again import again
from feldspar.stores.tables.external import ExternalTable
from feldspar.stores.tables.lake import Lake
from feldspar.stores.tables.summary import AT_ONCE
from feldspar.times import to_micros, utc_now


class Trainings(Protocol):
    """What knows of models; ``stores.experiments`` loads MLflow, which not every look needs."""

    def state(self, model: str) -> ModelState | None:
        """The last training of a model; None where there is none."""


def observe(
    graph: Graph, environment: Environment, *, store: OnlineStore, experiments: Trainings
) -> Observed:
    """Everything a plan is told.

    Raises:
        UnreachableError: a server does not answer.
        InputError: a source's own path or topic is not there.
    """
    models = {name: experiments.state(name) for name in graph.models}
    return replace(
        observe_data(graph, environment, store=store),
        models={name: state for name, state in models.items() if state is not None},
    )


def observe_data(graph: Graph, environment: Environment, *, store: OnlineStore) -> Observed:
    """What storage and Redis say: all but the models.

    Raises:
        UnreachableError: a server does not answer.
        InputError: a source's own path or topic is not there.
    """
    return replace(observe_lake(graph, environment), pushed=store.pushed(graph.views))


def observe_progress(graph: Graph, environment: Environment, *, store: OnlineStore) -> Observed:
    """How far each table and Redis have read; sources are not looked at.

    Raises:
        UnreachableError: a server does not answer.
    """
    tables = table_states(graph, Lake.of(environment))
    return Observed(tables=tables, pushed=store.pushed(graph.views))


def observe_lake(graph: Graph, environment: Environment) -> Observed:
    """What storage alone says: tables, files that wait, what was generated, the clock.

    Raises:
        InputError: a source's own path is not there.
    """
    lake = Lake.of(environment)
    return Observed(
        tables=table_states(graph, lake),
        sources=_sources(graph, environment),
        generated=_generated(graph, environment.folder),
        clock=clock(graph, environment),
    )


def clock(graph: Graph, environment: Environment) -> int | None:
    """Now in microseconds: the wall clock, or the newest event that silver holds.

    None where the clock is ``data`` and there are none yet.
    """
    if environment.clock == "wall":
        return to_micros(utc_now())
    lake = Lake.of(environment)
    newest = [_newest_event(lake, name) for name in graph.tables]
    return max((one for one in newest if one is not None), default=None)


def waiting_files(
    name: str, source: FilesSource, *, environment: Environment
) -> tuple[tuple[WaitingFile, ...], int]:
    """Files of a source that no load has taken yet, and how many are known.

    A file that was set aside waits again once its size or time of writing has changed.

    Raises:
        InputError: there is no such file or folder.
    """
    lake = Lake.of(environment)
    loaded, aside = _known_files(lake, name)
    waiting = [
        WaitingFile(file.uri, file.size, file.modified_micros)
        for file in _files(name, source, lake)
        if _one_scheme(file.uri) not in loaded
        and (_one_scheme(file.uri), file.size, file.modified_micros) not in aside
    ]
    # by name: loads are the same whatever order files were copied in
    return tuple(sorted(waiting, key=lambda file: file.uri)), len(
        loaded | {one[0] for one in aside}
    )


def _files(name: str, source: FilesSource, lake: Lake) -> list[objects.FileInfo]:
    """What lies at a source's path and, where it takes pushed rows, in its inbox."""
    if not source.push:
        return objects.list_files(lake.source_uri(source.path), lake.storage)
    places = [lake.inbox(name), *([lake.source_uri(source.path)] if source.path else [])]
    # files may come later, or never: pushed rows do not wait for them
    found = (objects.list_files(one, lake.storage) for one in places if _is_there(one, lake))
    return [file for files in found for file in files]


def _is_there(uri: str, lake: Lake) -> bool:
    return "://" in uri or objects.exists(lake.storage, uri)


def _one_scheme(uri: str) -> str:
    return uri.replace("s3a://", "s3://", 1)


@again
def _known_files(lake: Lake, source: str) -> tuple[set[str], set[tuple[str, int, int]]]:
    """Files that were loaded, and those set aside as they were then."""
    try:
        files = arrow.dataset(lake, "ops", "files")
    except TableNotFoundError:
        return set(), set()
    mine = files.to_table(
        ["uri", "size", "modified", "status"], filter=pc.field("source") == source
    ).to_pylist()
    loaded = {_one_scheme(row["uri"]) for row in mine if row["status"] == "loaded"}
    aside = {
        (_one_scheme(row["uri"]), row["size"], row["modified"])
        for row in mine
        if row["status"] != "loaded"
    }
    return loaded, aside


def _sources(graph: Graph, environment: Environment) -> dict[str, SourceState]:
    found = {name: source_state(name, graph, environment) for name in graph.sources}
    return {name: state for name, state in found.items() if state is not None}


def source_state(name: str, graph: Graph, environment: Environment) -> SourceState | None:
    """What waits in one source; None where nothing is read from it.

    Raises:
        InputError: its path or topic is not there.
        TableNotFoundError: there is no Delta table at its path.
        UnreachableError: no broker or database answers.
        UsageError: a client is not installed.
    """
    source = graph.sources[name]
    if isinstance(source, DeltaSource):
        lake = Lake.of(environment)
        uri = lake.source_uri(source.path)
        return SourceState(version=ExternalTable(uri, lake.storage).version())
    if isinstance(source, FilesSource) and (source.push or not generator_is_off(graph, source)):
        return _files_state(name, source, graph=graph, environment=environment)
    if isinstance(source, KafkaSource):
        return SourceState(topic=topic_state(name, source, environment=environment))
    if isinstance(source, JdbcSource):
        return SourceState(relation=relation_state(name, source, environment=environment))
    if isinstance(source, HttpSource):
        return SourceState(pages=pages_state(name, Lake.of(environment)))
    return None


def topic_state(name: str, source: KafkaSource, *, environment: Environment) -> TopicState:
    """What the topic of a source holds, and how far it was read.

    Raises:
        UnreachableError: no broker answers.
        InputError: there is no such topic.
        UsageError: the client is not installed.
    """
    # read first: what is written meanwhile is more, never less
    read = offsets.newest(Lake.of(environment), name)
    return replace(kafka.observe_topic(source, name), read=read)


def relation_state(name: str, source: JdbcSource, *, environment: Environment) -> RelationState:
    """What the table or the query of a source holds, and how far it was read.

    Raises:
        UnreachableError: no server answers.
        InputError: there is no such table or column.
        UsageError: the client is not installed.
    """
    return jdbc.observe_relation(source, name, extracts.newest(Lake.of(environment), name))


def pages_state(name: str, lake: Lake) -> PagesState:
    """How far an HTTP source was asked, and which of its pages no load has taken.

    The server itself is not asked: it tells nobody how much waits.
    """
    loaded, aside = _known_files(lake, name)
    known = loaded | {uri for uri, _, _ in aside}
    waiting = tuple(one for one in pages.files(lake, name) if _one_scheme(one.uri) not in known)
    last, now = pages.newest(lake, name), to_micros(utc_now())
    if last is None:
        return PagesState(now, waiting)
    following = last.number + 1
    return PagesState(now, waiting, following, last.next, last.since, last.newest, last.at)


def _files_state(
    name: str, source: FilesSource, *, graph: Graph, environment: Environment
) -> SourceState:
    try:
        waiting, known = waiting_files(name, source, environment=environment)
    except InputError:
        # made by the generator, or by the first answer
        if _is_generated(source, graph) or source.path.startswith(IN_THE_LAKE):
            return SourceState()
        raise
    off = generator_is_off(graph, source)
    if off or (_is_generated(source, graph) and not _generated(graph, environment.folder)):
        pushed = f"{Lake.of(environment).inbox(name)}/"
        waiting = tuple(one for one in waiting if one.uri.startswith(pushed))
    return SourceState(waiting=waiting, known=known)


def _is_generated(source: FilesSource, graph: Graph) -> bool:
    folders = [one.folder for one in graph.sources.values() if isinstance(one, GeneratorSource)]
    return any(source.path.startswith(folder.rstrip("/") + "/") for folder in folders)


def _generated(graph: Graph, root: Path) -> dict[str, str]:
    made = {}
    for name, source in graph.sources.items():
        if isinstance(source, GeneratorSource):
            mark = root / source.folder / GENERATED
            if mark.is_file():
                made[name] = mark.read_text(encoding="utf-8")
    return made


def table_states(graph: Graph, lake: Lake) -> dict[TableId, TableState]:
    """Every table that is there, with its version and how far it has read."""
    wanted: dict[TableId, Iterable[str]] = {
        ("ops", "files"): [cursor("ingest", name) for name in graph.sources],
        ("ops", "ledger"): [
            cursor("refine", name, generation)
            for name in graph.tables
            for generation in _generations(lake, name)
        ],
        ("ops", "validations"): [
            cursor("quality", f"{layer}.{name}")
            for layer, names in (("silver", graph.tables), ("gold", graph.views))
            for name in names
        ],
    }
    topics = [name for name, one in graph.sources.items() if isinstance(one, KafkaSource)]
    if topics:
        wanted["ops", "offsets"] = [cursor("ingest", name) for name in topics]
    databases = [name for name, one in graph.sources.items() if isinstance(one, JdbcSource)]
    if databases:
        wanted["ops", "extracts"] = [cursor("ingest", name) for name in databases]
    for name in graph.sources:
        wanted["bronze", name] = [cursor("ingest", name)]
    for name, table in graph.tables.items():
        wanted["silver", name] = wanted["quarantine", name] = [f"refine:{name}#*"]
        if table.history is not None:
            wanted["history", name] = [f"history:{name}#*"]
    for name in graph.views:
        wanted["gold", name] = [f"features:{name}#*"]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = pool.map(lambda one: log.table_state(lake, *one, cursors=wanted[one]), wanted)
        states = dict(zip(wanted, found, strict=True))
    return {key: state for key, state in states.items() if state is not None}


def _generations(lake: Lake, table: str) -> list[int]:
    state = log.table_state(lake, "silver", table, cursors=[])
    return [state.generation] if state else [0]


@again
def _newest_event(lake: Lake, table: str) -> int | None:
    """The newest event time of a silver table, from its files' statistics."""
    try:
        actions = log.open_table(lake, "silver", table).get_add_actions(flatten=True)
    except TableNotFoundError:
        return None
    stats = pa.table(actions)
    name = f"max.{EVENT_TIME}"
    if name not in stats.column_names or stats.num_rows == 0:
        return None
    newest = pc.max(stats[name]).as_py()
    return to_micros(newest) if isinstance(newest, datetime) else None

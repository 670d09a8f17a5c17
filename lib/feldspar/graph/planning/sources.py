"""Steps that bring rows in: the generator's files, and new files, messages, rows to bronze."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from feldspar.graph.canonical import canonical
from feldspar.graph.observed import SourceState
from feldspar.graph.planning.draft import Draft, below, generator_is_off
from feldspar.graph.planning.pages import NextPages, next_pages
from feldspar.graph.planning.relations import NextRange, next_range
from feldspar.graph.planning.topics import NextLoad, next_load
from feldspar.graph.steps import GenerateStep, IngestStep, Status, Step
from feldspar.names import cursor
from feldspar.spec.source import (
    FilesSource,
    GeneratorSource,
    HttpSource,
    JdbcSource,
    KafkaSource,
)


def generate_steps(draft: Draft) -> Iterator[Step]:
    """One step for each generator."""
    for name, source in draft.graph.sources.items():
        if isinstance(source, GeneratorSource):
            status, reason = _generate(draft, name, source)
            if status is Status.RUN:
                draft.generating.add(source.folder)
            yield GenerateStep(f"files of {name}", status, reason, source=name)


def _generate(draft: Draft, name: str, source: GeneratorSource) -> tuple[Status, str]:
    made = draft.observed.generated.get(name)
    if source.unless:
        return Status.OFF, f"input is given: {source.unless}"
    if made is None:
        return Status.RUN, f"no finished files in {source.folder}"
    if made != canonical(source.options):
        text = f"options changed, and {source.folder} holds files of the old ones"
        return Status.BLOCKED, f"{text}: take another FELDSPAR_NAMESPACE"
    return Status.NOTHING, "made with these options"


def ingest_steps(draft: Draft) -> Iterator[Step]:
    """One step for each source of files, messages or rows; Delta sources have no bronze."""
    for name, source in draft.graph.sources.items():
        if isinstance(source, FilesSource):
            yield from _ingest_files(draft, name, source)
        elif isinstance(source, KafkaSource):
            yield from _ingest_topic(draft, name, source)
        elif isinstance(source, JdbcSource):
            yield from _ingest_relation(draft, name, source)
        elif isinstance(source, HttpSource):
            yield from _ingest_pages(draft, name, source)


def _ingest_files(draft: Draft, name: str, source: FilesSource) -> Iterator[IngestStep]:
    loaded, listed = _loads(draft, name)
    state = draft.observed.sources.get(name, SourceState())
    status, reason = draft.due(f"bronze.{name}", *_files(draft, source, state))
    step = IngestStep(
        f"bronze.{name}",
        status,
        reason,
        source=name,
        files=state.waiting,
        batch=max(loaded, listed) + 1,
        resume=False,
    )
    if loaded > listed and status is not Status.OFF:
        text = f"load {loaded} was interrupted: complete its file list"
        yield replace(step, status=Status.RUN, reason=text, batch=loaded, resume=True)
        if step.runs:
            # which of them the load had taken shows when its list is complete
            step = replace(step, reason="what waits beside the files of that load", files=())
    if status is Status.RUN:
        draft.dirty.add(("bronze", name))
    yield step


def _ingest_topic(draft: Draft, name: str, source: KafkaSource) -> Iterator[IngestStep]:
    loaded, listed = _loads(draft, name)
    topic = draft.observed.sources.get(name, SourceState()).topic
    found = NextLoad(Status.OFF, "its topic was not looked at")
    if topic is not None:
        found = next_load(topic, source, accept=draft.accept)
    step = IngestStep(
        f"bronze.{name}",
        found.status,
        found.reason,
        source=name,
        files=(),
        batch=max(loaded, listed) + 1,
        resume=False,
        messages=found.messages,
    )
    if loaded > listed:
        yield from _completed(draft, step, loaded, "offsets")
        return
    if step.messages is not None and step.messages.count:
        draft.dirty.add(("bronze", name))
    yield step


def _ingest_relation(draft: Draft, name: str, source: JdbcSource) -> Iterator[IngestStep]:
    loaded, listed = _loads(draft, name)
    state = draft.observed.sources.get(name, SourceState()).relation
    found = NextRange(Status.OFF, "its database was not looked at")
    if state is not None:
        found = next_range(state, source, accept=draft.accept)
    step = IngestStep(
        f"bronze.{name}",
        found.status,
        found.reason,
        source=name,
        files=(),
        batch=max(loaded, listed) + 1,
        resume=False,
        range=found.range,
    )
    if loaded > listed:
        yield from _completed(draft, step, loaded, "extracts")
        return
    if step.runs:
        draft.dirty.add(("bronze", name))
    yield step


def _ingest_pages(draft: Draft, name: str, source: HttpSource) -> Iterator[IngestStep]:
    loaded, listed = _loads(draft, name)
    state = draft.observed.sources.get(name, SourceState()).pages
    found = NextPages(Status.OFF, "its pages were not looked at")
    if state is not None:
        found = next_pages(state, source)
    step = IngestStep(
        f"bronze.{name}",
        found.status,
        found.reason,
        source=name,
        files=() if state is None else state.waiting,
        batch=max(loaded, listed) + 1,
        resume=False,
        asking=found.asking,
    )
    if loaded > listed:
        draft.dirty.add(("bronze", name))
        text = f"load {loaded} was interrupted: complete its file list"
        yield replace(step, status=Status.RUN, reason=text, batch=loaded, resume=True, asking=None)
        step = replace(step, status=Status.RUN, reason="what waits beside its files", files=())
    elif step.runs:
        draft.dirty.add(("bronze", name))
    yield step


def _completed(draft: Draft, step: IngestStep, loaded: int, listed: str) -> Iterator[IngestStep]:
    """First the list of a load that stopped, then what waits after it: that shows when the list is
    complete, what was observed is of before.
    """
    draft.dirty.add(("bronze", step.source))
    bare = replace(step, status=Status.RUN, messages=None, range=None)
    text = f"load {loaded} was interrupted: complete its list of {listed}"
    yield replace(bare, reason=text, batch=loaded, resume=True)
    yield replace(bare, reason="what waits after that load")


def _loads(draft: Draft, source: str) -> tuple[int, int]:
    """The newest load of a source that bronze has committed, and the newest that a list has."""
    tables = (("bronze", source), *(("ops", one) for one in ("files", "offsets", "extracts")))
    states = [draft.state(*one) for one in tables]
    name = cursor("ingest", source)
    loaded, *listed = [state.cursors.get(name, -1) if state else -1 for state in states]
    return loaded, max(listed)


def _files(draft: Draft, source: FilesSource, state: SourceState) -> tuple[Status, str]:
    if generator_is_off(draft.graph, source) and not (source.push and state.waiting):
        return Status.OFF, "its generator is off"
    if any(below(source, folder) for folder in draft.generating):
        return Status.RUN, "files are made by this run"
    if state.waiting:
        size = sum(file.size for file in state.waiting) / 1e6
        return Status.RUN, f"{len(state.waiting)} new files, {size:.1f} MB"
    return Status.NOTHING, f"no new files ({state.known} known)"

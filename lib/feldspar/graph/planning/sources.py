"""Steps that bring rows in: the generator's files, and new files to bronze."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from feldspar.graph.canonical import canonical
from feldspar.graph.observed import SourceState
from feldspar.graph.planning.draft import Draft, below, generator_is_off
from feldspar.graph.steps import GenerateStep, IngestStep, Status, Step
from feldspar.names import cursor
from feldspar.spec.source import FilesSource, GeneratorSource


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
    """One step for each source of files; Delta sources have no bronze."""
    for name, source in draft.graph.sources.items():
        if isinstance(source, FilesSource):
            yield from _ingest(draft, name, source)


def _ingest(draft: Draft, name: str, source: FilesSource) -> Iterator[IngestStep]:
    loaded, listed = _loads(draft, "bronze", name), _loads(draft, "ops", name)
    state = draft.observed.sources.get(name, SourceState())
    status, reason = _files(draft, source, state)
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


def _loads(draft: Draft, layer: str, source: str) -> int:
    """The newest load of a source that bronze, or the file list (ops), has committed."""
    state = draft.state(layer, "files" if layer == "ops" else source)
    return state.cursors.get(cursor("ingest", source), -1) if state else -1


def _files(draft: Draft, source: FilesSource, state: SourceState) -> tuple[Status, str]:
    if generator_is_off(draft.graph, source):
        return Status.OFF, "its generator is off"
    if any(below(source, folder) for folder in draft.generating):
        return Status.RUN, "files are made by this run"
    if state.waiting:
        size = sum(file.size for file in state.waiting) / 1e6
        return Status.RUN, f"{len(state.waiting)} new files, {size:.1f} MB"
    return Status.NOTHING, f"no new files ({state.known} known)"

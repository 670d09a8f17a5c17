"""The plan under construction: what was observed, and what earlier steps will have changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePath

from feldspar.graph.graph import Graph
from feldspar.graph.observed import Observed, TableId, TableState
from feldspar.graph.steps import Status
from feldspar.spec.source import FilesSource, GeneratorSource


@dataclass
class Draft:
    """Handed from one kind of step to the next; ``dirty`` tables change in this run."""

    graph: Graph
    observed: Observed
    accept: bool
    dirty: set[TableId] = field(default_factory=set)
    rebuilt: dict[TableId, int] = field(default_factory=dict)
    generating: set[str] = field(default_factory=set)
    resting: Mapping[str, str] = field(default_factory=dict)
    """Names of steps that are not due yet, and why."""

    def due(self, name: str, status: Status, reason: str) -> tuple[Status, str]:
        """What becomes of a step that would run, where it is not its time."""
        if status is Status.RUN and name in self.resting:
            return Status.OFF, self.resting[name]
        return status, reason

    def state(self, layer: str, name: str) -> TableState | None:
        """The deployed table."""
        return self.observed.tables.get((layer, name))

    def exists(self, layer: str, name: str) -> bool:
        """Whether the table is there when a later step starts."""
        return self.state(layer, name) is not None or (layer, name) in self.dirty

    def generation(self, layer: str, name: str) -> int:
        """The table's generation when a later step starts."""
        state = self.state(layer, name)
        return self.rebuilt.get((layer, name), state.generation if state else 0)


def generator_is_off(graph: Graph, source: FilesSource) -> bool:
    """Whether a source lies below the folder of a generator that was told not to run."""
    return any(
        isinstance(other, GeneratorSource) and bool(other.unless) and below(source, other.folder)
        for other in graph.sources.values()
    )


def below(source: FilesSource, folder: str) -> bool:
    """Whether a source reads from a folder or from under it."""
    return bool(source.path) and PurePath(source.path).is_relative_to(PurePath(folder))

"""Checks an environment's ``serving`` block against the project: grants of what is not there."""

from __future__ import annotations

from collections.abc import Iterator

from feldspar.errors import UsageError
from feldspar.graph.graph import Graph
from feldspar.spec.environment import Environment
from feldspar.spec.serving import faults, refuse_unsafe, unknown_names


def access_problems(environment: Environment, graph: Graph) -> Iterator[tuple[str, str]]:
    """What is wrong with the block, each with its mend."""
    yield from faults(environment.serving, environment.folder)
    yield from unknown_names(
        environment.serving,
        services=graph.services,
        sources=graph.sources,
        columns={column for entity in graph.entities.values() for column in entity.key},
    )


def refuse_wrong_access(environment: Environment, graph: Graph, *, host: str) -> None:
    """Stops before a server is started that would be asked by strangers, or by nobody.

    Raises:
        UsageError: says what to do.
    """
    folder, name = environment.folder, environment.name
    refuse_unsafe(environment.serving, folder=folder, environment=name, host=host)
    for problem, mend in access_problems(environment, graph):
        raise UsageError(f"conf/environments/{name}.yaml: {problem}", hint=mend)

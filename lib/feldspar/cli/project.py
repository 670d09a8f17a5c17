"""The project that a verb works on: its definitions and settings, read when asked for."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from feldspar.cli.arguments import Arguments
from feldspar.graph.compile import compile_graph
from feldspar.graph.graph import Graph
from feldspar.spec.environment import Environment, load_environment
from feldspar.spec.loading import Definitions, load_definitions


@dataclass(frozen=True)
class Project:
    """A conf folder, the name of an environment and the variables they may use."""

    conf: Path
    environment_name: str
    variables: Mapping[str, str]

    @staticmethod
    def of(arguments: Arguments) -> Project:
        """The project that --conf and --env name, with the process's variables."""
        return Project(Path(arguments.conf), arguments.env, dict(os.environ))

    @property
    def folder(self) -> Path:
        """The project's root."""
        return self.conf.absolute().parent

    def definitions(self) -> Definitions:
        """What conf/ says, file by file.

        Raises:
            DefinitionError: with every problem of shape.
        """
        return load_definitions(self.conf, self.variables)

    def graph(self) -> Graph:
        """What conf/ means.

        Raises:
            DefinitionError: with every problem found.
        """
        return compile_graph(self.definitions())

    def environment(self) -> Environment:
        """The settings of the environment.

        Raises:
            UsageError: there is none of this name, or it needs the local stack.
        """
        return load_environment(self.conf, self.environment_name, self.variables)

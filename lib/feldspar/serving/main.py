"""Composition root of the serving process: reads conf/ and builds the app. No JVM in here.

``FELDSPAR_CONF`` (default ``conf``) and ``FELDSPAR_ENV`` (default ``local``) say which project.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from fastapi import FastAPI

from feldspar.graph.compile import compile_graph
from feldspar.serving.access.logs import configure_logs
from feldspar.serving.app import create_app
from feldspar.serving.backend import Backend
from feldspar.spec.environment import load_environment
from feldspar.spec.loading import load_definitions


def build_backend(variables: Mapping[str, str]) -> Backend:
    """The backend of the project that the variables name.

    Raises:
        UsageError: no such project or environment, or the local stack does not run.
        DefinitionError: conf/ is wrong.
        UnreachableError: MLflow does not answer.
    """
    conf = Path(variables.get("FELDSPAR_CONF", "conf"))
    environment = load_environment(conf, variables.get("FELDSPAR_ENV", "local"), variables)
    graph = compile_graph(load_definitions(conf, variables))
    # on-demand functions may live beside the project
    sys.path.insert(0, str(environment.folder / "lib"))
    return Backend(graph, environment)


def app() -> FastAPI:
    """The app of this process's variables: ``uvicorn --factory feldspar.serving.main:app``."""
    backend = build_backend(os.environ)
    configure_logs(backend.environment.serving.log, folder=backend.environment.folder)
    return create_app(backend)

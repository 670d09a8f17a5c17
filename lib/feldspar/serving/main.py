"""Composition root of the serving process: reads conf/ and builds the app. No JVM in here.

``FELDSPAR_CONF`` (default ``conf``) and ``FELDSPAR_ENV`` (default ``local``) say which project.
"""

from __future__ import annotations

import gc
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

_SWITCH_SECONDS = 0.0005
"""Of 0.005: the most scores a second went from 2,727 to 3,135, their p99 from 47 to 26 ms."""


_YOUNG = 10_000
"""Objects more than before, of 700, until those are looked through: a batch makes thousands, and
scores a second went up by 5 to 10 %."""


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
    return app_of(build_backend(os.environ))


def app_of(backend: Backend) -> FastAPI:
    """The app of a backend in a process of its own, with its logs."""
    environment = backend.environment
    configure_logs(environment.serving.log, folder=environment.folder)
    return create_app(backend, warm=_settle)


def _settle() -> None:
    """What a process that answers requests needs once all is loaded.

    A full collection walks 215,000 objects of libraries and models: 110 ms in the middle of some
    request, and nothing found. What was loaded is taken out of its sight: 3 us. And a thread that
    brings something, such as values from Redis, need not wait 5 ms for the interpreter.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG)
    sys.setswitchinterval(_SWITCH_SECONDS)

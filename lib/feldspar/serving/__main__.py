"""``python -m feldspar.serving --port 8000``: runs the HTTP server until it is interrupted."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from typing import Any

import uvicorn
from fastapi import FastAPI

from feldspar.errors import FeldsparError
from feldspar.serving.main import app_of, build_backend
from feldspar.serving.metrics import SHARED_METRICS
from feldspar.serving.sending import WholeAnswers
from feldspar.spec.serving import refuse_unsafe

_KEEP_ALIVE = 75
"""Seconds that an idle connection stays open: longer than callers and load balancers (60 mostly)
keep theirs, or a request meets a connection that is just being closed: 2 of 180,000 did at 5."""


def main() -> int:
    """Serves; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m feldspar.serving", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--workers", type=int, default=1, help="processes that share the port")
    arguments = parser.parse_args()
    try:
        built = _app(host=arguments.host)
    except FeldsparError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    options: dict[str, Any] = {"host": arguments.host, "port": arguments.port, "access_log": False}
    # its lines go where ours go; what serves is nobody's business
    options |= {"log_config": None, "server_header": False, "http": WholeAnswers}
    options |= {"timeout_keep_alive": _KEEP_ALIVE}
    if arguments.workers == 1:
        uvicorn.run(built, **options)
        return 0
    with tempfile.TemporaryDirectory(prefix="feldspar-metrics-") as folder:
        # processes add up their figures through files; see prometheus_client's multiprocess mode
        os.environ[SHARED_METRICS] = folder
        options |= {"factory": True, "workers": arguments.workers}
        uvicorn.run("feldspar.serving.main:app", **options)
    return 0


def _app(*, host: str) -> FastAPI:
    backend = build_backend(os.environ)
    environment = backend.environment
    spec, folder = environment.serving, environment.folder
    refuse_unsafe(spec, folder=folder, environment=environment.name, host=host)
    return app_of(backend)


if __name__ == "__main__":
    sys.exit(main())

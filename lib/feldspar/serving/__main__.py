"""``python -m feldspar.serving --port 8000``: runs the HTTP server until it is interrupted."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from typing import Any

import uvicorn

from feldspar.errors import FeldsparError
from feldspar.serving.main import app
from feldspar.serving.metrics import SHARED_METRICS


def main() -> int:
    """Serves; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m feldspar.serving", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--workers", type=int, default=1, help="processes that share the port")
    arguments = parser.parse_args()
    try:
        built = app()
    except FeldsparError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    options: dict[str, Any] = {"host": arguments.host, "port": arguments.port, "access_log": False}
    if arguments.workers == 1:
        uvicorn.run(built, **options)
        return 0
    with tempfile.TemporaryDirectory(prefix="feldspar-metrics-") as folder:
        # processes add up their figures through files; see prometheus_client's multiprocess mode
        os.environ[SHARED_METRICS] = folder
        options |= {"factory": True, "workers": arguments.workers}
        uvicorn.run("feldspar.serving.main:app", **options)
    return 0


if __name__ == "__main__":
    sys.exit(main())

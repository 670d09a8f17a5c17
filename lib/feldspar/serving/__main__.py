"""``python -m feldspar.serving --port 8000``: runs the HTTP server until it is interrupted."""

from __future__ import annotations

import argparse
import sys

import uvicorn

from feldspar.errors import FeldsparError
from feldspar.serving.main import app


def main() -> int:
    """Serves; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m feldspar.serving", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    arguments = parser.parse_args()
    try:
        built = app()
    except FeldsparError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    uvicorn.run(built, host=arguments.host, port=arguments.port, access_log=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())

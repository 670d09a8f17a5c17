"""``feldspar serve``: starts the HTTP server as a child, with the project's settings."""

from __future__ import annotations

import sys

from feldspar.cli.access import refuse_wrong_access
from feldspar.cli.arguments import Arguments, Subparsers, add_verb
from feldspar.cli.child import run_child
from feldspar.cli.project import Project
from feldspar.errors import UsageError

_PORTS = range(65_536)


def add_parser(subparsers: Subparsers) -> None:
    """Adds the verb."""
    example = "feldspar serve\nfeldspar serve --port 8080 --workers 2"
    parser = add_verb(subparsers, "serve", example=example, handler=serve)
    parser.add_argument("--host", default="127.0.0.1", help="address (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, default=8000, help="port (default: 8000)")
    help_text = "processes that share the port (default: 1; one a core is most)"
    parser.add_argument("--workers", type=int, default=1, help=help_text)


def serve(arguments: Arguments) -> int:
    """Runs until it is interrupted; definitions and settings are checked first."""
    if arguments.port not in _PORTS:
        raise UsageError(f"--port {arguments.port} is no port", hint="write 0 to 65535")
    if arguments.workers < 1:
        raise UsageError(f"--workers {arguments.workers}: there is at least one", hint="write 1")
    project = Project.of(arguments)
    refuse_wrong_access(project.environment(), project.graph(), host=arguments.host)
    command = [sys.executable, "-m", "feldspar.serving"]
    command += ["--host", arguments.host, "--port", str(arguments.port)]
    command += ["--workers", str(arguments.workers)]
    variables = {
        **project.variables,
        "FELDSPAR_CONF": str(project.conf.absolute()),
        "FELDSPAR_ENV": project.environment_name,
    }
    return run_child(command, variables)

"""``feldspar up``, ``down`` and ``doctor``: the local servers and what they need.

The servers themselves are in ``stack``; the checks of the doctor in ``cli.doctor``; how servers and
tables are, in ``cli.status``.
"""

from __future__ import annotations

import sys

from feldspar.cli.arguments import DONE, FAILED, Arguments, Subparsers, add_verb
from feldspar.cli.doctor import examine
from feldspar.cli.output import print_json, say
from feldspar.cli.project import Project
from feldspar.errors import UsageError
from feldspar.spec.environment import load_stack
from feldspar.stack.lifecycle import down, status, up


def add_parser(subparsers: Subparsers) -> None:
    """Adds the three verbs."""
    add_verb(subparsers, "up", example="feldspar up\nfeldspar up --json", handler=bring_up)
    add_verb(subparsers, "down", example="feldspar down", handler=take_down)
    add_verb(subparsers, "doctor", example="feldspar doctor\nfeldspar doctor --json", handler=see)


def bring_up(arguments: Arguments) -> int:
    """Starts what does not run; an environment without a stack is wrong use."""
    project = Project.of(arguments)
    ports = load_stack(project.conf, project.environment_name, project.variables)
    if ports is None:
        raise UsageError(
            f"environment {project.environment_name!r} has no local stack to bring up",
            hint="its servers are someone else's; feldspar doctor looks at them",
        )
    result = up(project.folder, ports, progress=_progress)
    servers = status(project.folder)
    if arguments.json:
        print_json({"started": result.started, "found": result.found, "servers": servers})
    else:
        for server in servers:
            began = "started" if server.name in result.started else "was running"
            say(f"{server.name:<7} {began:<12} port {server.port}")
    return DONE


def take_down(arguments: Arguments) -> int:
    """Stops what ``up`` started; nothing to stop is fine."""
    stopped = down(Project.of(arguments).folder, progress=_progress)
    if arguments.json:
        print_json({"stopped": stopped})
    else:
        say(f"stopped: {', '.join(stopped)}" if stopped else "nothing of this project runs")
    return DONE


def see(arguments: Arguments) -> int:
    """Prints what the doctor found; fails when anything is not well."""
    findings = examine(Project.of(arguments))
    well = all(finding.well for finding in findings)
    if arguments.json:
        print_json({"well": well, "findings": findings})
        return DONE if well else FAILED
    for finding in findings:
        say(f"{'ok  ' if finding.well else 'FAIL'}  {finding.check:<8} {finding.found}")
        if finding.hint:
            say(f"                {finding.hint}")
    return DONE if well else FAILED


def _progress(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()

"""``feldspar status``: servers, then a line for each table and each view in Redis; no JVM.

What is looked up is in ``stores.measured``, what is made of it in ``monitor.standing``.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict

from feldspar.cli.arguments import DONE, FAILED, Arguments, Subparsers, add_verb
from feldspar.cli.output import print_json, say
from feldspar.cli.project import Project
from feldspar.cli.tables import print_table, size_text, time_text
from feldspar.errors import DefinitionError, FeldsparError
from feldspar.monitor.exposition import exposition
from feldspar.monitor.findings import counted, findings
from feldspar.monitor.standing import Freshness, Lag, Line, Standing, standing
from feldspar.spec.environment import load_stack
from feldspar.stack.lifecycle import ServerStatus, status
from feldspar.stores.measured import Refusals, measure
from feldspar.stores.online import OnlineStore
from feldspar.stores.tables.steps import StepRow
from feldspar.times import rough_duration

EXAMPLE = """\
feldspar status
feldspar status --check
feldspar status --json
feldspar status --prometheus > feldspar.prom"""
_COLUMNS = (
    "table",
    "rows",
    "newest event",
    "age",
    "behind",
    "refused",
    "last run",
    "files",
    "size",
)
_NUMBERS = ("rows", "files", "size")
_WORST = 12
"""Findings that are told one by one; the rest is counted."""


def add_parser(subparsers: Subparsers) -> None:
    """Adds the verb."""
    parser = add_verb(subparsers, "status", example=EXAMPLE, handler=show_status)
    parser.add_argument(
        "--check",
        action="store_true",
        help="fail when a freshness target is missed, a last run failed, or it is not known",
    )
    parser.add_argument("--prometheus", action="store_true", help="the same as text for Prometheus")


def show_status(arguments: Arguments) -> int:
    """Shows how servers and tables are; fails when a server is not well.

    Raises:
        DefinitionError: conf/ is wrong; the servers were shown.
    """
    project = Project.of(arguments)
    servers = _servers(project)
    try:
        found, trouble = _look(project), None
    except FeldsparError as error:
        found, trouble = None, error
    _print(arguments, servers, found, trouble)
    if isinstance(trouble, DefinitionError):
        raise trouble
    well = all(server.condition == "well" for server in servers)
    missed = found is None or any(one.alarms for one in findings(found))
    return DONE if well and not (missed and arguments.check) else FAILED


def _servers(project: Project) -> tuple[ServerStatus, ...]:
    """The local ones, where the environment has such."""
    stack = load_stack(project.conf, project.environment_name, project.variables)
    return () if stack is None else status(project.folder)


def _look(project: Project) -> Standing:
    graph, environment = project.graph(), project.environment()
    with OnlineStore.of(environment) as store:
        measured = measure(graph, environment, store=store)
    return standing(graph, measured, namespace=environment.namespace)


def _print(
    arguments: Arguments,
    servers: Sequence[ServerStatus],
    found: Standing | None,
    trouble: FeldsparError | None,
) -> None:
    if arguments.prometheus and found is not None:
        up = {server.name: server.condition == "well" for server in servers}
        sys.stdout.write(exposition(found, servers=up).decode())
    elif arguments.json and not isinstance(trouble, DefinitionError):
        print_json({"servers": servers, **_facts(found), "trouble": _text(trouble)})
    elif not (arguments.json or arguments.prometheus):
        for server in servers:
            say(_server_line(server))
        if found is not None:
            _print_standing(found)
    if trouble is not None and not isinstance(trouble, DefinitionError):
        sys.stderr.write(f"{trouble}\n")


def _text(trouble: FeldsparError | None) -> str:
    return "" if trouble is None else trouble.message


def _print_standing(found: Standing) -> None:
    clock = time_text(found.clock) or "no events yet"
    say(f"namespace {found.namespace}, clock {clock}")
    if found.lines:
        print_table(_COLUMNS, [_row(line) for line in found.lines], numbers=_NUMBERS)
    seen = findings(found)
    for finding in seen[:_WORST]:
        say(f"{finding.kind:<8} {finding.text}")
    if len(seen) > _WORST:
        say(f"{len(seen) - _WORST} more: feldspar status --json")
    commands = list(dict.fromkeys(finding.next for finding in seen))
    say(f"next: {'; '.join(commands)}" if commands else "all is well")


def _row(line: Line) -> tuple[object, ...]:
    return (
        line.name,
        None if line.rows is None else f"{line.rows:,}",
        time_text(line.freshness.newest),
        _age(line.freshness),
        _behind(line.lag),
        _refused(line.refused),
        _last(line.last),
        line.files,
        size_text(line.bytes),
    )


def _age(one: Freshness) -> str | None:
    age = None if one.age is None else rough_duration(one.age)
    if one.target is None:
        return age
    return f"{age or 'unknown'}, {one.verdict} ({rough_duration(one.target)})"


def _behind(lag: Lag | None) -> str | None:
    if lag is None:
        return None
    if lag.of_files:
        return f"{counted(lag.files, 'file')}, {size_text(lag.bytes)}" if lag.files else "no"
    if not lag.is_behind:
        return "no"
    rows = [] if lag.rows is None else [counted(lag.rows, "row")]
    versions = [counted(lag.versions, "version")] if lag.versions else []
    return ", ".join([*rows, *versions])


def _refused(one: Refusals | None) -> str | None:
    if one is None:
        return None
    share = 100 * one.refused / one.rows_in if one.rows_in else 0.0
    return f"{share:.2f} %, {one.recent_refused:,} in a day" if one.recent_in else f"{share:.2f} %"


def _last(row: StepRow | None) -> str | None:
    return None if row is None else f"{row.outcome} in {row.seconds:.1f} s"


def _server_line(server: ServerStatus) -> str:
    port = f"port {server.port}" if server.port else "no port yet"
    pid = f"pid {server.pid}" if server.pid else ""
    return f"{server.name:<7} {server.condition:<5} {port:<12} {pid} {server.detail}".rstrip()


def _facts(found: Standing | None) -> dict[str, object]:
    if found is None:
        return {"tables": [], "findings": []}
    return {
        "namespace": found.namespace,
        "at": found.at,
        "clock": found.clock,
        "tables": [_line_facts(line) for line in found.lines],
        "steps": found.steps,
        "online_bytes": found.online_bytes,
        "findings": findings(found),
    }


def _line_facts(line: Line) -> dict[str, object]:
    fresh = line.freshness
    return {
        "name": line.name,
        "version": line.version,
        "rows": line.rows,
        "bytes": line.bytes,
        "files": line.files,
        "newest_event": fresh.newest,
        "freshness_seconds": None if fresh.age is None else fresh.age.total_seconds(),
        "target_seconds": None if fresh.target is None else fresh.target.total_seconds(),
        "verdict": fresh.verdict,
        "lag": None if line.lag is None else {**asdict(line.lag), "is_behind": line.lag.is_behind},
        "refused": line.refused,
        "last": line.last,
    }

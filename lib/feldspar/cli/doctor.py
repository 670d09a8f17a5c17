"""What ``feldspar doctor`` looks at: each check says what it found, and what to do about it.

A check never raises and changes nothing; starting what is missing is ``make setup`` and ``up``.
"""

from __future__ import annotations

import platform
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from feldspar.cli.access import access_problems
from feldspar.cli.project import Project
from feldspar.errors import FeldsparError
from feldspar.launch.jars import (
    CONNECTORS,
    LOCK_FILE,
    cache_folder,
    damaged_jars,
    how_to_get,
    read_lock,
)
from feldspar.launch.java import find_java, java_version
from feldspar.spec.environment import Environment, connectors_of, load_stack
from feldspar.stack.lifecycle import status
from feldspar.stack.ports import is_free
from feldspar.stack.servers import redis_command
from feldspar.stores.objects import creates_once, probe

_GIB = 1 << 30
_LEAST_DISK = 5 * _GIB
_PYTHONS = ((3, 11), (3, 12))


@dataclass(frozen=True)
class Finding:
    """What one check found; ``hint`` is empty when all is well."""

    check: str
    well: bool
    found: str
    hint: str = ""


def examine(project: Project) -> tuple[Finding, ...]:
    """Every check, in the order in which a start would stumble."""
    checks: tuple[tuple[str, Callable[[Project], Finding]], ...] = (
        ("python", _python),
        ("java", _java),
        ("jars", _jars),
        ("disk", _disk),
        ("ports", _ports),
        ("servers", _servers),
        ("storage", _storage),
        ("commits", _commits),
        ("redis", _redis),
        ("serving", _serving),
    )
    return tuple(_safely(name, check, project) for name, check in checks)


def _safely(name: str, check: Callable[[Project], Finding], project: Project) -> Finding:
    try:
        return check(project)
    except FeldsparError as error:
        return Finding(name, well=False, found=error.message, hint=error.hint)
    except OSError as error:
        return Finding(name, well=False, found=str(error), hint="make up, or check the addresses")


def _python(_: Project) -> Finding:
    well = sys.version_info[:2] in _PYTHONS
    hint = "" if well else "use 3.11 or 3.12"
    return Finding("python", well=well, found=platform.python_version(), hint=hint)


def _java(project: Project) -> Finding:
    path = find_java(project.variables)
    return Finding("java", well=True, found=f"{java_version(path)} at {path}")


def _jars(project: Project) -> Finding:
    lists = {LOCK_FILE: "make setup"}
    lists |= {CONNECTORS[name]: how_to_get(name) for name in connectors_of(project.conf)}
    well = []
    for path, hint in lists.items():
        lock = read_lock(path)
        folder, number = cache_folder(lock, project.variables), len(lock.jars)
        damaged = damaged_jars(folder, lock)
        if damaged:
            found = f"{len(damaged)} of {number} missing or damaged in {folder}: {damaged[0]}"
            return Finding("jars", well=False, found=found, hint=hint)
        well.append(f"{number}, checksums right, in {folder}")
    return Finding("jars", well=True, found="; ".join(well))


def _disk(project: Project) -> Finding:
    free = shutil.disk_usage(project.folder).free
    well = free >= _LEAST_DISK
    found = f"{free / _GIB:.1f} GiB free"
    hint = "" if well else f"a run needs some {_LEAST_DISK // _GIB} GiB"
    return Finding("disk", well=well, found=found, hint=hint)


def _ports(project: Project) -> Finding:
    ports = load_stack(project.conf, project.environment_name, project.variables)
    if ports is None:
        return Finding("ports", well=True, found="this environment has no local stack")
    ours = {server.port for server in status(project.folder) if server.condition != "down"}
    wanted = {"s3": ports.s3_port, "redis": ports.redis_port, "mlflow": ports.mlflow_port}
    taken = [
        f"{port} ({name})"
        for name, port in wanted.items()
        if port and port not in ours and not is_free(port)
    ]
    if taken:
        found = f"in use by another program: {', '.join(taken)}"
        return Finding("ports", well=False, found=found, hint="free them, or configure others")
    said = ", ".join(f"{name} {port or 'any'}" for name, port in wanted.items())
    return Finding("ports", well=True, found=f"{said}: free or ours")


def _servers(project: Project) -> Finding:
    if load_stack(project.conf, project.environment_name, project.variables) is None:
        return Finding("servers", well=True, found="this environment has no local stack")
    servers = status(project.folder)
    well = all(server.condition == "well" for server in servers)
    found = ", ".join(f"{server.name} {server.condition}" for server in servers)
    return Finding("servers", well=well, found=found, hint="" if well else "make up")


def _storage(project: Project) -> Finding:
    storage = project.environment().storage
    probe(storage)
    where = f"{storage.root} at {storage.endpoint}" if storage.endpoint else storage.root
    return Finding("storage", well=True, found=f"{where}: answers and takes the credentials")


def _commits(project: Project) -> Finding:
    storage = project.environment().storage
    if not storage.on_s3:
        return Finding("commits", well=True, found="a folder: one driver at a time")
    if creates_once(storage):
        return Finding("commits", well=True, found="no driver overwrites another's")
    found = "this server writes over an object that it was asked to create"
    hint = "two drivers would lose commits: take a server with conditional writes (If-None-Match)"
    return Finding("commits", well=False, found=found, hint=hint)


def _redis(project: Project) -> Finding:
    environment: Environment = project.environment()
    url = urlsplit(environment.redis.url)
    if url.scheme != "redis" or url.password:
        return Finding("redis", well=True, found="not looked at: it wants TLS or a login")
    host, port = url.hostname or "localhost", url.port or 6379
    policy = redis_command(host, port, "CONFIG", "GET", "maxmemory-policy").split()[-1]
    if policy.startswith(("allkeys", "volatile")):
        hint = "features would vanish in silence: CONFIG SET maxmemory-policy noeviction"
        return Finding("redis", well=False, found=f"maxmemory-policy is {policy}", hint=hint)
    return Finding("redis", well=True, found=f"{host}:{port} answers, maxmemory-policy {policy}")


def _serving(project: Project) -> Finding:
    environment = project.environment()
    spec = environment.serving
    if not spec.restricted:
        return Finding("serving", well=True, found="open, to this machine alone")
    for found, hint in access_problems(environment, project.graph()):
        return Finding("serving", well=False, found=found, hint=hint)
    callers = [*spec.keys, *([f"tokens of {spec.jwt.issuer}"] if spec.jwt else [])]
    return Finding("serving", well=True, found=f"restricted to {', '.join(callers)}")

"""Brings the local servers up, shows them, takes them down; each call may be repeated.

Only processes that this project started are ever stopped (see ``stack.processes``).
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from feldspar.errors import StoreError, UsageError
from feldspar.spec.environment import StackSpec
from feldspar.stack.ports import free_port, is_free
from feldspar.stack.processes import ProcessId, ended_within, is_alive, spawn, stop
from feldspar.stack.servers import (
    NAMES,
    PORTS,
    Server,
    new_keys,
    refuse_full_disk,
    server,
    values_for_environments,
)
from feldspar.stack.state import StackState, load_state, save_state, stack_folder

START_SECONDS = 180.0
_POLL_SECONDS = 0.2
_SECONDS_BETWEEN_LINES = 5.0
_LOG_LINES = 12

Condition = Literal["well", "ill", "down"]


@dataclass(frozen=True)
class ServerStatus:
    """One server as it is now; ``address`` is empty for one that was never up."""

    name: str
    condition: Condition
    port: int
    pid: int
    detail: str


@dataclass(frozen=True)
class UpResult:
    """What ``up`` had to start and what it found running, by name."""

    started: tuple[str, ...]
    found: tuple[str, ...]


def up(project: Path, ports: StackSpec, *, progress: Callable[[str], None]) -> UpResult:
    """Starts what does not run, waits until all is well, and keeps what it did.

    Args:
        project: the project's root; data and state are under ``.feldspar/stack`` there.
        ports: the configured ports.
        progress: gets a line whenever something changes.

    Raises:
        UsageError: a configured port is in use by another program.
        StoreError: the disk is as good as full; or a server ended or did not become well in
            time, with the end of its log.
    """
    with _alone(project):
        refuse_full_disk(stack_folder(project))
        state = load_state(project)
        running = {name for name in NAMES if _runs(state, name)}
        _refuse_moved_ports(state, ports, running)
        state = _with_ports_and_keys(state, ports, running)
        missing = [name for name in NAMES if name not in running]
        servers = {name: server(name, project, state=state) for name in NAMES}
        for name in missing:
            progress(f"{name}: starting on port {state.ports[name]}")
            process = _start(servers[name])
            state = replace(state, processes={**state.processes, name: process})
            save_state(project, state)
        _wait_until_well(servers, state.processes, progress)
        save_state(project, replace(state, values=values_for_environments(state)))
        return UpResult(tuple(missing), tuple(name for name in NAMES if name in running))


def down(project: Path, *, progress: Callable[[str], None]) -> tuple[str, ...]:
    """Stops what ``up`` started and still runs; returns the names."""
    with _alone(project):
        state = load_state(project)
        save_state(project, replace(state, values={}))
        running = tuple(name for name in NAMES if _runs(state, name))
        for name in running:
            progress(f"{name}: stopping")
        stop([state.processes[name] for name in running])
        save_state(project, replace(state, values={}, processes={}))
        return running


def status(project: Path) -> tuple[ServerStatus, ...]:
    """Each server as it is at this moment; starts and changes nothing."""
    state = load_state(project)
    return tuple(_status(project, state, name) for name in NAMES)


def _status(project: Path, state: StackState, name: str) -> ServerStatus:
    port = state.ports.get(name, 0)
    if not _runs(state, name):
        return ServerStatus(name, "down", port, 0, "make up starts it")
    pid = state.processes[name].pid
    fault = _fault(server(name, project, state=state))
    return ServerStatus(name, "ill" if fault else "well", port, pid, fault)


def _runs(state: StackState, name: str) -> bool:
    return name in state.processes and is_alive(state.processes[name])


def _refuse_moved_ports(state: StackState, ports: StackSpec, running: set[str]) -> None:
    for name in sorted(running):
        wanted = _configured(ports, name)
        if wanted and wanted != state.ports[name]:
            raise UsageError(
                f"{name} runs on port {state.ports[name]}, the environment now says {wanted}",
                hint="make down, then make up",
            )


def _with_ports_and_keys(state: StackState, ports: StackSpec, running: set[str]) -> StackState:
    chosen = {use: state.ports[use] for name in running for use in PORTS[name]}
    for name in (name for name in NAMES if name not in running):
        for use in PORTS[name]:
            wanted = _configured(ports, use)
            chosen[use] = wanted or _kept_or_free(state.ports.get(use, 0), chosen)
            if wanted and not is_free(wanted):
                raise UsageError(
                    f"port {wanted} for {name} is in use by another program",
                    hint=f"free it, or set stack.{name}_port (0 picks a free one)",
                )
    return replace(state, ports=chosen, keys=state.keys or new_keys())


def _kept_or_free(kept: int, chosen: Mapping[str, int]) -> int:
    taken = set(chosen.values())
    return kept if kept and kept not in taken and is_free(kept) else free_port(taken)


def _configured(ports: StackSpec, use: str) -> int:
    wanted = {"s3": ports.s3_port, "redis": ports.redis_port, "mlflow": ports.mlflow_port}
    return wanted.get(use, 0)


def _start(started: Server) -> ProcessId:
    return spawn(started.command, variables=started.variables, log=started.log)


def _wait_until_well(
    servers: Mapping[str, Server],
    processes: Mapping[str, ProcessId],
    progress: Callable[[str], None],
) -> None:
    begun = said = time.monotonic()
    waiting = dict(servers)
    while waiting:
        faults = {name: _fault(waited) for name, waited in waiting.items()}
        for name in [name for name, fault in faults.items() if not fault]:
            progress(f"{name}: well after {time.monotonic() - begun:.1f} s")
            del waiting[name]
        seconds = time.monotonic() - begun
        for name, waited in waiting.items():
            _refuse_hopeless(waited, processes[name], seconds=seconds, fault=faults[name])
        if waiting and time.monotonic() - said > _SECONDS_BETWEEN_LINES:
            said = time.monotonic()
            progress(f"{', '.join(waiting)}: still starting, {seconds:.0f} s so far")


def _refuse_hopeless(waited: Server, process: ProcessId, *, seconds: float, fault: str) -> None:
    """Waits a moment for the process to end: a server that ended will never be well."""
    what = ""
    if ended_within(process, _POLL_SECONDS):
        what = "ended"
    elif seconds > START_SECONDS:
        what = f"is not well after {seconds:.0f} s ({fault})"
    if what:
        lines = waited.log.read_text(encoding="utf-8", errors="replace").splitlines()
        text = "\n".join([f"the {waited.name} server {what}; its log ends:", *lines[-_LOG_LINES:]])
        raise StoreError(text, hint=f"see {waited.log}")


def _fault(probed: Server) -> str:
    """Why a server is not well; empty when it is."""
    try:
        probed.probe()
    except (StoreError, OSError) as error:
        return str(error)
    return ""


@contextmanager
def _alone(project: Path) -> Iterator[None]:
    """Two commands on one project do not start the same servers twice."""
    folder = stack_folder(project)
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)

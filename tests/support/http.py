"""A real HTTP server for an app, on a free port of this machine, for as long as a test needs it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import uvicorn
from fastapi import FastAPI

_SECONDS = 60.0


class _Server(uvicorn.Server):
    """Tells when it is ready, or that it will never be."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets)
        finally:
            self.ready.set()


@contextmanager
def serving(app: FastAPI) -> Iterator[httpx.Client]:
    """A client of the running app."""
    # no proxy of the environment stands between a test and its own machine
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = _Server(uvicorn.Config(app, log_level="error"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            assert server.ready.wait(_SECONDS), "the server did not start"
            assert server.started, "the server refused to start"
            url = f"http://127.0.0.1:{listening.getsockname()[1]}"
            with httpx.Client(base_url=url, timeout=_SECONDS, trust_env=False) as client:
                yield client
        finally:
            server.should_exit = True
            thread.join()

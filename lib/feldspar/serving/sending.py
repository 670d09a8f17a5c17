"""Sends an answer in one piece: uvicorn writes its head and its body one after the other.

Each write is a call of the system and wakes whoever waits at the other end: 20 of the 370 us that a
score costs, and as much for the caller.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class WholeAnswers(HttpToolsProtocol):
    """Uvicorn's protocol of one connection; ``uvicorn.run(http=WholeAnswers)``."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Hands on the connection, which gathers what is written to it."""
        super().connection_made(Gathering(transport, self.loop))  # type: ignore[arg-type]


class Gathering:
    """A transport that writes at the end of the loop's turn what it was given in it.

    Args:
        transport: the connection's own.
        loop: that it lives on.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._loop = transport, loop
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> None:
        """Writes before the loop does anything else but what waits already."""
        if not self._parts:
            self._loop.call_soon(self._flush)
        self._parts.append(data)

    def close(self) -> None:
        """Writes what is left, and closes."""
        self._flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def _flush(self) -> None:
        if self._parts:
            parts, self._parts = self._parts, []
            self._transport.write(b"".join(parts))

"""Apps of a few lines and a client that calls them in this process, through real ASGI messages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import httpx

from feldspar.serving.access.guard import App, Guard, Scope, Send
from feldspar.serving.access.sizes import Receive
from feldspar.spec.serving import ServingSpec

HERE = "http://127.0.0.1:8000"
KEY = "0123456789abcdefghijklmnopqrstuv"
KEYED: dict[str, Any] = {"keys": {"me": {"secret": KEY, "actions": "*"}}}
SENT = {"x-api-key": KEY}


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers the body that it was sent."""
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message["body"], message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


def guarded(app: App = echo, **block: Any) -> Guard:
    """The app behind a guard with this ``serving`` block."""
    return Guard(app, ServingSpec.model_validate(block), Path())


def ask(app: Any, *requests: httpx.Request, client: str = "127.0.0.1") -> list[httpx.Response]:
    """The answers to requests, one after the other."""

    async def answers() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app, client=(client, 5))
        async with httpx.AsyncClient(transport=transport) as asking:
            return [await asking.send(request) for request in requests]

    return asyncio.run(answers())


def request(path: str = "/score", method: str = "POST", **more: Any) -> httpx.Request:
    """A request to this machine."""
    return httpx.Request(method, f"{HERE}{path}", **more)


async def chunks(parts: Sequence[bytes]) -> AsyncIterator[bytes]:
    """A body whose length is not declared."""
    for part in parts:
        yield part

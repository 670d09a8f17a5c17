"""Stands before the app: every request passes here, and nothing else leaves but what is meant to.

In this order: an id; a rule for the route, else 404 or 405; who asks, 401; how often, 429; whether
they may do such a thing at all, 403; the size of the body, 413; the time, 504. What the app does
not expect becomes a 500 that says the id and no more. Plain ASGI: Starlette's own base class for
middleware costs ten times as much as all of this.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from pathlib import Path
from typing import Any

from feldspar.serving.access.callers import NOBODY, Caller, RefusedError
from feldspar.serving.access.correlation import REQUEST_ID, request_id
from feldspar.serving.access.credentials import Credentials, Headers, LoopbackAlone
from feldspar.serving.access.logs import ACCESS, AUDIT, SERVER, log_fields
from feldspar.serving.access.rates import Rates
from feldspar.serving.access.rules import Need, Routes, Rule
from feldspar.serving.access.sizes import Message, Receive, body_within
from feldspar.spec.serving import ServingSpec

Scope = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_ALWAYS = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))
_NO_RULE = Rule("unknown", Need.NOTHING)
_ACCESS, _AUDIT, _SERVER = (logging.getLogger(name) for name in (ACCESS, AUDIT, SERVER))
REFUSALS: dict[int | str, dict[str, Any]] = {
    401: {"description": "Who asks is not known"},
    403: {"description": "The caller may not do this; the body says what it may"},
    413: {"description": "The body is larger than the limit"},
    429: {"description": "The caller asks too often; Retry-After says when to come back"},
    500: {"description": "Something unexpected; the body has the id by which the log tells more"},
    504: {"description": "Not answered in time"},
}
"""What the guard may answer, for OpenAPI."""
_AUDITED = frozenset({401, 403, 413, 429})
# parameters that name a definition of the project; those of others may be a customer's
_NAMED = ("{service}", "{source}")


class Guard:
    """Access, limits, ids and logs of an ASGI app.

    Args:
        app: what answers; finds ``caller`` and ``request_id`` in ``scope["state"]``.
        spec: the environment's block.
        folder: the project's root.
        routes: what each route needs.
    """

    def __init__(
        self, app: App, spec: ServingSpec, folder: Path, routes: Routes | None = None
    ) -> None:
        self._app, self._limits = app, spec.limits
        self._routes = routes or Routes()
        self._callers = Credentials(spec, folder) if spec.restricted else LoopbackAlone()
        self._rates = Rates(spec.limits.rate, spec.limits.burst)
        # strangers have buckets of their own: however many they are, they push no caller's out
        self._strangers = Rates(spec.limits.rate, spec.limits.burst)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request; hands on what is none."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await Exchange(scope, send).run(self._admit, receive, seconds=self._limits.seconds)
        else:
            await send({"type": "websocket.close", "code": 1008})

    async def _admit(self, exchange: Exchange, receive: Receive) -> None:
        scope = exchange.scope
        rule = exchange.rule = self._routes.find(scope["method"], scope["path"])
        caller = exchange.caller = await self._caller(exchange)
        if caller.known:
            self._rates.take(caller.name)
        else:
            self._strangers.take(exchange.address)
        if rule.need is Need.ACTION:
            caller.check_action(rule.action)
        receive = await body_within(
            self._limits.body_bytes, scope["method"], exchange.headers, receive
        )
        state = scope.setdefault("state", {})
        state["caller"], state["request_id"] = caller, exchange.identifier
        await self._app(scope, receive, exchange.send)

    async def _caller(self, exchange: Exchange) -> Caller:
        try:
            return await self._callers.caller(exchange.rule, exchange.scope, exchange.headers)
        except RefusedError:
            self._strangers.take(exchange.address)
            raise


class Exchange:
    """One request and its answer: what is known of it so far, for headers and logs."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self.started = time.perf_counter()
        self.scope, self._send = scope, send
        self.headers: Headers = dict(scope["headers"])
        self.identifier = request_id(self.headers)
        self.rule, self.caller = _NO_RULE, NOBODY
        self.status = 0
        REQUEST_ID.set(self.identifier)

    @property
    def address(self) -> str:
        """Where the request came from."""
        client = self.scope.get("client")
        return str(client[0]) if client else "local"

    async def run(
        self,
        admit: Callable[[Exchange, Receive], Awaitable[None]],
        receive: Receive,
        *,
        seconds: float,
    ) -> None:
        """Has the request answered in any case, and logs that."""
        try:
            async with asyncio.timeout(seconds) as limit:
                await admit(self, receive)
        except RefusedError as error:
            await self._refuse(error.status, error.message, hint=error.hint, headers=error.headers)
        except TimeoutError as error:
            if limit.expired():
                await self._refuse(504, f"not answered within {seconds:g} s")
            else:
                await self._fail(error)
        except Exception as error:  # noqa: BLE001  (the last that stands between it and the caller)
            await self._fail(error)
        finally:
            self._log()

    async def send(self, message: Message) -> None:
        """Sends a part of the answer, with our headers."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            identifier = (b"x-request-id", self.identifier.encode("ascii"))
            message["headers"] = [*message.get("headers", ()), *_ALWAYS, identifier]
        await self._send(message)

    async def _fail(self, error: Exception) -> None:
        _SERVER.error("a request failed", exc_info=error)
        await self._refuse(500, "this should not have happened; the log tells more by the id")

    async def _refuse(
        self,
        status: int,
        message: str,
        *,
        hint: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        if self.status:
            # half of an answer is out: the server closes the connection
            _SERVER.error("the answer broke off", extra={"fields": {"status": status}})
            self.status = status
            return
        body = {"detail": message, **({"hint": hint} if hint else {}), "id": self.identifier}
        content = json.dumps(body).encode()
        fields = {
            "content-type": "application/json",
            "content-length": str(len(content)),
            **(headers or {}),
        }
        raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in fields.items()]
        await self.send({"type": "http.response.start", "status": status, "headers": raw})
        await self.send({"type": "http.response.body", "body": content})

    def _log(self) -> None:
        fields: dict[str, Any] = {
            "method": self.scope["method"],
            "route": self.rule.route,
            "caller": self.caller.name,
            "status": self.status,
            "ms": round((time.perf_counter() - self.started) * 1e3, 3),
        }
        log_fields(_ACCESS, fields)
        if self.rule.writes or self.status in _AUDITED:
            action = self.rule.action or "none"
            more = {"action": action, "target": self._target(), "address": self.address}
            log_fields(_AUDIT, fields | more)

    def _target(self) -> str:
        step = self.rule.route.rpartition("/")[2]
        return self.scope["path"].rpartition("/")[2][:64] if step in _NAMED else ""

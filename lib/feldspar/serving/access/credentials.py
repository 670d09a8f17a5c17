"""Finds the caller of a request by what its headers say.

Keys are kept as SHA-256 and compared in constant time, all of them each time: how long it takes
tells neither which one was nearly right nor how many there are before it.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from feldspar.serving.access.callers import (
    LOCAL,
    NOBODY,
    Caller,
    ForbiddenError,
    Grant,
    UnauthenticatedError,
)
from feldspar.serving.access.rules import Need, Rule
from feldspar.serving.access.tokens import Tokens
from feldspar.spec.serving import KeySpec, ServingSpec, is_loopback

_BEARER = b"bearer "
_LOCAL_ADDRESSES = frozenset({"127.0.0.1", "::1"})
Headers = Mapping[bytes, bytes]


class Keys:
    """Callers by their API keys."""

    def __init__(self, keys: Mapping[str, KeySpec]) -> None:
        self._callers = [
            (_digest_of(spec), Caller(name, (Grant.of(spec),)))
            for name, spec in keys.items()
            if spec.secret or spec.sha256
        ]

    def caller(self, key: bytes) -> Caller | None:
        """Whose key it is; None: nobody's."""
        digest = hashlib.sha256(key).digest()
        found = None
        for known, caller in self._callers:
            if hmac.compare_digest(known, digest):
                found = caller
        return found


class Credentials:
    """Who may ask a restricted server: keys and tokens."""

    def __init__(self, spec: ServingSpec, folder: Path) -> None:
        self._keys = Keys(spec.keys)
        self._tokens = None if spec.jwt is None else Tokens(spec.jwt, folder)

    async def caller(self, rule: Rule, scope: Mapping[str, Any], headers: Headers) -> Caller:
        """The caller of a request.

        Raises:
            UnauthenticatedError: nobody we know, where the rule wants somebody, or a key or token
                that is not good.
            UncheckedError: tokens cannot be checked at present.
        """
        del scope
        key, authorization = headers.get(b"x-api-key"), headers.get(b"authorization")
        if key is None and authorization is None:
            if rule.need is Need.NOTHING:
                return NOBODY
            raise UnauthenticatedError
        found = await self._of(key, authorization)
        if found is None:
            raise UnauthenticatedError(tried="credentials")
        return found

    async def _of(self, key: bytes | None, authorization: bytes | None) -> Caller | None:
        if authorization is None:
            return self._keys.caller(key or b"")
        # RFC 6750, 2: one way of saying who asks
        if key is not None or authorization[:7].lower() != _BEARER:
            return None
        said = authorization[7:].strip()
        if self._tokens is not None and said.count(b".") == 2:
            return await self._tokens.caller(said.decode("latin-1"))
        return self._keys.caller(said)


class LoopbackAlone:
    """Everybody on this machine is the caller ``local``; nobody else is.

    The name in ``Host`` is looked at too: a page in a browser of this machine can make its own
    name lead here (DNS rebinding), but cannot send another name.
    """

    async def caller(self, rule: Rule, scope: Mapping[str, Any], headers: Headers) -> Caller:
        """The local caller.

        Raises:
            ForbiddenError: the request comes from elsewhere.
        """
        del rule
        ends = (scope.get("server"), scope.get("client"))
        if all(end is None or is_here(end[0]) for end in ends) and _named_here(headers):
            return LOCAL
        raise ForbiddenError(
            "this server is open to its own machine alone (serving.access: open)",
            hint="to be asked from elsewhere it needs serving.keys or serving.jwt; "
            "see README, Who may ask",
        )


def is_here(host: str) -> bool:
    """Whether an end of a connection is this machine; a path is a Unix socket's."""
    return host in _LOCAL_ADDRESSES or host.startswith("/") or not host or is_loopback(host)


def _named_here(headers: Headers) -> bool:
    host = headers.get(b"host")
    if host is None:
        return True
    name = host.decode("latin-1")
    bare = name[: name.find("]") + 1] if name.startswith("[") else name.partition(":")[0]
    return bare in _LOCAL_ADDRESSES or is_loopback(bare)


def _digest_of(spec: KeySpec) -> bytes:
    if spec.sha256:
        return bytes.fromhex(spec.sha256)
    return hashlib.sha256(spec.secret.encode()).digest()

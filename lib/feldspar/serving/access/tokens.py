"""JSON Web Tokens: checked by PyJWT against one issuer, one audience and named algorithms.

A token that was found good is remembered for a minute at most, never past its expiry: checking a
signature costs more than the rest of a request's way through the guard.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jwt

from feldspar.errors import UsageError
from feldspar.names import fingerprint
from feldspar.serving.access.callers import Caller, Grant, UnauthenticatedError, UncheckedError
from feldspar.serving.access.logs import SERVER
from feldspar.spec.serving import TokenSpec, public_key_file
from feldspar.times import utc_now

_REMEMBERED_SECONDS = 60.0
_MOST_REMEMBERED = 10_000
_LEAST_BETWEEN_FETCHES = 10.0
_KEYS_HOLD = 600.0
_FETCH_SECONDS = 3
_LONGEST = 8_192
_LOG = logging.getLogger(SERVER)
_Key = Any  # what PyJWT takes: bytes, PEM text or a PyJWK


class Tokens:
    """Tells the callers of tokens.

    Args:
        spec: how tokens are checked.
        folder: the project's root.
        clock: seconds that never go back.

    Raises:
        UsageError: the public key's file is not there, or is no key.
    """

    def __init__(
        self, spec: TokenSpec, folder: Path, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._spec = spec
        self._algorithms = list(spec.algorithms)
        self._key = None if spec.jwks else _local_key(spec, folder)
        self._remote = RemoteKeys(spec.jwks, clock) if spec.jwks else None
        self._clock = clock
        self._good: dict[bytes, tuple[float, Caller]] = {}

    async def caller(self, token: str) -> Caller:
        """Who a token speaks for.

        Raises:
            UnauthenticatedError: the token is not good.
            UncheckedError: the issuer's keys cannot be had.
        """
        digest = hashlib.sha256(token.encode("utf-8", "replace")).digest()
        until, caller = self._good.get(digest, (0.0, None))
        if caller is not None and self._clock() < until:
            return caller
        try:
            claims = await self._claims(token)
        except jwt.PyJWTError as error:
            raise UnauthenticatedError(tried="token") from error
        caller = self._told(claims)
        left = int(claims["exp"]) + self._spec.leeway_seconds - utc_now().timestamp()
        self._remember(digest, caller, seconds=min(left, _REMEMBERED_SECONDS))
        return caller

    async def _claims(self, token: str) -> Mapping[str, Any]:
        if len(token) > _LONGEST:
            raise jwt.DecodeError("too long")
        found: Mapping[str, Any] = jwt.decode(
            token,
            await self._key_of(token),
            algorithms=self._algorithms,
            audience=self._spec.audience,
            issuer=self._spec.issuer,
            leeway=self._spec.leeway_seconds,
            options={"require": ["exp", "iss", "aud", "sub"]},
        )
        return found

    async def _key_of(self, token: str) -> _Key:
        if self._remote is None:
            return self._key
        return await self._remote.key(str(jwt.get_unverified_header(token).get("kid")))

    def _told(self, claims: Mapping[str, Any]) -> Caller:
        said = claims.get(self._spec.claim)
        names = said.split() if isinstance(said, str) else said if isinstance(said, list) else []
        given = [self._spec.scopes[one] for one in names if one in self._spec.scopes]
        subject = str(claims["sub"])
        if any(one.by_claim for one in given):
            # such a subject is a customer, and the caller's name stands in logs
            subject = f"#{fingerprint(f'{self._spec.issuer} {subject}')}"
        return Caller(f"sub:{subject}", tuple(Grant.of(one, claims) for one in given))

    def _remember(self, digest: bytes, caller: Caller, *, seconds: float) -> None:
        self._good.pop(digest, None)
        self._good[digest] = (self._clock() + seconds, caller)
        if len(self._good) > _MOST_REMEMBERED:
            del self._good[next(iter(self._good))]


class RemoteKeys:
    """An issuer's keys by their ids.

    They are fetched when one is asked for that is not there, once in ten seconds at most, so that
    made-up ids cannot turn us against the issuer; and anew every ten minutes, while requests go on
    with those that are there.
    """

    def __init__(self, url: str, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._client = jwt.PyJWKClient(url, cache_jwk_set=False, timeout=_FETCH_SECONDS)
        self._keys: Mapping[str, jwt.PyJWK] = {}
        self._fetched = self._tried = float("-inf")
        self._fetching: asyncio.Task[None] | None = None

    async def key(self, ident: str) -> jwt.PyJWK:
        """One key.

        Raises:
            jwt.InvalidKeyError: the issuer has none of this id.
            UncheckedError: the issuer does not answer, and never did.
        """
        if ident not in self._keys or self._clock() - self._fetched > _KEYS_HOLD:
            fetching = self._refresh()
            if fetching is not None and ident not in self._keys:
                # whoever began it may give up: others wait for it, too
                await asyncio.shield(fetching)
        if not self._keys:
            raise UncheckedError(
                "tokens cannot be checked at present", headers={"retry-after": "10"}
            )
        if ident not in self._keys:
            raise jwt.InvalidKeyError("unknown id")
        return self._keys[ident]

    def _refresh(self) -> asyncio.Task[None] | None:
        running = self._fetching is not None and not self._fetching.done()
        if not running:
            if self._clock() - self._tried < _LEAST_BETWEEN_FETCHES:
                return None
            self._tried = self._clock()
            self._fetching = asyncio.get_running_loop().create_task(self._fetch())
        return self._fetching

    async def _fetch(self) -> None:
        try:
            found = await asyncio.to_thread(self._client.get_jwk_set, refresh=True)
        except (jwt.PyJWTError, ValueError, OSError) as error:
            _LOG.warning("keys of the issuer cannot be fetched: %s", type(error).__name__)
            return
        self._keys = {
            key.key_id: key
            for key in found.keys
            if key.key_id and key.public_key_use in (None, "sig")
        }
        self._fetched = self._clock()


def _local_key(spec: TokenSpec, folder: Path) -> _Key:
    if spec.secret:
        return spec.secret.encode()
    path = public_key_file(spec, folder)
    try:
        text = path.read_text(encoding="utf-8")
        jwt.get_algorithm_by_name(spec.algorithms[0]).prepare_key(text)
    except (OSError, ValueError, jwt.InvalidKeyError) as error:
        raise UsageError(
            f"serving.jwt.public_key: {spec.public_key} cannot be used for {spec.algorithms[0]}: "
            f"{error}",
            hint="it is a PEM file ('-----BEGIN PUBLIC KEY-----'), named from the project's root",
        ) from error
    return text

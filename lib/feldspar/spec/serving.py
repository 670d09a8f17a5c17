"""The ``serving`` block of an environment: who may ask the HTTP server what, and how much.

What a caller may do is a grant; a key has one, the scopes of a token name some. Whether the block
is safe for an address to listen on is told by ``refuse_unsafe``, before anything listens.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, field_validator, model_validator

from feldspar.errors import UsageError, nearest
from feldspar.spec.definition import Definition, OrShort

ANY = "*"
FROM_CLAIM = "@"
LEAST_KEY = 24
"""Characters of an API key: 144 random bits in base64, which nobody guesses."""
LEAST_SECRET = 32
"""Bytes of a shared secret, as RFC 7518 asks for HS256."""
_SHA256 = re.compile(r"^[0-9a-f]{64}$")
_STARS_INSIDE = re.compile(r"\*.")
Shared = Literal["HS256", "HS384", "HS512"]
Signed = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"]
Action = Literal["read", "score", "push", "metrics", "*"]


def _texts(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else (value,)


def _ends_with_a_star(patterns: tuple[str, ...]) -> tuple[str, ...]:
    for pattern in patterns:
        if not pattern or _STARS_INSIDE.search(pattern):
            raise ValueError(f"{pattern!r} is no pattern: write a value, 'begin*' or '*'")
    return patterns


class Block(Definition):
    """A part of the block; numbers are read as text where text is meant."""

    model_config = ConfigDict(coerce_numbers_to_str=True)


Patterns = Annotated[
    tuple[str, ...], BeforeValidator(_texts), OrShort("string"), Field(min_length=1)
]
CallerName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]*$")]
Actions = Annotated[
    tuple[Action, ...], BeforeValidator(_texts), OrShort("string"), Field(min_length=1)
]


class GrantSpec(Block):
    """What a caller may do. ``*`` stands for all; a pattern may end in it."""

    actions: Actions = Field(description="read, score, push, metrics, or * for all")
    services: Patterns = Field(default=(ANY,), description="services that may be asked")
    sources: Patterns = Field(default=(ANY,), description="sources that may be pushed to")
    entities: Mapping[str, Patterns] = Field(
        default_factory=dict,
        description="key column to the values that may be asked for, such as customer_id: [7, 9]; "
        "a column that is not named may then not be asked for; without it: every entity",
    )

    @property
    def by_claim(self) -> bool:
        """Whether a token says itself which entities it is for."""
        return any(one.startswith(FROM_CLAIM) for many in self.entities.values() for one in many)

    @field_validator("services", "sources")
    @classmethod
    def _names(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        return _ends_with_a_star(patterns)

    @field_validator("entities")
    @classmethod
    def _values(cls, entities: Mapping[str, tuple[str, ...]]) -> Mapping[str, tuple[str, ...]]:
        for patterns in entities.values():
            _ends_with_a_star(patterns)
        return entities


class KeySpec(GrantSpec):
    """An API key: the caller's name is the key of the mapping."""

    secret: str = Field(default="", repr=False, description="the key itself, by ${VARIABLE}")
    sha256: str = Field(default="", repr=False, description="or the SHA-256 of it, in hex")

    @field_validator("sha256")
    @classmethod
    def _is_a_hash(cls, value: str) -> str:
        if value and not _SHA256.match(value):
            # what stands here may be the key itself: it is not repeated
            raise ValueError('64 hex digits are needed: printf %s "$KEY" | sha256sum')
        return value

    @model_validator(mode="after")
    def _one_way(self) -> KeySpec:
        if self.secret and self.sha256:
            raise ValueError("secret and sha256 say the same: one of them is enough")
        if self.secret and len(self.secret) < LEAST_KEY:
            raise ValueError(
                f"the key is too short to be safe ({LEAST_KEY} characters): openssl rand -hex 32"
            )
        if self.by_claim:
            raise ValueError("entities: a key has no claims, only tokens have")
        return self


class TokenSpec(Block):
    """JSON Web Tokens: who issues them, how they are checked, and what their scopes allow."""

    issuer: str = Field(min_length=1, description="the iss claim")
    audience: str = Field(min_length=1, description="must be in the aud claim")
    algorithms: Annotated[
        tuple[Shared | Signed, ...], BeforeValidator(_texts), OrShort("string")
    ] = Field(min_length=1, description="the only ones that are taken")
    secret: str = Field(default="", repr=False, description="for HS...: by ${VARIABLE}")
    public_key: str = Field(default="", description="a PEM file, from the project's root")
    jwks: str = Field(default="", description="https:// address of the issuer's keys")
    leeway_seconds: int = Field(default=30, ge=0, le=300, description="between two clocks")
    claim: str = Field(default="scope", description="names the token's scopes")
    scopes: Mapping[str, GrantSpec] = Field(
        min_length=1,
        description="scope to what it allows; '@sub' among the values of an entity is the "
        "token's claim of that name",
    )

    @model_validator(mode="after")
    def _one_key(self) -> TokenSpec:
        given = [name for name in ("secret", "public_key", "jwks") if getattr(self, name)]
        if len(given) > 1:
            raise ValueError(f"{given[0]} and {given[1]}: tokens are checked by one of them")
        shared = [name for name in self.algorithms if name.startswith("HS")]
        if shared and len(shared) < len(self.algorithms):
            raise ValueError(
                f"{shared[0]} takes a shared secret, others a public key: name one kind"
            )
        if given and bool(shared) != (given == ["secret"]):
            raise ValueError(f"{given[0]} does not go with {self.algorithms[0]}")
        return self

    @field_validator("secret")
    @classmethod
    def _long_enough(cls, value: str) -> str:
        if value and len(value.encode()) < LEAST_SECRET:
            raise ValueError(f"the secret has less than {LEAST_SECRET} bytes: openssl rand -hex 32")
        return value

    @field_validator("jwks")
    @classmethod
    def _safe_transport(cls, value: str) -> str:
        host = re.match(r"^http://(\[[^\]]+\]|[^/:]+)", value)
        if value and not value.startswith("https://") and not (host and is_loopback(host[1])):
            raise ValueError("keys are fetched by https:// (http:// from this machine alone)")
        return value


class LimitsSpec(Block):
    """How much one request, and one caller, may take."""

    body_bytes: int = Field(default=1_048_576, ge=1_024, description="of a request's body")
    rows: int = Field(default=1_000, ge=1, description="of a batch, asked or pushed")
    seconds: float = Field(default=10, gt=0, le=600, description="until 504")
    rate: float | None = Field(
        default=None, gt=0, description="requests a second of one caller and process; none: any"
    )
    burst: int = Field(default=100, ge=1, description="requests that may come at once")


class LogSpec(Block):
    """What is logged, and where."""

    masked: tuple[str, ...] = Field(
        default=(), description="fields that are never logged; secrets never are"
    )
    requests: Literal["all", "none"] = Field(
        default="all", description="a line for each; none where a proxy writes them already"
    )
    audit: str = Field(
        default="stderr", description="refused and writing requests: stderr, or a file to append to"
    )


class ServingSpec(Block):
    """Access, limits and logs of the HTTP server. Without it: open, on loopback alone."""

    access: Literal["open", "restricted"] | None = Field(
        default=None,
        description="open: whoever is on this machine may do everything; restricted: keys and "
        "tokens decide",
    )
    keys: Mapping[CallerName, KeySpec] = Field(default_factory=dict, description="caller to key")
    jwt: TokenSpec | None = None
    limits: LimitsSpec = LimitsSpec()
    log: LogSpec = LogSpec()

    @model_validator(mode="after")
    def _one_kind(self) -> ServingSpec:
        if self.access == "open" and (self.keys or self.jwt):
            raise ValueError("access: open asks nobody for the keys and tokens that are declared")
        return self

    @property
    def restricted(self) -> bool:
        """Whether a caller has to say who it is."""
        return self.access == "restricted" or bool(self.keys) or self.jwt is not None

    def grants(self) -> Iterator[tuple[str, GrantSpec]]:
        """Every grant and where it stands."""
        yield from ((f"keys.{name}", key) for name, key in self.keys.items())
        if self.jwt is not None:
            yield from ((f"jwt.scopes.{name}", one) for name, one in self.jwt.scopes.items())


BLOCKS: tuple[type[Block], ...] = (ServingSpec, KeySpec, TokenSpec, LimitsSpec, LogSpec)


def is_loopback(host: str) -> bool:
    """Whether an address is reached from this machine alone.

    >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("0.0.0.0")
    (True, True, False)
    """
    bare = host.strip("[]")
    if bare == "localhost":
        return True
    try:
        return ipaddress.ip_address(bare).is_loopback
    except ValueError:
        return False


def refuse_unsafe(spec: ServingSpec, *, folder: Path, environment: str, host: str) -> None:
    """Stops a server that would let strangers in, or nobody.

    Args:
        spec: the block.
        folder: the project's root.
        environment: its name, for the message.
        host: the address to listen on.

    Raises:
        UsageError: open on more than loopback, or restricted without a usable key.
    """
    file = f"conf/environments/{environment}.yaml"
    if not spec.restricted:
        if is_loopback(host):
            return
        raise UsageError(
            f"environment {environment} asks nobody who they are, and {host} is reached from "
            "other machines",
            hint=f"name the callers in {file} (serving.keys or serving.jwt; see README, Who may "
            "ask), or listen on 127.0.0.1",
        )
    for problem, mend in faults(spec, folder):
        raise UsageError(f"{file}: {problem}", hint=mend)


def faults(spec: ServingSpec, folder: Path) -> Iterator[tuple[str, str]]:
    """What keeps a restricted server from telling callers apart, each with its mend."""
    if not spec.restricted:
        return
    if not spec.keys and spec.jwt is None:
        yield "serving.access is restricted, and no caller is named", "name one in serving.keys"
    for name, key in spec.keys.items():
        if not (key.secret or key.sha256):
            yield (
                f"serving.keys.{name} has no value",
                "export the variable that its secret or sha256 names",
            )
    if spec.jwt is not None:
        yield from _token_faults(spec.jwt, folder)


def _token_faults(spec: TokenSpec, folder: Path) -> Iterator[tuple[str, str]]:
    if not (spec.secret or spec.public_key or spec.jwks):
        yield (
            "serving.jwt has nothing to check tokens with",
            "give it a secret (by a variable), a public_key or jwks",
        )
    if spec.public_key and not public_key_file(spec, folder).is_file():
        yield (
            f"serving.jwt.public_key: {spec.public_key} is not there",
            "it is a PEM file, named from the project's root",
        )


def unknown_names(
    spec: ServingSpec, *, services: Iterable[str], sources: Iterable[str], columns: Iterable[str]
) -> Iterator[tuple[str, str]]:
    """Names in grants that the project does not have, each with the nearest: they allow nothing."""
    known = {"services": tuple(services), "sources": tuple(sources), "entities": tuple(columns)}
    for place, grant in spec.grants():
        named = {
            "services": grant.services,
            "sources": grant.sources,
            "entities": tuple(grant.entities),
        }
        for kind, names in named.items():
            for name in names:
                if name.endswith(ANY) or name in known[kind]:
                    continue
                near = ", ".join(nearest(name, known[kind]) or known[kind]) or "none"
                yield f"serving.{place}.{kind}: the project has no {name!r}", f"it has: {near}"


def public_key_file(spec: TokenSpec, folder: Path) -> Path:
    """Where the public key lies."""
    return folder / spec.public_key

"""The online store over the Redis protocol: packed values by entity, newest wins; owns ``redis``.

Keys are ``<namespace>:{<entity>:<key>}:<view>``: all views of one entity share a hash slot. What a
value holds is in ``stores.rows``; which of two values is newer is decided in ``stores.newest``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from enum import Enum
from typing import Any, Literal

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    BusyLoadingError,
    ConnectionError,  # noqa: A004  # redis's own, not the builtin
    NoPermissionError,
    RedisError,
    TimeoutError,  # noqa: A004
)
from redis.retry import Retry

from feldspar.errors import OvertakenError, StoreError, UnreachableError
from feldspar.graph.observed import PushState
from feldspar.spec.environment import Environment
from feldspar.stores.newest import ADVANCE, SWAP, WRITE
from feldspar.times import to_micros

_SIGN = 1 << 63
_SCAN = 5_000
_EVICTS = re.compile(r"^(allkeys|volatile)-")
_HINT = "start it with: make up; or set redis.url in conf/environments"
KeyPart = int | str | bool | datetime | date


class Patience(Enum):
    """How long one command may take, in seconds: a request waits less than a job."""

    REQUEST = 0.7
    JOB = 30.0


@dataclass(frozen=True)
class OnlineSettings:
    """Where the store is and whose keys are ours; travels to executors."""

    url: str = field(repr=False)
    namespace: str
    clock: Literal["wall", "data"] = "wall"

    @staticmethod
    def of(environment: Environment) -> OnlineSettings:
        """The settings of an environment."""
        return OnlineSettings(environment.redis.url, environment.namespace, environment.clock)

    @property
    def shown(self) -> str:
        """The address without its password."""
        return re.sub(r"://([^@/]*:)[^@/]*@", r"://\1***@", self.url)


@dataclass(frozen=True)
class Cursor:
    """What was pushed of a view; written after all of its values.

    Attributes:
        version: of the gold table that the store now equals.
        definition: fingerprint of the view's definition.
        generation: of the gold table.
        epoch: counts definitions and generations; values of a higher one win.
        clock: of the push, in microseconds.
        floor: the store answers every T from here on, in microseconds.
    """

    version: int
    definition: str
    generation: int
    epoch: int
    clock: int
    floor: int


@dataclass(frozen=True)
class Write:
    """One value for one key; ``expires`` in milliseconds since the epoch, None: never."""

    key: str
    value: bytes
    expires: int | None


@dataclass(frozen=True)
class Page:
    """What one round trip brought; ``clock`` in microseconds, ``values`` in the order of keys."""

    clock: int | None
    cursors: Mapping[str, Cursor]
    values: Sequence[bytes | None]


class OnlineStore:
    """The keys of one namespace. Connects at the first command; a context manager closes it."""

    def __init__(self, settings: OnlineSettings, patience: Patience = Patience.REQUEST) -> None:
        self.settings = settings
        try:
            self._redis: Redis = Redis.from_url(
                settings.url,
                socket_connect_timeout=Patience.REQUEST.value,
                socket_timeout=patience.value,
                # one more try: a pooled connection may be from before the server's restart
                retry=Retry(NoBackoff(), 1),
            )
        except ValueError as error:
            raise StoreError(f"redis.url {settings.shown}: {error}", hint=_HINT) from error
        self._write = self._redis.register_script(WRITE)
        self._advance = self._redis.register_script(ADVANCE)
        self._swap = self._redis.register_script(SWAP)

    @staticmethod
    def of(environment: Environment, patience: Patience = Patience.REQUEST) -> OnlineStore:
        """The store of an environment."""
        return OnlineStore(OnlineSettings.of(environment), patience)

    def __enter__(self) -> OnlineStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connections; the next command would open new ones."""
        self._redis.close()

    def key(self, entity: str, parts: Sequence[KeyPart], view: str) -> str:
        """The key of one entity's value of one view; each part carries its type."""
        keys = ",".join(_typed(part) for part in parts)
        return f"{self.settings.namespace}:{{{entity}:{keys}}}:{view}"

    def get(self, keys: Sequence[str]) -> list[bytes | None]:
        """The values of keys in one round trip; None where there is none."""
        if not keys:
            return []
        with self._said_clearly():
            found: Any = self._redis.mget(keys)
            return list(found)

    def read(self, views: Sequence[str], keys: Sequence[str]) -> Page:
        """The data clock, the cursors of views and the values of keys in one round trip."""
        names = [self._name("clock"), *(self._name("cursor", view) for view in views)]
        clock, *rest = self.get([*names, *keys])
        found = {
            view: Cursor(**json.loads(value))
            for view, value in zip(views, rest[: len(views)], strict=True)
            if value is not None
        }
        return Page(None if clock is None else int(clock), found, rest[len(views) :])

    def write(self, writes: Sequence[Write], *, kind: Literal["row", "events"], floor: int) -> int:
        """Puts values where they are newer than what lies there; returns how many keys changed.

        Args:
            writes: up to a few thousand; one call of the server-side function.
            kind: of their layout.
            floor: rows that are the newest at no T from here on are dropped, microseconds.
        """
        arguments: list[bytes | str] = [(floor + _SIGN).to_bytes(8, "big"), kind]
        for one in writes:
            arguments += [one.value, "" if one.expires is None else str(one.expires)]
        with self._said_clearly():
            return int(self._write(keys=[one.key for one in writes], args=arguments))

    def cursor(self, view: str) -> Cursor | None:
        """What was pushed of a view; None where nothing was."""
        return self.cursors([view]).get(view)

    def cursors(self, views: Sequence[str]) -> Mapping[str, Cursor]:
        """What was pushed of each view, in one round trip."""
        return self.read(views, []).cursors

    def set_cursor(self, view: str, cursor: Cursor, *, before: Cursor | None) -> None:
        """Records a finished push and moves the data clock on.

        Args:
            view: what was pushed.
            cursor: what the store now equals.
            before: the cursor that the push began with.

        Raises:
            OvertakenError: another push has ended meanwhile; what the store equals is its to say.
        """
        with self._said_clearly():
            self._advance(keys=[self._name("clock")], args=[cursor.clock])
            texts = [_text(before), _text(cursor)]
            swapped = self._swap(keys=[self._name("cursor", view)], args=texts)
        if not swapped:
            raise OvertakenError(
                f"online {view}: another push ended while this one ran",
                hint="its values count, newest wins; run: feldspar online push",
            )

    def pushed(self, views: Sequence[str]) -> dict[str, PushState]:
        """What a plan is told of the online store."""
        return {
            view: PushState(found.version, found.definition, found.generation)
            for view, found in self.cursors(views).items()
        }

    def clock(self) -> int | None:
        """The data clock in microseconds: that of the newest push; None before the first."""
        return self.read([], []).clock

    def memory(self) -> int | None:
        """Bytes that the server holds, those of others included; None where it does not say."""
        with self._said_clearly():
            found: Any = self._redis.info("memory")
        return int(found["used_memory"]) if "used_memory" in found else None

    def clear(self, views: Sequence[str]) -> int:
        """Removes every value and the cursors of views; returns how many keys went."""
        gone = 0
        for view in views:
            # first: without its cursor a view counts as not pushed
            gone += self._remove([self._name("cursor", view)])
            for keys in self._pages(f"{self.settings.namespace}:{{*}}:{view}"):
                gone += self._remove(keys)
        return gone

    def check(self) -> None:
        """Holds the server against what features need.

        Raises:
            UnreachableError: it does not answer.
            StoreError: it may throw features away in silence.
        """
        try:
            with self._said_clearly():
                answer: Any = self._redis.config_get("maxmemory-policy")
        except StoreError as error:
            if isinstance(error.__cause__, NoPermissionError) or "unknown command" in str(error):
                return  # managed servers keep CONFIG to themselves
            raise
        policy = str(answer.get("maxmemory-policy", "noeviction"))
        if _EVICTS.match(policy):
            raise StoreError(
                f"Redis at {self.settings.shown} has maxmemory-policy {policy}: "
                "a full server would drop features in silence",
                hint="CONFIG SET maxmemory-policy noeviction",
            )

    def _name(self, *parts: str) -> str:
        return ":".join([self.settings.namespace, *parts])

    def _pages(self, pattern: str) -> Iterator[list[bytes]]:
        place = 0
        while True:
            with self._said_clearly():
                answer: Any = self._redis.scan(place, match=pattern, count=_SCAN)
            place, keys = answer
            if keys:
                yield keys
            if place == 0:
                return

    def _remove(self, keys: Iterable[bytes | str]) -> int:
        with self._said_clearly():
            gone: Any = self._redis.unlink(*keys)
        return int(gone)

    @contextmanager
    def _said_clearly(self) -> Iterator[None]:
        shown = self.settings.shown
        try:
            yield
        except (AuthenticationError, AuthorizationError, NoPermissionError) as error:
            text = f"Redis at {shown} refuses these credentials: {error}"
            raise StoreError(text, hint="check user and password in redis.url") from error
        except (ConnectionError, TimeoutError, BusyLoadingError) as error:
            text = f"Redis at {shown} does not answer: {error}"
            raise UnreachableError(text, hint=_HINT) from error
        except RedisError as error:
            raise StoreError(f"Redis at {shown}: {error}", hint="see: feldspar doctor") from error


def _text(cursor: Cursor | None) -> str:
    return "" if cursor is None else json.dumps(asdict(cursor), sort_keys=True)


def _typed(part: KeyPart) -> str:
    match part:
        case bool():
            return f"b{int(part)}"
        case int():
            return f"i{part}"
        case str():
            return f"s{len(part)}:{part}"
        case datetime():
            return f"t{to_micros(part)}"
        case date():
            return f"d{part.isoformat()}"
        case _:
            raise StoreError(
                f"a key of type {type(part).__name__} cannot be looked up online: {part!r}",
                hint="declare the key as a whole number, string, boolean, date or timestamp",
            )

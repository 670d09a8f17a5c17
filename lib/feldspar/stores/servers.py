"""Redis as the online store talks to it: one server or a cluster, with TLS; owns ``redis``.

Whoever has failed over is found again without a restart: a connection that ends, or whose server
turns out to be a replica, is opened anew, and the name of the server resolved again.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from redis import Redis, RedisCluster
from redis.backoff import ExponentialBackoff, NoBackoff
from redis.crc import key_slot
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    BusyLoadingError,
    ClusterDownError,
    ConnectionError,  # noqa: A004  # redis's own, not the builtin
    MasterDownError,
    NoPermissionError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisClusterException,
    RedisError,
    TimeoutError,  # noqa: A004
)
from redis.retry import Retry

from feldspar.errors import StoreError, UnreachableError, UsageError
from feldspar.spec.environment import Environment
from feldspar.times import duration_micros

HINT = "start it with: make up; or set redis.url in conf/environments"
SLOTS = 16_384
_CLUSTER = "+cluster://"
_REPLICA = [ReadOnlyError, MasterDownError]
"""What a server answers that is no longer the primary."""
_FAILOVER_TRIES = 14
"""Some 20 seconds of waiting: as long as a failover may take."""


class Patience(Enum):
    """How long one command may take, in seconds: a request waits less than a job."""

    REQUEST = 0.7
    JOB = 30.0


@dataclass(frozen=True)
class OnlineSettings:
    """Where the store is and whose keys are ours; travels to executors.

    Attributes:
        url: of a server, or of any node of a cluster (``redis+cluster://``).
        namespace: begins every key.
        clock: of the environment.
        authorities: certificates, as PEM text, that a server's own is held against; None: those
            that the machine trusts.
        keep_replaced: how long values of a replaced definition stay, in microseconds.
    """

    url: str = field(repr=False)
    namespace: str
    clock: Literal["wall", "data"] = "wall"
    authorities: str | None = field(default=None, repr=False)
    keep_replaced: int = 86_400_000_000

    @staticmethod
    def of(environment: Environment) -> OnlineSettings:
        """The settings of an environment.

        Raises:
            UsageError: ``redis.ca_file`` cannot be read.
        """
        redis = environment.redis
        authorities = None
        if redis.ca_file is not None:
            authorities = _pem(environment.folder / redis.ca_file)
        return OnlineSettings(
            redis.url,
            environment.namespace,
            environment.clock,
            authorities,
            duration_micros(redis.keep_replaced),
        )

    @property
    def shown(self) -> str:
        """The address without its password."""
        return re.sub(r"://([^@/]*:)[^@/]*@", r"://\1***@", self.url)

    @property
    def is_cluster(self) -> bool:
        """Whether keys are spread over several servers by hash slot."""
        return _CLUSTER in self.url


@dataclass(frozen=True)
class Script:
    """A function in Lua that runs in the server."""

    text: str

    @cached_property
    def sha(self) -> str:
        """How servers that were sent it know it."""
        return hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()


Command = tuple[Any, ...]


class Servers:
    """The server, or all primaries of a cluster. Connects at the first command."""

    def __init__(self, settings: OnlineSettings, patience: Patience) -> None:
        self.settings = settings
        self._patience = patience
        if not settings.is_cluster:
            # an address that says nothing is told now; a cluster is only asked when it is used
            self._client = self._one()

    @cached_property
    def _client(self) -> Redis | RedisCluster:
        return self._cluster()

    def close(self) -> None:
        """Ends the connections; the next command would open new ones."""
        if "_client" in vars(self):
            self._client.close()

    def slot(self, key: str) -> int:
        """Keys of one slot may be named in one command; of a single server all keys may."""
        return slot_of(key) if self.settings.is_cluster else 0

    def run(self, commands: Sequence[Command]) -> list[Any]:
        """Answers of commands, in one round trip to each server that is concerned.

        Raises:
            UnreachableError: a server does not answer.
            StoreError: it refuses a command; others may have been carried out.
        """
        if not commands:
            return []
        with self.said_clearly():
            pipeline = self._client.pipeline(transaction=False)
            for command in commands:
                pipeline.execute_command(*command)
            return list(pipeline.execute())

    def call(
        self, script: Script, calls: Sequence[tuple[Sequence[str], Sequence[Any]]]
    ) -> list[Any]:
        """Calls a script with the keys, of one slot each, and arguments of each call.

        A script must bear to be called again: where a server did not know it, all calls are
        repeated.

        Raises:
            UnreachableError, StoreError: as ``run``.
        """
        commands = [("EVALSHA", script.sha, len(keys), *keys, *args) for keys, args in calls]
        try:
            return self.run(commands)
        except StoreError as error:
            if not isinstance(error.__cause__, NoScriptError):
                raise
        for server in self.primaries():
            with self.said_clearly():
                server.script_load(script.text)
        return self.run(commands)

    def primaries(self) -> list[Redis]:
        """A client of each server that takes writes."""
        with self.said_clearly():
            client: Any = self._client
            if isinstance(client, Redis):
                return [client]
            return [client.get_redis_connection(node) for node in client.get_primaries()]

    def infos(self, section: str) -> list[dict[str, Any]]:
        """A section of each server's INFO."""
        return [self._asked(server.info, section) for server in self.primaries()]

    def settings_of(self, name: str) -> list[str]:
        """A setting of each server."""
        found = [self._asked(server.config_get, name) for server in self.primaries()]
        return [str(one.get(name, "")) for one in found]

    def _asked(self, ask: Callable[[str], Any], what: str) -> Any:
        with self.said_clearly():
            return ask(what)

    def pages(self, pattern: str, count: int) -> Iterator[list[str]]:
        """Names of keys, some ``count`` of those that are there looked at for a page."""
        for server in self.primaries():
            place = 0
            while True:
                with self.said_clearly():
                    answer: Any = server.scan(place, match=pattern, count=count)
                place, keys = answer
                if keys:
                    yield [key.decode() for key in keys]
                if place == 0:
                    break

    @contextmanager
    def said_clearly(self) -> Iterator[None]:
        """Turns errors of ``redis`` into ours.

        Raises:
            UnreachableError: the server does not answer.
            StoreError: it answers badly.
        """
        shown = self.settings.shown
        try:
            yield
        except (AuthenticationError, AuthorizationError, NoPermissionError) as error:
            text = f"Redis at {shown} refuses these credentials: {error}"
            raise StoreError(text, hint="check user and password in redis.url") from error
        except (ConnectionError, TimeoutError, BusyLoadingError, ClusterDownError) as error:
            text = f"Redis at {shown} does not answer: {error}"
            raise UnreachableError(text, hint=HINT) from error
        except RedisClusterException as error:
            text = f"Redis at {shown} answers for no cluster: {error}"
            raise UnreachableError(text, hint=HINT) from error
        except ReadOnlyError as error:
            text = f"Redis at {shown} is a replica and takes no writes: {error}"
            hint = "redis.url must name the primary; after a failover: feldspar online push"
            raise UnreachableError(text, hint=hint) from error
        except RedisError as error:
            # of a pipeline it begins with the command, whose values are nobody's business
            text = str(error).rpartition("of pipeline caused error: ")[2]
            if isinstance(error, OutOfMemoryError) or "OOM command" in text:
                raise self._full() from error
            raise StoreError(f"Redis at {shown}: {text}", hint="see: feldspar doctor") from error

    def _full(self) -> StoreError:
        rooms = [
            f"{one['used_memory'] >> 20} of {one.get('maxmemory', 0) >> 20} MiB"
            for one in self.infos("memory")
        ]
        return StoreError(
            f"Redis at {self.settings.shown} is full ({', '.join(rooms)}) and takes no more values;"
            " those that it has are served, and the cursor says what they are",
            hint="raise maxmemory, or shorten ttl or windows; then: feldspar online push",
        )

    def _retry(self) -> Retry:
        if self._patience is Patience.REQUEST:
            # one more try: a pooled connection may be from before the server's restart
            return Retry(NoBackoff(), 1)
        return Retry(ExponentialBackoff(cap=2.0, base=0.1), _FAILOVER_TRIES)

    def _options(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            "socket_connect_timeout": Patience.REQUEST.value,
            "socket_timeout": self._patience.value,
        }
        if self.settings.authorities is not None:
            found["ssl_ca_data"] = self.settings.authorities
        return found

    def _one(self) -> Redis:
        settings, retry = self.settings, self._retry()
        try:
            return Redis.from_url(
                settings.url, retry=retry, retry_on_error=list(_REPLICA), **self._options()
            )
        except ValueError as error:
            raise StoreError(f"redis.url {settings.shown}: {error}", hint=HINT) from error

    def _cluster(self) -> RedisCluster:
        url = self.settings.url.replace(_CLUSTER, "://", 1)
        with self.said_clearly():
            return RedisCluster.from_url(url, retry=self._retry(), **self._options())


def refuses_access(error: StoreError) -> bool:
    """Whether a command was refused because this user may not give it."""
    return isinstance(error.__cause__, NoPermissionError)


def slot_of(key: str) -> int:
    """The hash slot of a key, or of its hash tag, in a cluster."""
    return key_slot(key.encode())


def _pem(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"redis.ca_file {path} cannot be read: {error}",
            hint="name a PEM file of the authorities that sign the server's certificate",
        ) from error

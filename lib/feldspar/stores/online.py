"""The online store over the Redis protocol: packed values by entity, newest wins.

Keys are ``<namespace>:{<entity>:<key>}:<view>@<definition>``: all views of one entity share a hash
slot, and values of two definitions lie side by side. What a value holds is in ``stores.rows``;
which of two values is newer is decided in ``stores.newest``, what was pushed in ``stores.cursors``.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal

from feldspar.errors import OvertakenError, StoreError
from feldspar.graph.observed import PushState
from feldspar.graph.view import View
from feldspar.spec.environment import Environment
from feldspar.stores.cursors import Cursor, Replication, Standing, part_of, part_tags, standing_of
from feldspar.stores.newest import ADVANCE, CONCLUDE, WRITE
from feldspar.stores.servers import OnlineSettings, Patience, Script, Servers, refuses_access
from feldspar.times import to_micros

__all__ = ["Cursor", "OnlineSettings", "OnlineStore", "Page", "Patience", "Write"]

_SIGN = 1 << 63
_SCAN = 5_000
_CLOCK = "clock"
_WHATEVER = "*"
_EVICTS = re.compile(r"^(allkeys|volatile)-")
_WRITE, _CONCLUDE, _ADVANCE = Script(WRITE), Script(CONCLUDE), Script(ADVANCE)
KeyPart = int | str | bool | datetime | date


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
    """The keys of one namespace. Connects at the first command; a context manager closes it.

    Views are named by their ``online_name``.
    """

    def __init__(self, settings: OnlineSettings, patience: Patience = Patience.REQUEST) -> None:
        self.settings = settings
        self._servers = Servers(settings, patience)
        name = f"{settings.namespace}:cursors"
        # the first one decides; a cluster has one beside the values of each part
        tags = part_tags() if settings.is_cluster else ()
        self._copies = tuple(f"{name}:{{{tag}}}" for tag in tags) or (name,)

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
        self._servers.close()

    def key(self, entity: str, parts: Sequence[KeyPart], view: str) -> str:
        """The key of one entity's value of one view; each part carries its type."""
        keys = ",".join(_typed(part) for part in parts)
        return f"{self.settings.namespace}:{{{entity}:{keys}}}:{view}"

    def keys(self, entity: str, parts: Sequence[Sequence[KeyPart]], view: str) -> list[str]:
        """The keys of many entities; ``parts`` are columns of them."""
        if len(parts) == 1 and all(type(one) is int for one in parts[0]):
            before, after = f"{self.settings.namespace}:{{{entity}:i", f"}}:{view}"
            return [f"{before}{one}{after}" for one in parts[0]]
        return [self.key(entity, one, view) for one in zip(*parts, strict=True)]

    def get(self, keys: Sequence[str]) -> list[bytes | None]:
        """The values of keys in one round trip; None where there is none."""
        groups = self._groups(keys)
        answers = self._servers.run([("MGET", *names) for names, _ in groups])
        return _in_places(len(keys), groups, answers)

    def read(self, views: Sequence[str], keys: Sequence[str]) -> Page:
        """The data clock, the cursors of views and the values of keys in one round trip."""
        groups = self._groups(keys)
        # the copy that lies with the first key: a request for one entity asks one server
        copy = self._copies[part_of(self._servers.slot(keys[0])) if keys else 0]
        wanted = [("HMGET", copy, _CLOCK, *views), *(("MGET", *names) for names, _ in groups)]
        (clock, *texts), *answers = self._servers.run(wanted)
        cursors = {
            view: Cursor.of(text)
            for view, text in zip(views, texts, strict=True)
            if text is not None
        }
        values = _in_places(len(keys), groups, answers)
        return Page(None if clock is None else int(clock), cursors, values)

    def lifetimes(self, keys: Sequence[str]) -> list[int | None]:
        """Milliseconds until each key expires; None where it does not, or is not there."""
        answers = self._servers.run([("PTTL", key) for key in keys])
        return [None if left < 0 else int(left) for left in answers]

    def write(self, writes: Sequence[Write], *, kind: Literal["row", "events"], floor: int) -> int:
        """As ``write_values``."""
        keys, values = [one.key for one in writes], [one.value for one in writes]
        expires = [one.expires for one in writes]
        return self.write_values(keys, values, expires, kind=kind, floor=floor)

    def write_values(
        self,
        keys: Sequence[str],
        values: Sequence[bytes],
        expires: Sequence[int | None],
        *,
        kind: Literal["row", "events"],
        floor: int,
    ) -> int:
        """Puts values where they are newer than what lies there; returns how many keys changed.

        Args:
            keys: up to a few thousand; one call of the server-side function, in a cluster one
                for each slot.
            values: of the keys.
            expires: as in ``Write``.
            kind: of their layout.
            floor: rows that are the newest at no T from here on are dropped, microseconds.
        """
        calls = []
        for names, places in self._groups(keys):
            arguments: list[bytes | int | str] = [(floor + _SIGN).to_bytes(8, "big"), kind]
            for place in places:
                end = expires[place]
                arguments += (values[place], "" if end is None else end)
            calls.append((names, arguments))
        return sum(self._servers.call(_WRITE, calls))

    def cursor(self, view: str) -> Cursor | None:
        """What was pushed of a view; None where nothing was."""
        return self.cursors([view]).get(view)

    def cursors(self, views: Sequence[str]) -> Mapping[str, Cursor]:
        """What was pushed of each view, in one round trip."""
        return self.read(views, []).cursors

    def standing(self, view: str) -> Standing:
        """How a push finds a view, in all parts and by all servers."""
        texts = self._servers.run([("HGET", copy, view) for copy in self._copies])
        return standing_of(texts, self.replication())

    def replication(self) -> tuple[Replication, ...]:
        """The history of writes of each server that says it."""
        try:
            found = [Replication.of(info) for info in self._servers.infos("default")]
        except StoreError as error:
            if refuses_access(error):
                return ()
            raise
        return tuple(one for one in found if one is not None)

    def set_cursor(self, view: str, cursor: Cursor, *, before: Cursor | None) -> None:
        """Records a finished push and moves the data clock on.

        Args:
            view: what was pushed.
            cursor: what the store now equals.
            before: the cursor that the push began with.

        Raises:
            OvertakenError: another push has ended meanwhile; what the store equals is its to say.
        """
        first, *others = self._copies
        was, text, clock = "" if before is None else before.text(), cursor.text(), cursor.clock
        (done,) = self._servers.call(_CONCLUDE, [([first], [view, was, text, clock])])
        if not done:
            raise OvertakenError(
                f"online {view}: another push ended while this one ran",
                hint="its values count, newest wins; run: feldspar online push",
            )
        if others:
            arguments = [view, _WHATEVER, text, clock]
            self._servers.call(_CONCLUDE, [([copy], arguments) for copy in others])

    def advance_clock(self, micros: int) -> None:
        """Moves the data clock forward, never back: a row that was pushed is known by then."""
        self._servers.call(_ADVANCE, [([copy], [micros]) for copy in self._copies])

    def definitions(self, view: str) -> dict[str, Cursor]:
        """Cursors of all definitions of a view (by its plain name), by online name."""
        return _definitions(self._fields()[0], view)

    def pushed(self, views: Mapping[str, View]) -> dict[str, PushState]:
        """What a plan is told of each view; of another definition where ours was not pushed."""
        fields, servers = self._fields(), self.replication()
        found = {}
        for name, view in views.items():
            copies = [texts.get(view.online_name) for texts in fields]
            ours = standing_of(copies, servers)
            others = _definitions(fields[0], name).values()
            cursor = ours.cursor or max(others, key=lambda one: one.pushed, default=None)
            if cursor is not None:
                after = cursor.version if ours.after is None else ours.after
                found[name] = PushState(after, cursor.definition, cursor.generation, ours.lost)
        return found

    def clock(self) -> int | None:
        """The data clock in microseconds: that of the newest push; None before the first."""
        return self.read([], []).clock

    def memory(self) -> int | None:
        """Bytes that the servers hold, those of others included; None where they do not say."""
        found = self._servers.infos("memory")
        told = all("used_memory" in one for one in found)
        return sum(int(one["used_memory"]) for one in found) if told else None

    def clear(self, views: Sequence[str]) -> int:
        """Removes every value and the cursors of views; returns how many keys went.

        Args:
            views: online names; a plain name stands for all definitions of the view.
        """
        wanted = frozenset(views)

        def is_meant(name: str) -> bool:
            return name in wanted or name.partition("@")[0] in wanted

        # first: without its cursor a view counts as not pushed
        self._forget(is_meant)
        gone = 0
        for keys in self._servers.pages(f"{self.settings.namespace}:{{*}}:*", _SCAN):
            meant = [key for key in keys if is_meant(key.rpartition(":")[2])]
            gone += sum(self._servers.run([("UNLINK", *names) for names, _ in self._groups(meant)]))
        return gone

    def check(self) -> None:
        """Holds the servers against what features need.

        Raises:
            UnreachableError: one does not answer.
            StoreError: one may throw features away in silence.
        """
        try:
            policies = self._servers.settings_of("maxmemory-policy")
        except StoreError as error:
            if refuses_access(error) or "unknown command" in str(error):
                return  # managed servers keep CONFIG to themselves
            raise
        for policy in policies:
            if _EVICTS.match(policy):
                raise StoreError(
                    f"Redis at {self.settings.shown} has maxmemory-policy {policy}: "
                    "a full server would drop features in silence",
                    hint="CONFIG SET maxmemory-policy noeviction",
                )

    def _groups(self, keys: Sequence[str]) -> list[tuple[list[str], list[int]]]:
        """Keys that may be named in one command, with their places."""
        if not self.settings.is_cluster:
            return [(list(keys), list(range(len(keys))))] if keys else []
        groups: defaultdict[int, tuple[list[str], list[int]]] = defaultdict(lambda: ([], []))
        for place, key in enumerate(keys):
            names, places = groups[self._servers.slot(key)]
            names.append(key)
            places.append(place)
        return list(groups.values())

    def _fields(self) -> list[dict[str, bytes]]:
        """Of each copy: all cursors by view, and the clock."""
        answers = self._servers.run([("HGETALL", copy) for copy in self._copies])
        return [{name.decode(): text for name, text in one.items()} for one in answers]

    def _forget(self, is_meant: Callable[[str], bool]) -> None:
        for copy, fields in zip(self._copies, self._fields(), strict=True):
            gone = [name for name in fields if is_meant(name)]
            if gone:
                self._servers.run([("HDEL", copy, *gone)])


def _definitions(fields: Mapping[str, bytes], view: str) -> dict[str, Cursor]:
    return {
        name: Cursor.of(text)
        for name, text in fields.items()
        if name.partition("@")[0] == view and name != _CLOCK
    }


def _in_places(
    count: int, groups: Sequence[tuple[list[str], list[int]]], answers: Sequence[list[Any]]
) -> list[bytes | None]:
    """The answers of groups, in the order of the keys."""
    values: list[bytes | None] = [None] * count
    for (_, places), found in zip(groups, answers, strict=True):
        for place, value in zip(places, found, strict=True):
            values[place] = value
    return values


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

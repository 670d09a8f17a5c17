"""Who asks, and what they may do. A caller is found by ``credentials``; routes call ``check``.

RefusedError              the guard answers it with its status and its headers
├── UnauthenticatedError  401: nobody we know; says no more than RFC 6750 does
├── ForbiddenError        403: known, and not allowed; says what is
├── NoRouteError          404 or 405
├── TooLargeError         413
├── TooManyError          429
└── UncheckedError        503: tokens cannot be checked at present
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from feldspar.errors import FeldsparError
from feldspar.spec.serving import ANY, FROM_CLAIM, GrantSpec

ACTIONS = ("read", "score", "push", "metrics")
_SHOWN = 5


class RefusedError(FeldsparError):
    """A request is not answered; ``headers`` go with the refusal."""

    status = 400

    def __init__(
        self, message: str, *, hint: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.headers = headers or {}


class UnauthenticatedError(RefusedError):
    """The caller is nobody we know: which part was wrong is not told."""

    status = 401

    def __init__(self, *, tried: str = "") -> None:
        error = ', error="invalid_token"' if tried else ""
        super().__init__(
            "who asks is not known",
            hint="send a key as 'X-Api-Key: ...' or a token as 'Authorization: Bearer ...'",
            headers={"www-authenticate": f'Bearer realm="feldspar"{error}'},
        )


class ForbiddenError(RefusedError):
    """The caller is known, and may not do this."""

    status = 403


class NoRouteError(RefusedError):
    """Nothing is asked at this address, or not in this way."""

    status = 404


class MethodError(NoRouteError):
    """Another method is asked at this address."""

    status = 405


class TooLargeError(RefusedError):
    """The body is larger than the limit."""

    status = 413


class TooManyError(RefusedError):
    """The caller asks more often than the limit."""

    status = 429


class UncheckedError(RefusedError):
    """Whether the caller is known cannot be said at present."""

    status = 503


@dataclass(frozen=True)
class Allowed:
    """A set of names or values: some, those that begin in a way, or all."""

    exact: frozenset[str]
    prefixes: tuple[str, ...] = ()

    @staticmethod
    def of(patterns: Iterable[str]) -> Allowed:
        """The set of patterns: ``*`` stands at the end of one that is a beginning.

        >>> "fraud_2" in Allowed.of(["fraud*"]), "credit" in Allowed.of(["fraud*"])
        (True, False)
        """
        written = tuple(patterns)
        begins = tuple(one[:-1] for one in written if one.endswith(ANY))
        return Allowed(frozenset(one for one in written if not one.endswith(ANY)), begins)

    def __contains__(self, value: str) -> bool:
        return value in self.exact or (bool(self.prefixes) and value.startswith(self.prefixes))

    def __str__(self) -> str:
        written = sorted(self.exact) + [f"{begin}{ANY}" for begin in self.prefixes]
        more = f" and {len(written) - _SHOWN} more" if len(written) > _SHOWN else ""
        return ", ".join(written[:_SHOWN]) + more if written else "none"


EVERY = Allowed(frozenset(), ("",))


@dataclass(frozen=True)
class Grant:
    """Something that a caller may do.

    Attributes:
        actions: of ``ACTIONS``.
        services: that may be asked.
        sources: that may be pushed to.
        entities: key column to values; a column that is not there may not be asked for. None:
            every entity.
    """

    actions: frozenset[str]
    services: Allowed = EVERY
    sources: Allowed = EVERY
    entities: Mapping[str, Allowed] | None = None

    @staticmethod
    def of(spec: GrantSpec, claims: Mapping[str, Any] | None = None) -> Grant:
        """The grant of a definition, with the claims of a token filled in."""
        entities = {
            column: _values(patterns, claims or {}) for column, patterns in spec.entities.items()
        }
        return Grant(
            frozenset(ACTIONS if ANY in spec.actions else spec.actions),
            Allowed.of(spec.services),
            Allowed.of(spec.sources),
            entities or None,
        )

    def allows(self, action: str, name: str, keys: Mapping[str, Any]) -> bool:
        """Whether it covers a request."""
        if action not in self.actions:
            return False
        if name not in (self.sources if action == "push" else self.services):
            return False
        if self.entities is None:
            return True
        return all(
            column in self.entities and str(value) in self.entities[column]
            for column, value in keys.items()
        )

    def __str__(self) -> str:
        names = f"services {self.services}"
        if "push" in self.actions:
            names += f" and sources {self.sources}"
        said = f"{', '.join(sorted(self.actions))} of {names}"
        if self.entities is None:
            return said
        return said + "".join(f", {column} {values}" for column, values in self.entities.items())


@dataclass(frozen=True)
class Caller:
    """Somebody who asks; ``known`` is False for one who did not say who they are."""

    name: str
    grants: tuple[Grant, ...] = ()
    known: bool = True

    def may(self, action: str) -> bool:
        """Whether the action is allowed for any service and entity at all."""
        return any(action in grant.actions for grant in self.grants)

    def sees(self, service: str) -> bool:
        """Whether there is any entity of which the caller may read the service's features."""
        return any("read" in one.actions and service in one.services for one in self.grants)

    def check(self, action: str, name: str, keys: Mapping[str, Any]) -> None:
        """Stops what the caller may not do.

        Args:
            action: of ``ACTIONS``.
            name: of the service that is asked, or the source that is pushed to.
            keys: key columns of the entities that the request is about, with the values that are
                looked up or stored: the text of a number may say another one (``10e-1``).

        Raises:
            ForbiddenError: says what is allowed.
        """
        if not any(grant.allows(action, name, keys) for grant in self.grants):
            asked = "".join(f", {column} {value}" for column, value in keys.items())
            raise self._refusal(f"{action} {name}{asked}")

    def check_rows(self, action: str, name: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Stops a batch of which one row is not allowed; arguments as of ``check``.

        Raises:
            ForbiddenError: says which, and what is allowed.
        """
        for keys in rows:
            self.check(action, name, keys)

    def check_action(self, action: str) -> None:
        """Stops an action that the caller may do with nothing.

        Raises:
            ForbiddenError: says what is allowed.
        """
        if not self.may(action):
            raise self._refusal(action)

    def _refusal(self, asked: str) -> ForbiddenError:
        allowed = "; ".join(str(grant) for grant in self.grants) or "nothing"
        return ForbiddenError(
            f"caller {self.name} may not {asked}",
            hint=f"it may: {allowed}; grants stand in conf/environments, serving",
        )


EVERYTHING = Grant(frozenset(ACTIONS))
LOCAL = Caller("local", (EVERYTHING,))
"""Whoever asks a server that is open to its own machine."""
NOBODY = Caller("nobody", known=False)
"""Who did not say who they are, where nobody has to."""


def _values(patterns: Iterable[str], claims: Mapping[str, Any]) -> Allowed:
    """A claim is a value or a list of some, never a pattern: whoever asks may have chosen it."""
    written, exact = [], set[str]()
    for pattern in patterns:
        if not pattern.startswith(FROM_CLAIM):
            written.append(pattern)
            continue
        claim = claims.get(pattern.removeprefix(FROM_CLAIM))
        values = claim if isinstance(claim, list) else [claim]
        exact |= {
            str(one) for one in values if isinstance(one, str | int) and not isinstance(one, bool)
        }
    found = Allowed.of(written)
    return Allowed(found.exact | exact, found.prefixes)

"""What each route needs; a route that stands not here is not there, whatever the app knows.

Whether the caller may ask about this very service and entity is checked by the route, which alone
knows them: ``scope["state"]["caller"].check(...)``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from feldspar.serving.access.callers import MethodError, NoRouteError


class Need(Enum):
    """What a route wants to know of its caller."""

    NOTHING = "nothing"
    KNOWN = "known"
    ACTION = "action"


@dataclass(frozen=True)
class Rule:
    """One route: its template, and what it needs.

    Attributes:
        route: ``/push/{source}``; a parameter is one step of a path.
        need: of its caller.
        action: with ``Need.ACTION``, one of ``callers.ACTIONS``.
    """

    route: str
    need: Need
    action: str = ""

    @property
    def writes(self) -> bool:
        """Whether it changes something that is stored."""
        return self.action == "push"


def _action(route: str, action: str) -> Rule:
    return Rule(route, Need.ACTION, action)


RULES: Mapping[str, Rule] = {
    "POST /score": _action("/score", "score"),
    "POST /score/{service}": _action("/score/{service}", "score"),
    "POST /features": _action("/features", "read"),
    "POST /features/{service}": _action("/features/{service}", "read"),
    "GET /api/v1/features": _action("/api/v1/features", "read"),
    "POST /push/{source}": _action("/push/{source}", "push"),
    "POST /update-features/{entity}": _action("/update-features/{entity}", "push"),
    "GET /metrics": _action("/metrics", "metrics"),
    "GET /health": Rule("/health", Need.NOTHING),
    "GET /ready": Rule("/ready", Need.NOTHING),
    "GET /docs": Rule("/docs", Need.KNOWN),
    "GET /docs/oauth2-redirect": Rule("/docs/oauth2-redirect", Need.KNOWN),
    "GET /redoc": Rule("/redoc", Need.KNOWN),
    "GET /openapi.json": Rule("/openapi.json", Need.KNOWN),
}
"""Method and template to rule."""
_PARAMETER = re.compile(r"\{\w+\}")


class Routes:
    """Finds the rule of a request."""

    def __init__(self, rules: Mapping[str, Rule] = RULES) -> None:
        self._rules = dict(rules)
        self._templates = [
            (re.compile(_PARAMETER.sub("[^/]+", key)), rule)
            for key, rule in rules.items()
            if "{" in key
        ]
        self._methods: dict[str, set[str]] = {}
        for key, rule in rules.items():
            self._methods.setdefault(rule.route, set()).add(key.partition(" ")[0])

    def find(self, method: str, path: str) -> Rule:
        """The rule of a route.

        Raises:
            NoRouteError: there is none.
            MethodError: there is one for other methods.
        """
        # HEAD asks for what GET would say
        key = f"{'GET' if method == 'HEAD' else method} {path}"
        rule = self._rules.get(key)
        if rule is not None and "{" not in path:
            return rule
        for pattern, rule in self._templates:
            if pattern.fullmatch(key):
                return rule
        raise self._refusal(path)

    def _refusal(self, path: str) -> NoRouteError:
        for route, methods in self._methods.items():
            if re.fullmatch(_PARAMETER.sub("[^/]+", route), path):
                allowed = ", ".join(sorted(methods))
                return MethodError("Method Not Allowed", headers={"allow": allowed})
        return NoRouteError("Not Found")

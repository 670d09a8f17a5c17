"""What differs between a deployed definition and the one in conf/, and whether it breaks.

Additive changes keep every stored value and every trained model valid; breaking ones do not,
and wait for ``--accept``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_FREE = frozenset({"description", "checks", "rules", "unknown_columns", "ttl", "path"})
"""Keys that may change without touching what is stored: they hold from now on."""
_NAMED = ("features", "derive", "columns")
"""Keys whose own keys are names that a user gave."""


@dataclass(frozen=True)
class Change:
    """Paths that were added, that changed freely, and that break."""

    added: tuple[str, ...] = ()
    free: tuple[str, ...] = ()
    breaking: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.free or self.breaking)

    def __str__(self) -> str:
        parts = [
            f"{name}: {', '.join(paths)}"
            for name, paths in (
                ("breaking", self.breaking),
                ("added", self.added),
                ("changed", self.free),
            )
            if paths
        ]
        return "; ".join(parts)


def compare(deployed: str, wanted: str) -> Change:
    """Compares two canonical definitions.

    A new key below ``features``, ``derive`` or ``columns`` is an addition, and so is a longer
    list of ``windows``; anything else that is stored with the data breaks.
    """
    if deployed == wanted:
        return Change()
    kinds: dict[str, list[str]] = {"added": [], "free": [], "breaking": []}
    for kind, path in _differences(_said(deployed), _said(wanted), ()):
        kinds[kind].append(".".join(path))
    return Change(**{kind: tuple(sorted(paths)) for kind, paths in kinds.items()})


def _said(definition: str) -> Any:
    """What a definition says: a key that only a newer release knows is null and says nothing."""
    return _without_nulls(json.loads(definition))


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(part) for key, part in value.items() if part is not None}
    return value


def _differences(
    old: Any, new: Any, path: tuple[str, ...]
) -> Iterator[tuple[str, tuple[str, ...]]]:
    if old == new:
        return
    if path and _is_free(path[:-1], path[-1]):
        yield "free", path
    elif isinstance(old, dict) and isinstance(new, dict):
        for key in sorted({*old, *new}):
            if key not in old:
                yield _kind_of_addition(path, key), (*path, key)
            elif key not in new:
                yield ("free" if _is_free(path, key) else "breaking"), (*path, key)
            else:
                yield from _differences(old[key], new[key], (*path, key))
    elif isinstance(old, list) and isinstance(new, list) and path[-1] == "windows":
        yield ("added" if set(old) <= set(new) else "breaking"), path
    else:
        yield "breaking", path


def _kind_of_addition(path: tuple[str, ...], key: str) -> str:
    if _is_free(path, key):
        return "free"
    return "added" if path and path[-1] in _NAMED else "breaking"


def _is_free(parent: tuple[str, ...], key: str) -> bool:
    # a column may well be named ``path`` or ``description``
    return key in _FREE and not (parent and parent[-1] in _NAMED)

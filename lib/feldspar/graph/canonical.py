"""Canonical JSON of definitions: equal text means equal meaning, and it can be compared later."""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel

_ELSEWHERE = ("cost", "description", "freshness", "history", "trigger")
"""Keys of a spec that change nothing of the table it makes: history is a table of its own."""


def canonical(value: Any) -> str:
    """JSON with sorted keys; specs are dumped by alias, without what their table does not hold."""
    return json.dumps(_plain(value), sort_keys=True, separators=(",", ":"), default=str)


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        dumped = value.model_dump(mode="json", by_alias=True)
        return {key: part for key, part in dumped.items() if key not in _ELSEWHERE}
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return value

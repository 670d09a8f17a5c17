"""What schemathesis cannot know of the served project; it loads this module by its name.

Valid requests ask for customers that are mostly known, at times that Redis answers: how T before
them is refused depends on data, and has tests of its own. Links let one answer lead to the next.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import schemathesis
from schemathesis import Case, HookContext

FLOOR = os.environ.get("FUZZ_FLOOR", "")
"""What Redis answers begins before."""
_TIMES = ("at", "tx_datetime")
_WHOLE = ("customer_id", "terminal_id", "transaction_id", "visit_id", "logins", "reasons")
_BELOW = {"customer_id": 3, "logins": 100}
"""Customers 1 and 2 are known, 0 is not; a rule of visits asks for fewer logins."""
_MOST = 2**63 - 1
_LINKED = ("/features", "/score")


@schemathesis.hook
def before_load_schema(_: HookContext, raw_schema: dict[str, Any]) -> None:
    """The entity of an answer is asked again, at the time of the answer."""
    linked = [path for path in _LINKED if path in raw_schema["paths"]]
    for path in linked:
        answer = raw_schema["paths"][path]["post"]["responses"]["200"]
        answer["links"] = {
            f"then_{other[1:]}": {
                "operationRef": f"#/paths/~1{other[1:]}/post",
                "requestBody": {
                    "customer_id": "$response.body#/customer_id",
                    "at": "$response.body#/timestamp",
                },
            }
            for other in linked
        }


@schemathesis.hook
def before_call(_: HookContext, case: Case, kwargs: dict[str, Any]) -> None:
    """Leads valid requests to what is there; wrong ones stay as they are."""
    del kwargs
    if case.meta is None or case.meta.generation.mode.is_negative:
        return
    # pushes are spread: an entity's rows are all kept until gold is pushed
    below = {**_BELOW, "customer_id": 500} if case.path.startswith("/push") else _BELOW
    for node in (case.path_parameters, *_objects(case.body)):
        node.update({name: _served(name, value, below) for name, value in node.items()})


def _served(name: str, value: Any, below: Mapping[str, int]) -> Any:
    if name in _TIMES and isinstance(value, str):
        return max(value, FLOOR)
    if name == "seen_at" and isinstance(value, str):
        return datetime.now(UTC).isoformat()
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    # to JSON Schema 1.0 is an integer; to a strict server it is none
    number = int(value) if name in _WHOLE else value
    if name in below:
        return number % below[name]
    # FastAPI keeps bounds as floats: its document says more than it means
    return max(-_MOST, min(number, _MOST))


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    inner = value.values() if isinstance(value, dict) else value
    for one in inner if isinstance(value, dict | list) else ():
        yield from _objects(one)

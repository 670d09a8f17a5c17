"""The id that a request has in its answer and in every line of log that is about it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextvars import ContextVar

REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="")
"""Of the request that this task, or this thread of it, works for."""
_WELL_FORMED = re.compile(rb"[A-Za-z0-9._\-]{1,64}")
_TRACEPARENT = re.compile(
    rb"[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}.*"
)


def request_id(headers: Mapping[bytes, bytes]) -> str:
    """The id that the caller gave, if it can stand in a log, else a new one.

    ``X-Request-Id`` wins over the trace of a ``traceparent`` (W3C Trace Context).

    >>> request_id({b"x-request-id": b"order-7"})
    'order-7'
    """
    given = headers.get(b"x-request-id")
    if given is not None and _WELL_FORMED.fullmatch(given):
        return given.decode("ascii")
    trace = headers.get(b"traceparent")
    found = None if trace is None else _TRACEPARENT.fullmatch(trace)
    return found[1].decode("ascii") if found else os.urandom(16).hex()

"""How large a request may be: the bytes of its body, and the rows of a batch."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from feldspar.serving.access.callers import TooLargeError
from feldspar.spec.serving import LimitsSpec

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
_DIGITS = 18
_BODILESS = frozenset({"GET", "HEAD"})


def check_rows(limits: LimitsSpec, rows: int) -> None:
    """Stops a batch of too many rows; called by the routes, which alone know them.

    Raises:
        TooLargeError: there are more than the limit.
    """
    if rows > limits.rows:
        raise TooLargeError(
            f"a request may have {limits.rows} rows; this one has {rows}",
            hint="send fewer at a time; the limit is serving.limits.rows",
        )


async def body_within(
    most: int, method: str, headers: Mapping[bytes, bytes], receive: Receive
) -> Receive:
    """What the app reads the body by; one whose length is not declared is read here.

    Args:
        most: bytes that it may have.
        method: of the request.
        headers: of the request.
        receive: what the server gives.

    Raises:
        TooLargeError: it has more.
    """
    declared = headers.get(b"content-length")
    if declared is not None and b"transfer-encoding" not in headers:
        # the server holds the caller to the length that was declared
        if declared.isdigit() and len(declared) <= _DIGITS and int(declared) <= most:
            return receive
        raise _too_large(most)
    if declared is None and method in _BODILESS:
        return receive
    parts, size, more = list[bytes](), 0, True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            return _again(message, receive)
        part = message.get("body", b"")
        size += len(part)
        if size > most:
            raise _too_large(most)
        parts.append(part)
        more = message.get("more_body", False)
    return _again({"type": "http.request", "body": b"".join(parts), "more_body": False}, receive)


def _again(message: Message, receive: Receive) -> Receive:
    """Gives the message first, then what else there is."""
    waiting = [message]

    async def next_message() -> Message:
        return waiting.pop() if waiting else await receive()

    return next_message


def _too_large(most: int) -> TooLargeError:
    return TooLargeError(
        f"a body may have {most} bytes",
        hint="send fewer rows at a time; the limit is serving.limits.body_bytes",
    )

"""Clocks, durations and instants; the only module that reads the wall clock.

All instants are UTC with microseconds. Naive times are refused, never guessed.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from feldspar.errors import UsageError

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
MICROS_A_SECOND = 1_000_000

_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_DURATION = re.compile(r"^(\d+)(s|m|h|d|w)$")


def parse_duration(text: str) -> timedelta:
    """A length of time such as ``90s``, ``5m``, ``1h``, ``7d`` or ``2w``.

    >>> parse_duration("7d")
    datetime.timedelta(days=7)
    """
    match = _DURATION.match(text.strip())
    if match is None:
        raise UsageError(f"{text!r} is not a duration", hint="write e.g. 90s, 5m, 1h, 7d or 2w")
    return timedelta(seconds=int(match.group(1)) * _UNITS[match.group(2)])


def format_duration(length: timedelta) -> str:
    """The shortest text that ``parse_duration`` reads back.

    >>> format_duration(timedelta(days=7)), format_duration(timedelta(minutes=90))
    ('7d', '90m')
    """
    seconds = int(length.total_seconds())
    for unit in ("d", "h", "m"):
        if seconds and seconds % _UNITS[unit] == 0:
            return f"{seconds // _UNITS[unit]}{unit}"
    return f"{seconds}s"


def rough_duration(length: timedelta) -> str:
    """The two greatest units of a length of time, rounded down: enough for people.

    >>> rough_duration(timedelta(days=3, hours=4, minutes=5)), rough_duration(timedelta(seconds=7))
    ('3d 4h', '7s')
    """
    seconds, parts = int(length.total_seconds()), list[str]()
    for unit in ("d", "h", "m", "s"):
        number, seconds = divmod(seconds, _UNITS[unit])
        parts += [f"{number}{unit}"] if number or parts else []
    return " ".join(part for part in parts[:2] if not part.startswith("0")) or "0s"


def parse_instant(text: str) -> datetime:
    """An ISO 8601 instant; a missing zone is refused.

    >>> parse_instant("2018-08-08T00:00:00Z").isoformat()
    '2018-08-08T00:00:00+00:00'
    """
    try:
        instant = datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise UsageError(f"{text!r} is not an ISO 8601 time: {error}") from error
    if instant.tzinfo is None:
        raise UsageError(f"{text!r} names no zone", hint=f"write {instant.isoformat()}Z for UTC")
    try:
        return instant.astimezone(UTC)
    except OverflowError as error:
        raise UsageError(f"{text!r} is outside the years 1 to 9999 of UTC") from error


def parse_since(text: str, now: datetime) -> datetime:
    """An ISO 8601 instant, or a length of time before now.

    >>> parse_since("24h", datetime(2018, 8, 9, tzinfo=UTC)).isoformat()
    '2018-08-08T00:00:00+00:00'
    """
    if _DURATION.match(text.strip()):
        return now - parse_duration(text)
    try:
        return parse_instant(text)
    except UsageError as error:
        hint = error.hint or "write e.g. 24h or 2026-01-31T00:00:00Z"
        raise UsageError(error.message, hint=hint) from error


def to_micros(instant: datetime) -> int:
    """Microseconds since the epoch, exact."""
    if instant.tzinfo is None:
        raise UsageError(f"{instant} names no zone", hint="use an aware datetime in UTC")
    return (instant - EPOCH) // MICROSECOND


def from_micros(micros: int) -> datetime:
    """The instant of ``to_micros``."""
    return EPOCH + timedelta(microseconds=micros)


def duration_micros(length: timedelta) -> int:
    """A duration in microseconds, exact."""
    return length // MICROSECOND


def utc_now() -> datetime:
    """The wall clock; everything else gets its time handed in."""
    return datetime.now(UTC)

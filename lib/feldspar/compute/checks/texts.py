"""Texts as values of declared types, in plain Python: what ``refine.typing`` does in Spark.

Both refuse the same texts for the same reasons; tests hold one against the other.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from feldspar.spec.types import BIGINT_MAX, BIGINT_MIN, INT_MAX, INT_MIN, ColumnType
from feldspar.times import EPOCH, from_micros, to_micros

# Spark's own casts also take 'now', '12:00' (of today), '2018', '1d' and '0x1p3'
_DAY = r"\s*\d{4}-\d{1,2}-\d{1,2}"
_MOMENT = _DAY + r"[T ]\d{1,2}:\d{1,2}(:\d{1,2}(\.\d*)?)?"
LOCAL = rf"^({_DAY}|{_MOMENT})\s*$"
ZONED = rf"^{_MOMENT}\s*[a-zA-Z+-]\S*\s*$"
DATE = rf"^{_DAY}([T ]00:00(:00(\.0*)?)?)?\s*$"
NUMBER = r"^\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*$"
UNKNOWN = "unknown_column"
FUTURE, NO_KNOWN_TIME = "event_time:in_the_future", "known_time:not_null"

_IS_LOCAL, _IS_ZONED, _IS_DATE, _IS_NUMBER = (
    re.compile(one, re.ASCII) for one in (LOCAL, ZONED, DATE, NUMBER)
)
_IS_WHOLE = re.compile(r"[+-]?\d+", re.ASCII)
_LONGEST_WHOLE = 1_000
"""A longer text is no number, and takes long to be made one."""
_FIELDS = re.compile(
    r"\s*(\d+)-(\d+)-(\d+)(?:[T ](\d+):(\d+)(?::(\d+)(?:\.(\d*))?)?)?\s*(.*?)\s*", re.ASCII
)
_OFFSET = re.compile(r"(?:UTC|GMT|UT)?([+-])(\d{1,2})(?::?(\d{2}))?(?::?(\d{2}))?", re.ASCII)
_UTC = frozenset({"Z", "UTC", "GMT", "UT"})
_LONGEST_OFFSET = timedelta(hours=18)
_MOST = 59
_CONTROL = "".join(map(chr, range(33)))
"""What casts take off both ends of a text."""
_WORDS = {
    **dict.fromkeys(("t", "true", "y", "yes", "1"), True),
    **dict.fromkeys(("f", "false", "n", "no", "0"), False),
}
Typing = Callable[[str], Any]


def missing(name: str) -> str:
    """The reason of a row whose file or table has no column of this name."""
    return f"{name}:missing_column"


def untyped(name: str, wanted: ColumnType, zone: str | None) -> str:
    """The reason of a value that is not of its column's type.

    >>> untyped("paid_at", ColumnType.TIMESTAMP, None), untyped("level", ColumnType.INT, None)
    ('paid_at:not_a_timestamp_with_zone', 'level:not_a_int')
    """
    match wanted:
        case ColumnType.TIMESTAMP:
            what = "not_a_timestamp" if zone else "not_a_timestamp_with_zone"
        case ColumnType.DOUBLE:
            what = "not_a_finite_number"
        case _:
            what = f"not_a_{wanted.value}"
    return f"{name}:{what}"


def typing_of(wanted: ColumnType, zone: str | None) -> Typing:
    """What gives texts this type: instants in microseconds, dates in days; None: it is none.

    Args:
        wanted: the type.
        zone: of times that name none; without it they are refused.
    """
    match wanted:
        case ColumnType.STRING:
            return str
        case ColumnType.INT:
            return lambda text: _whole(text, INT_MIN, INT_MAX)
        case ColumnType.BIGINT:
            return lambda text: _whole(text, BIGINT_MIN, BIGINT_MAX)
        case ColumnType.TIMESTAMP:
            local = None if zone is None else ZoneInfo(zone)
            return lambda text: _instant(text, local)
        case _:
            return _OTHERS[wanted]


def text_of(value: Any, kind: ColumnType) -> str | None:
    """The text that is typed as this value again, by any engine."""
    match kind:
        case _ if value is None:
            return None
        case ColumnType.BOOLEAN:
            return "true" if value else "false"
        case ColumnType.TIMESTAMP:
            return from_micros(value).isoformat(timespec="microseconds").replace("+00:00", "Z")
        case ColumnType.DATE:
            return (EPOCH.date() + timedelta(days=value)).isoformat()
        case ColumnType.DOUBLE:
            return repr(float(value))
        case _:
            return str(value)


def _whole(text: str, low: int, high: int) -> int | None:
    digits = text.strip(_CONTROL)
    if len(digits) > _LONGEST_WHOLE or not _IS_WHOLE.fullmatch(digits):
        return None
    value = int(digits)
    return value if low <= value <= high else None


def _finite(text: str) -> float | None:
    if not _IS_NUMBER.match(text):
        return None
    value = float(text)
    return value if math.isfinite(value) else None


def _truth(text: str) -> bool | None:
    return _WORDS.get(text.strip(_CONTROL).lower())


def _days(text: str) -> int | None:
    if not _IS_DATE.match(text):
        return None
    found = _FIELDS.fullmatch(text)
    try:
        return None if found is None else (date(*map(int, found.groups()[:3])) - EPOCH.date()).days
    except ValueError:
        return None


def _instant(text: str, local: tzinfo | None) -> int | None:
    zoned = _IS_ZONED.match(text)
    if not zoned and (local is None or not _IS_LOCAL.match(text)):
        return None
    found = _FIELDS.fullmatch(text)
    if found is None:
        return None
    *fields, fraction, name = found.groups(default="")
    zone = _zone(name) if zoned else local
    if zone is None:
        return None
    # what is finer than a microsecond is cut off
    micros = int(fraction[:6].ljust(6, "0"))
    year, month, day, hour, minute, second = (int(one or 0) for one in fields)
    try:
        at = datetime(year, month, day, hour, minute, second, micros, tzinfo=zone)
        return to_micros(at.astimezone(UTC))
    except (ValueError, OverflowError):
        return None


def _zone(name: str) -> tzinfo | None:
    """The zone of an offset, or of a name such as ``Europe/Brussels``."""
    if name in _UTC:
        return UTC
    found = _OFFSET.fullmatch(name)
    if found is None:
        try:
            return ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            return None
    sign, hours, minutes, seconds = found.groups(default="0")
    if int(minutes) > _MOST or int(seconds) > _MOST:
        return None
    offset = timedelta(hours=int(hours), minutes=int(minutes), seconds=int(seconds))
    if offset > _LONGEST_OFFSET:
        return None
    return timezone(-offset if sign == "-" else offset)


_OTHERS: Mapping[ColumnType, Typing] = {
    ColumnType.BOOLEAN: _truth,
    ColumnType.DOUBLE: _finite,
    ColumnType.DATE: _days,
}

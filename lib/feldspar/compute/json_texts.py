"""JSON objects as the texts of their keys, as they were written; plain Python.

Spark itself reads numbers and writes them anew (2.50 becomes 2.5, a long decimal another number),
takes keys that differ by upper and lower case for one, and drops what follows an object in a line.
"""

from __future__ import annotations

import re
from json.decoder import JSONDecoder
from typing import Any

_BLANKS = r"[ \t\n\r]*"
_OPEN = re.compile(rf"{_BLANKS}\{{{_BLANKS}")
_COLON = re.compile(rf"{_BLANKS}:{_BLANKS}")
_COMMA = re.compile(rf"{_BLANKS},{_BLANKS}")
_CLOSE = re.compile(rf"{_BLANKS}\}}{_BLANKS}\Z")
_LIST = re.compile(rf"{_BLANKS}\[{_BLANKS}")
_END = re.compile(rf"{_BLANKS}\]{_BLANKS}\Z")
_QUOTE = '"'
_NESTED = frozenset({dict, list})
_UNPARSED = (ValueError, RecursionError)


def _refuse(word: str) -> None:
    """NaN and infinities are words of Python, not of JSON."""
    raise ValueError(word)


# numbers stay text: nothing is computed, and no number is too long
_DECODER = JSONDecoder(parse_int=str, parse_float=str, parse_constant=_refuse)
_WORDS = {True: "true", False: "false"}


def split(text: str) -> dict[str, str | None] | None:
    """The texts of an object's keys; None where the text is anything but one object.

    Of a key that comes twice the last value counts.

    >>> split('{"a": 2.50, "b": "x", "c": null, "d": [1, 2] }')
    {'a': '2.50', 'b': 'x', 'c': None, 'd': '[1, 2]'}
    >>> split("[1]"), split('{"a": 1} {"a": 2}'), split('{"a": NaN}')
    (None, None, None)
    """
    try:
        return _split(text)
    except _UNPARSED:
        return None


def _split(text: str) -> dict[str, str | None]:
    # the whole in one call, and value by value only where it must be: five times as fast
    found: Any = _DECODER.decode(text)
    if not isinstance(found, dict):
        raise ValueError("no object")
    kinds = set(map(type, found.values()))
    if not _NESTED.isdisjoint(kinds):
        found = _as_written(text)
    elif bool in kinds:
        found = {
            key: _WORDS[value] if isinstance(value, bool) else value for key, value in found.items()
        }
    if "\\u" in text:
        # half a character is no text that a column can hold
        "".join([*found, *filter(None, found.values())]).encode()
    texts: dict[str, str | None] = found
    return texts


def _as_written(text: str) -> dict[str, str | None]:
    """Keys of an object, and their values as they stand in it; texts without their quotes."""
    found: dict[str, str | None] = {}
    place = _past(_OPEN, text, 0)
    while True:
        key, place = _DECODER.raw_decode(text, place)
        start = _past(_COLON, text, place)
        value, end = _DECODER.raw_decode(text, start)
        is_text = text[start] == _QUOTE or value is None
        found[key] = value if is_text else text[start:end]
        if _CLOSE.match(text, end):
            return found
        place = _past(_COMMA, text, end)


def _past(sign: re.Pattern[str], text: str, place: int) -> int:
    match = sign.match(text, place)
    if match is None:
        raise ValueError(f"no {sign.pattern} at {place}")
    return match.end()


def elements(text: str) -> list[str] | None:
    """The values of a list as they were written; None where the text is anything else.

    >>> elements('[{"a": 2.50}, 3]'), elements("[]"), elements("{}")
    (['{"a": 2.50}', '3'], [], None)
    """
    begin = _LIST.match(text)
    if begin is None:
        return None
    if _END.match(text, begin.end()):
        return []
    try:
        return _elements(text, begin.end())
    except _UNPARSED:
        return None


def _elements(text: str, place: int) -> list[str]:
    found: list[str] = []
    while True:
        _, end = _DECODER.raw_decode(text, place)
        found.append(text[place:end])
        if _END.match(text, end):
            return found
        place = _past(_COMMA, text, end)


def split_many(text: str, *, most: int) -> list[dict[str, str | None]] | None:
    """The texts of one object's keys, or of each object in a list.

    Args:
        text: JSON.
        most: objects that there may be, at least one.

    Returns:
        None where the text is anything else.

    >>> split_many('[{"a": 1}, {"b": [2.50]}]', most=2)
    [{'a': '1'}, {'b': '[2.50]'}]
    >>> split_many('{"a": 1}', most=1), split_many("[]", most=1), split_many("[1]", most=1)
    ([{'a': '1'}], None, None)
    """
    begin = _LIST.match(text)
    if begin is None:
        one = split(text)
        return None if one is None else [one]
    try:
        return _split_list(text, begin.end(), most)
    except _UNPARSED:
        return None


def _split_list(text: str, place: int, most: int) -> list[dict[str, str | None]] | None:
    found: list[dict[str, str | None]] = []
    while len(found) < most:
        _, end = _DECODER.raw_decode(text, place)
        found.append(_split(text[place:end]))
        if _END.match(text, end):
            return found
        place = _past(_COMMA, text, end)
    return None

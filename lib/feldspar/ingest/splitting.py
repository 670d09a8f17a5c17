"""Splits JSON objects into the texts of their keys, as they were written; runs in Spark's tasks.

Spark itself reads numbers and writes them anew (2.50 becomes 2.5, a long decimal another number),
takes keys that differ by upper and lower case for one, and drops what follows an object in a line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from json.decoder import JSONDecoder
from typing import Any

import pyarrow as pa

_BLANKS = r"[ \t\n\r]*"
_OPEN = re.compile(rf"{_BLANKS}\{{{_BLANKS}")
_COLON = re.compile(rf"{_BLANKS}:{_BLANKS}")
_COMMA = re.compile(rf"{_BLANKS},{_BLANKS}")
_CLOSE = re.compile(rf"{_BLANKS}\}}{_BLANKS}\Z")
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


@dataclass(frozen=True)
class Splitter:
    """Puts columns of text in place of a column of JSON objects.

    A value that is no object, or that has a key of another name, goes whole into ``corrupt``; a
    value that is null has neither.
    """

    value: str
    names: tuple[str, ...]
    corrupt: str

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """For ``mapInArrow``: the other columns, ``corrupt``, and the names in their order."""
        for batch in batches:
            kept = [name for name in batch.schema.names if name != self.value]
            others = [batch.column(name) for name in kept]
            added = self._columns(batch.column(self.value).to_pylist())
            texts = [pa.array(column, pa.string()) for column in added]
            names = [*kept, self.corrupt, *self.names]
            yield pa.RecordBatch.from_arrays([*others, *texts], names=names)

    def _columns(self, texts: list[str | None]) -> list[list[str | None]]:
        known = set(self.names)
        corrupt: list[str | None] = []
        columns: list[list[str | None]] = [[] for _ in self.names]
        for text in texts:
            found = {} if text is None else split(text)
            fits = found is not None and found.keys() <= known
            corrupt.append(None if fits else text)
            values = found if found is not None and fits else {}
            for name, column in zip(self.names, columns, strict=True):
                column.append(values.get(name))
        return [corrupt, *columns]

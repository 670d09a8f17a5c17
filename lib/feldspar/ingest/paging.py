"""What an answer of an HTTP server holds: items as they were written, and how to go on. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from feldspar.compute.json_texts import elements, split
from feldspar.errors import InputError, nearest
from feldspar.graph.observed import Asking
from feldspar.spec.paging import CursorPaging, LinkPaging, PagePaging, Place, Since
from feldspar.spec.source import HttpSource


@dataclass(frozen=True)
class Seen:
    """What earlier pages gave, as far as it may be given again.

    ``newest``: the highest value of ``since.field``; ``recent``: numbers that stand for items, each
    with its value, from the lowest on that the next round asks for.
    """

    newest: str | None = None
    recent: Mapping[int, int] = field(default_factory=dict)


def request_of(source: HttpSource, asking: Asking) -> tuple[dict[str, str], str | None]:
    """Parameters of a request, and the link that is asked in place of the source's address."""
    said = {source.since.parameter: asking.since} if source.since and asking.since else {}
    match source.paging:
        case LinkPaging():
            return said, asking.next
        case CursorPaging(parameter=name) if asking.next is not None:
            return {**said, name: asking.next}, None
        case PagePaging(parameter=name, first=first):
            return {**said, name: asking.next or str(first)}, None
        case _:
            return said, None


def items_of(text: str, source: HttpSource) -> list[str]:
    """The items of an answer, each in one line.

    Raises:
        InputError: there is no list where ``items`` says; what is there is named.
    """
    found = _at(text, source.items) if source.items else text
    listed = None if found is None else elements(found)
    if listed is None:
        raise InputError(f"an answer has no list {_where(source)}{_instead(text, source.items)}")
    # line ends stand between values only: within a text JSON writes them as \\n
    return [one.replace("\r", " ").replace("\n", " ") for one in listed]


def next_of(
    text: str, source: HttpSource, asking: Asking, *, items: int, link: str | None
) -> str | None:
    """Cursor, link or number of the page after this one; None: it is the last.

    Raises:
        InputError: it is the one that was asked for: there is no end to it.
    """
    match source.paging:
        case CursorPaging(path=path):
            found = _at(text, path) or None
        case LinkPaging(path=path):
            found = link if path is None else _at(text, path) or None
        case PagePaging(first=first):
            found = str(int(asking.next or first) + 1) if items else None
        case _:
            found = None
    if found is not None and found == asking.next:
        raise InputError(f"page {found} names itself as the next one; check 'paging'")
    return found


def sifted(items: Sequence[str], since: Since | None, seen: Seen) -> tuple[list[str], Seen]:
    """The items that no page before has given, and what may be given again.

    Raises:
        InputError: an item has no value of ``since.field``, or none that orders items.
    """
    if since is None:
        return list(items), Seen()
    recent, kept = dict(seen.recent), []
    newest = None if seen.newest is None else Place.of(seen.newest)
    text = seen.newest
    for number, item in enumerate(items):
        value, place = _place(item, since, number=number, like=newest)
        ident = int.from_bytes(hashlib.sha256(item.encode()).digest()[:8], signed=True)
        if ident not in recent:
            kept.append(item)
        recent[ident] = place.value
        if newest is None or place.value > newest.value:
            newest, text = place, value
    if newest is None:
        return kept, seen
    floor = since.floor(newest)
    return kept, Seen(text, {one: at for one, at in recent.items() if at >= floor})


def _place(item: str, since: Since, *, number: int, like: Place | None) -> tuple[str, Place]:
    value = _at(item, since.field)
    try:
        place = Place.of(value)
    except InputError as error:
        near = nearest(since.field, split(item) or {})
        hint = f"nearest: {', '.join(near)}" if near and value is None else ""
        raise InputError(f"{since.field} of item {number}: {error.message}", hint=hint) from error
    if like is not None and place.is_time != like.is_time:
        raise InputError(f"{since.field} of item {number} is {value!r}: not as those before it")
    return value or "", place


def _at(text: str, path: str) -> str | None:
    """A value as it was written, or the characters of a text; None: there is none, or null."""
    found: str | None = text
    for key in path.split("."):
        found = (split(found) or {}).get(key) if found is not None else None
    return found


def _where(source: HttpSource) -> str:
    return f"at {source.items} ('items')" if source.items else "('items' says where it is)"


def _instead(text: str, path: str) -> str:
    """What an answer has in place of the list."""
    known = split(text)
    if known is None:
        return f"; it is {text[:80]!r}" if elements(text) is None else "; it is a list itself"
    first = path.partition(".")[0]
    if first in known:
        return f"; there is {_short(known[first])}"
    near = nearest(first, known)
    return f"; nearest: {', '.join(near)}" if near else f"; it has {', '.join(_few(known))}"


def _few(names: Iterable[str]) -> list[str]:
    return sorted(names)[:10]


def _short(value: str | None) -> str:
    return repr((value or "null")[:80])

"""Asks HTTP servers for pages: repeats what may be repeated, and waits as it is told.

The only module that knows the client library. A token goes to the host of the source alone.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event
from urllib.parse import urlencode, urljoin, urlsplit

import urllib3
from urllib3.exceptions import HTTPError

from feldspar.errors import FeldsparError, InputError, StoreError, UnreachableError
from feldspar.spec.source import HttpSource

TRIES = 6
"""How often a request is sent at most."""
LONGEST_WAIT = 120
"""Seconds; a server that asks for more is asked again by the next run."""
LARGEST = 256 << 20
"""Bytes of one answer."""
_AGAIN = (429, 500, 502, 503, 504)
_SECONDS_TO_CONNECT, _SECONDS_TO_ANSWER = 5, 60
_NEXT = re.compile(r"<([^<>]*)>\s*;(?:[^,<]*;)?\s*rel=\"?next\"?", re.IGNORECASE)
_SHOWN = 200


@dataclass(frozen=True)
class Answer:
    """One page: its text, and the address of the next one, where a header has it."""

    text: str
    link: str | None


@dataclass
class Server:
    """The server of a source, over connections that stay open between requests."""

    source: HttpSource
    name: str
    pool: urllib3.PoolManager
    pause: Event = field(default_factory=Event)
    due: float = 0.0
    clock: Callable[[], float] = time.monotonic

    def page(self, parameters: Mapping[str, str], link: str | None = None) -> Answer:
        """What the server answers.

        Args:
            parameters: of the request, beside those that the source states.
            link: an address that the server gave, in place of the source's.

        Raises:
            UnreachableError: no answer, or none that helps, after all tries.
            InputError: there is nothing at this address, or the answer is no text.
            StoreError: the server refuses.
        """
        self.pause.wait(max(0.0, self.due - self.clock()))
        self.due = self.clock() + 1 / self.source.rate
        url = self._checked(link) if link else self._address(parameters)
        try:
            answer = self.pool.request("GET", url, headers=self._headers())
        except HTTPError as error:
            raise UnreachableError(
                f"{self._place()} does not answer: {_reason(error)}",
                hint=f"is it up? the address is 'url' in {self._file()}",
            ) from error
        if answer.status != 200:
            raise self._refused(answer.status, answer.data)
        return Answer(self._text(answer.data), _next_link(answer.headers.get("Link"), url))

    def _address(self, parameters: Mapping[str, str]) -> str:
        words = urlencode({**self.source.parameters, **parameters})
        return f"{self.source.url}?{words}" if words else self.source.url

    def _checked(self, link: str) -> str:
        """A server's own link; our token is not for others."""
        url = urljoin(self.source.url, link)
        mine, other = urlsplit(self.source.url), urlsplit(url)
        if (mine.scheme, mine.netloc) != (other.scheme, other.netloc):
            text = f"{self._place()}: the next page is said to be at {other.netloc}"
            hint = f"check 'paging' in {self._file()}"
            raise StoreError(f"{text}, another server: it is not asked", hint=hint)
        return url

    def _headers(self) -> dict[str, str]:
        found = {"Accept": "application/json"}
        if self.source.token:
            name = self.source.header or "Authorization"
            found[name] = self.source.token if self.source.header else f"Bearer {self.source.token}"
        return found

    def _text(self, data: bytes) -> str:
        if len(data) > LARGEST:
            raise InputError(
                f"{self._place()}: a page has {len(data):,} bytes; {LARGEST:,} are the most",
                hint="ask for smaller pages by 'parameters'",
            )
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise InputError(f"{self._place()}: an answer is not UTF-8") from error

    def _refused(self, status: int, data: bytes) -> FeldsparError:
        text = " ".join(data[:_SHOWN].decode(errors="replace").split())
        told = f"{self._place()} answers {status}" + (f": {text}" if text else "")
        if status in _AGAIN:
            hint = "the next run goes on from here"
            return UnreachableError(f"{told} ({TRIES} tries)", hint=hint)
        if status in (401, 403):
            return StoreError(told, hint=f"check 'token' and 'header' in {self._file()}")
        if status == 404:
            return InputError(told, hint=f"check 'url' in {self._file()}")
        return StoreError(told, hint=f"check 'parameters' and 'paging' in {self._file()}")

    def _place(self) -> str:
        return f"source {self.name}: {self.source.url}"

    def _file(self) -> str:
        return f"conf/sources/{self.name}.yaml"


@contextmanager
def open_server(source: HttpSource, name: str, *, patience: float = 0.5) -> Iterator[Server]:
    """The server of a source; connections are closed at the end.

    Args:
        source: says where it is.
        name: of the source, for messages.
        patience: seconds before the second try; each further one waits twice as long.
    """
    retries = urllib3.Retry(
        total=TRIES - 1,
        status_forcelist=_AGAIN,
        backoff_factor=patience,
        backoff_jitter=patience,
        retry_after_max=LONGEST_WAIT,
        # an answer that ends in the middle is a failed read, and asked for again
        allowed_methods=("GET",),
        # to the same place with a slash, say; whoever answers elsewhere gets no token
        redirect=2,
        remove_headers_on_redirect=("Authorization", source.header or "Authorization"),
        raise_on_status=False,
    )
    timeout = urllib3.Timeout(connect=_SECONDS_TO_CONNECT, read=_SECONDS_TO_ANSWER)
    with urllib3.PoolManager(num_pools=1, retries=retries, timeout=timeout) as pool:
        yield Server(source, name, pool)


def _next_link(header: str | None, url: str) -> str | None:
    """The address that a Link header calls the next one.

    >>> _next_link('</a?p=1>; rel="prev", </a?p=3>; rel="next"', "http://x/a")
    'http://x/a?p=3'
    """
    found = _NEXT.search(header or "")
    return urljoin(url, found[1]) if found else None


def _reason(error: HTTPError) -> str:
    """The innermost cause, without the address: it may hold what is secret."""
    reason = getattr(error, "reason", None) or error
    return f"{type(reason).__name__}: {str(reason).rpartition(': ')[2]}"[:_SHOWN]

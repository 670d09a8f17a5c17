"""An HTTP server on loopback that gives a list page by page, and fails as it is told to."""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import monotonic
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from feldspar.stack.ports import HOST

PAGE = 3
"""Items of a page."""
SECONDS_OF_REST = 1
Item = dict[str, Any]


@dataclass
class PagedApi:
    """What the server holds and does.

    Attributes:
        items: in the order in which pages give them: that of ``updated_at``.
        faults: of the requests to come: a status, ``cut``, or None for an answer.
        token: that requests must bring in ``header``; none: they need not.
        after_page: is called when a page was given.
        queries: that requests had, those that failed too.
        elsewhere: a server that links lead to in place of this one.
    """

    items: list[Item] = field(default_factory=list)
    faults: deque[int | str | None] = field(default_factory=deque)
    token: str = ""
    header: str = "Authorization"
    after_page: Callable[[], None] = lambda: None
    queries: list[dict[str, str]] = field(default_factory=list)
    elsewhere: str = ""
    port: int = 0
    rests_until: float = 0.0

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}/orders"

    def answer(self, query: dict[str, str]) -> tuple[bytes, dict[str, str]]:
        """A page, by cursor (an item's number), by number, or by link."""
        found = [one for one in self.items if one["updated_at"] >= query.get("since", "")]
        found.sort(key=lambda one: (one["updated_at"], one["id"]))
        if "page" in query:
            begin = (int(query["page"]) - 1) * PAGE
        else:
            names = [f"{one['updated_at']}/{one['id']}" for one in found]
            begin = sum(1 for name in names if name <= query.get("after", ""))
        page = found[begin : begin + PAGE]
        more = len(found) > begin + PAGE
        after = f"{page[-1]['updated_at']}/{page[-1]['id']}" if more else None
        link = f"{self.elsewhere or self.url}?{urlencode({**query, 'after': after})}"
        body = {"data": {"orders": page}, "meta": {"next": after, "link": link if more else None}}
        headers = {"Link": f'<{self.url}>; rel="first", <{link}>; rel="next"'} if more else {}
        # over several lines, as people like it
        return json.dumps(body, indent=1).encode(), headers


class Handler(BaseHTTPRequestHandler):
    """One connection; answers as the api says."""

    protocol_version = "HTTP/1.1"
    api: PagedApi

    def do_GET(self) -> None:
        api = self.api
        query = {key: one[0] for key, one in parse_qs(urlsplit(self.path).query).items()}
        api.queries.append(query)
        if api.token and self.headers.get(api.header) != api.token:
            self.give(401, b"who are you?")
        elif monotonic() < api.rests_until:
            self.give(429, b"slower", {"Retry-After": str(SECONDS_OF_REST)})
        else:
            self.fail(api.faults.popleft() if api.faults else None, query)

    def fail(self, fault: int | str | None, query: dict[str, str]) -> None:
        body, headers = self.api.answer(query)
        match fault:
            case None:
                self.give(200, body, headers)
                self.api.after_page()
            case 429:
                self.api.rests_until = monotonic() + SECONDS_OF_REST * 0.9
                self.give(429, b"slower", {"Retry-After": str(SECONDS_OF_REST)})
            case int():
                self.give(fault, b"sorry")
            case _:
                length = str(len(body))
                cut = {**headers, "Connection": "close", "Content-Length": length}
                self.give(200, body[: len(body) // 2], cut)
                self.close_connection = True

    def give(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def paged_api(**settings: Any) -> Iterator[PagedApi]:
    """A running server."""
    api = PagedApi(**settings)
    handler = type("OfApi", (Handler,), {"api": api})
    with ThreadingHTTPServer((HOST, 0), handler) as server:
        server.daemon_threads = True
        api.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield api
        finally:
            server.shutdown()
            thread.join()

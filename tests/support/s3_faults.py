"""A proxy before an S3 server that does to chosen requests what networks and servers do.

Requests go through as they came, signature included: the client signs for the proxy's address,
and the server checks what the request says of it.
"""

from __future__ import annotations

import http.client
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

HOST = "127.0.0.1"
_SECONDS = 30.0
_NOT_PASSED_ON = ("connection", "transfer-encoding", "content-length", "expect")


class Fault(Enum):
    """What happens to a request."""

    NONE = "it goes through"
    LOST_ANSWER = "the server carries it out, the connection ends without an answer"
    WRONG_ANSWER = "the server carries it out, the answer is 500"
    REFUSED = "the server never sees it, the answer is 500"
    THROTTLED = "the server never sees it, the answer is 503"
    CUT = "the server carries it out, the connection ends in the middle of the answer"
    PRAISED = "the server carries it out or not, the answer is 200"


def one_in(share: int, chance: random.Random) -> Chooser:
    """A fault of any kind that a client may meet, for one request of so many."""
    kinds = [one for one in Fault if one not in (Fault.NONE, Fault.PRAISED)]
    drawing = threading.Lock()

    def choose(_method: str, _path: str) -> Fault:
        with drawing:
            return chance.choice(kinds) if chance.randrange(share) == 0 else Fault.NONE

    return choose


Chooser = Callable[[str, str], Fault]
"""The fault of a request, by its method and path."""
Gate = Callable[[str, str, bytes], None]
"""Is told method, path and body of a request, which goes on when it returns."""


@dataclass
class FaultyS3:
    """A running proxy.

    Attributes:
        endpoint: its address.
        chooser: asked at each request; may be replaced at any time.
        gate: told of each request first; may be replaced at any time.
        met: the faults that happened, with method and path.
        calls: how many requests there were.
    """

    endpoint: str
    chooser: Chooser
    gate: Gate = lambda _method, _path, _body: None
    calls: int = 0
    met: list[tuple[Fault, str, str]] = field(default_factory=list)


@contextmanager
def faulty_s3(server: str) -> Iterator[FaultyS3]:
    """A proxy before the server at an address, at first without faults."""
    proxy = FaultyS3("", lambda _method, _path: Fault.NONE)
    address = urlsplit(server).netloc
    with ThreadingHTTPServer((HOST, 0), _handler(proxy, address)) as listening:
        listening.daemon_threads = True
        proxy.endpoint = f"http://{HOST}:{listening.server_port}"
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        try:
            yield proxy
        finally:
            listening.shutdown()
            thread.join()


def _handler(proxy: FaultyS3, address: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            proxy.calls += 1
            proxy.gate(self.command, self.path, body)
            fault = proxy.chooser(self.command, self.path)
            if fault is not Fault.NONE:
                proxy.met.append((fault, self.command, self.path))
            unseen = fault in (Fault.REFUSED, Fault.THROTTLED)
            answer = None if unseen else _passed_on(self, body, address)
            if fault is Fault.LOST_ANSWER:
                self.close_connection = True
            elif answer is None or fault is Fault.WRONG_ANSWER:
                _answer(self, 503 if fault is Fault.THROTTLED else 500, [], b"")
            elif fault is Fault.CUT:
                status, headers, content = answer
                _answer(self, status, headers, content, sent=len(content) // 2)
                self.close_connection = True
            elif fault is Fault.PRAISED:
                _answer(self, 200, [], b"")
            else:
                _answer(self, *answer)

        # names that http.server looks for
        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do_any  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    return Handler


Answer = tuple[int, list[tuple[str, str]], bytes]


def _passed_on(request: BaseHTTPRequestHandler, body: bytes, address: str) -> Answer:
    connection = http.client.HTTPConnection(address, timeout=_SECONDS)
    try:
        connection.putrequest(
            request.command, request.path, skip_host=True, skip_accept_encoding=True
        )
        for name, value in request.headers.items():
            if name.lower() not in _NOT_PASSED_ON:
                connection.putheader(name, value)
        if "content-length" in request.headers:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        answer = connection.getresponse()
        return answer.status, answer.getheaders(), answer.read()
    finally:
        connection.close()


def _answer(
    request: BaseHTTPRequestHandler,
    status: int,
    headers: list[tuple[str, str]],
    body: bytes,
    *,
    sent: int | None = None,
) -> None:
    request.send_response_only(status)
    length = str(len(body))
    for name, value in headers:
        if name.lower() == "content-length":
            length = value
        elif name.lower() not in _NOT_PASSED_ON:
            request.send_header(name, value)
    request.send_header("Content-Length", length)
    request.end_headers()
    if request.command != "HEAD":
        request.wfile.write(body[:sent])

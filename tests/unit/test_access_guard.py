"""The guard before apps of a few lines: ids, sizes, times, ends that nobody expected, headers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
from typing import Any

import pytest

from feldspar.serving.access.callers import TooLargeError
from feldspar.serving.access.correlation import REQUEST_ID
from feldspar.serving.access.guard import Scope, Send
from feldspar.serving.access.rules import RULES, Need, Routes, Rule
from feldspar.serving.access.sizes import Receive, check_rows
from feldspar.spec.serving import LimitsSpec
from support.asgi import HERE, KEYED, SENT, ask, chunks, echo, guarded, request

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


async def never(scope: Scope, receive: Receive, send: Send) -> None:
    del scope, receive, send
    await asyncio.Event().wait()


async def never_ends(scope: Scope, receive: Receive, send: Send) -> None:
    del scope, receive
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await asyncio.Event().wait()


async def breaks(scope: Scope, receive: Receive, send: Send) -> None:
    del scope, send
    raise KeyError((await receive())["body"])


async def times_out(scope: Scope, receive: Receive, send: Send) -> None:
    del scope, receive, send
    raise TimeoutError("of something else")


async def tells(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers what the app is told of its caller."""
    del receive
    state = scope["state"]
    said = {
        "caller": state["caller"].name,
        "known": state["caller"].known,
        "id": [state["request_id"], REQUEST_ID.get()],
    }
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": json.dumps(said).encode()})


@pytest.mark.parametrize(
    ("headers", "identifier"),
    [
        ({"x-request-id": "order-7.a_B"}, "order-7.a_B"),
        ({"x-request-id": "a" * 64, "traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}, "a" * 64),
        ({"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}, TRACE),
        ({"x-request-id": "two words", "traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}, TRACE),
    ],
)
def test_an_id_that_was_sent_is_kept(headers: dict[str, str], identifier: str) -> None:
    [answer] = ask(guarded(tells), request(headers=headers))

    assert answer.headers["x-request-id"] == identifier
    assert answer.json()["id"] == [identifier, identifier]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-request-id": ""},
        {"x-request-id": "a" * 65},
        {"x-request-id": 'a"}\n{'.replace("\n", " ")},
        {"traceparent": f"00-{'0' * 32}-00f067aa0ba902b7-01"},
        {"traceparent": "00-xyz-00f067aa0ba902b7-01"},
    ],
)
def test_an_id_that_cannot_stand_in_a_log_is_replaced(headers: dict[str, str]) -> None:
    answers = ask(guarded(tells), request(headers=headers), request(headers=headers))

    found = [answer.headers["x-request-id"] for answer in answers]
    assert all(re.fullmatch(r"[0-9a-f]{32}", one) for one in found)
    assert found[0] != found[1]


def test_every_answer_may_not_be_stored_or_guessed_at() -> None:
    answers = ask(guarded(echo, **KEYED), request(headers=SENT), request(), request("/none"))

    found = [
        (one.headers["cache-control"], one.headers["x-content-type-options"]) for one in answers
    ]
    assert found == [("no-store", "nosniff")] * 3


def test_the_app_is_told_who_asks() -> None:
    asked = (
        request(headers=SENT),
        request("/health", "GET"),
        request("/health", "GET", headers=SENT),
    )

    answers = ask(guarded(tells, **KEYED), *asked)

    found = [(one.json()["caller"], one.json()["known"]) for one in answers]
    assert found == [("me", True), ("nobody", False), ("me", True)]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-api-key": ""},
        {"x-api-key": "0123456789abcdefghijklmnopqrstuw"},
        {"authorization": ""},
        {"authorization": "Basic bWU6MDEyMzQ1Njc4OWFiY2RlZg=="},
        {"authorization": "Bearer"},
        {"authorization": "Bearer a.b.c"},
        {**SENT, "authorization": f"Bearer {SENT['x-api-key']}"},
    ],
)
def test_who_is_not_known_is_told_no_more_than_that(headers: dict[str, str]) -> None:
    [answer] = ask(guarded(echo, **KEYED), request(headers=headers))

    tried = ', error="invalid_token"' if headers else ""
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == f'Bearer realm="feldspar"{tried}'
    assert answer.json()["detail"] == "who asks is not known"


def test_a_key_may_be_sent_as_a_bearer_token() -> None:
    headers = {"authorization": f"bearer {SENT['x-api-key']}"}

    [answer] = ask(guarded(tells, **KEYED), request(headers=headers))

    assert answer.json()["caller"] == "me"


@pytest.mark.parametrize(
    ("path", "method", "status", "allow"),
    [
        ("/none", "GET", 404, None),
        ("/score/1/2", "POST", 404, None),
        ("/push/", "POST", 404, None),
        ("/push/a/b", "POST", 404, None),
        ("/push/{source}", "POST", 200, None),
        ("/push/a", "POST", 200, None),
        ("/score", "GET", 405, "POST"),
        ("/push/a", "DELETE", 405, "POST"),
        ("/metrics", "HEAD", 200, None),
    ],
)
def test_what_has_no_rule_is_not_there(
    path: str, method: str, status: int, allow: str | None
) -> None:
    [answer] = ask(guarded(echo), request(path, method))

    assert (answer.status_code, answer.headers.get("allow")) == (status, allow)


@pytest.mark.parametrize("rule", RULES.values(), ids=list(RULES))
def test_every_rule_is_found_by_its_route(rule: Rule) -> None:
    key = next(key for key, one in RULES.items() if one is rule)
    method, _, route = key.partition(" ")

    assert Routes().find(method, re.sub(r"\{\w+\}", "some", route)) is rule
    assert (rule.need is Need.ACTION) == bool(rule.action)


@pytest.mark.parametrize(
    ("ends", "host", "status"),
    [
        ("127.0.0.1", HERE, 200),
        ("127.0.0.1", "http://localhost:8000", 200),
        ("::1", "http://[::1]:8000", 200),
        ("10.0.0.7", HERE, 403),
        ("127.0.0.1", "http://10.0.0.1:8000", 403),
        ("127.0.0.1", "http://evil.example.com:8000", 403),
    ],
)
def test_an_open_server_answers_its_own_machine_alone(ends: str, host: str, status: int) -> None:
    asked = request()
    asked.url = asked.url.copy_with(raw_path=b"/score")
    asked.headers["host"] = host.removeprefix("http://")
    if host.startswith("http://10."):
        asked.url = asked.url.copy_with(host="10.0.0.1")

    [answer] = ask(guarded(echo), asked, client=ends)

    assert answer.status_code == status


@pytest.mark.parametrize("declared", [True, False])
@pytest.mark.parametrize(("size", "status"), [(1_024, 200), (1_025, 413), (100_000, 413)])
def test_a_body_has_a_largest_size(declared: bool, size: int, status: int) -> None:
    body = b"x" * size
    parts = [body[at : at + 500] for at in range(0, size, 500)]
    content: Any = body if declared else chunks(parts)

    [answer] = ask(guarded(echo, limits={"body_bytes": 1_024}), request(content=content))

    assert answer.status_code == status
    assert status != 200 or answer.content == body


@pytest.mark.parametrize("length", ["-1", "1e3", "", "12,12", "9" * 5_000])
def test_a_length_that_is_none_is_refused(length: str) -> None:
    asked = request(headers={"content-length": length}, content=b"")

    [answer] = ask(guarded(echo), asked)

    assert answer.status_code == 413


def test_a_batch_has_a_largest_number_of_rows() -> None:
    check_rows(LimitsSpec(rows=3), 3)

    with pytest.raises(TooLargeError, match="may have 3 rows; this one has 4"):
        check_rows(LimitsSpec(rows=3), 4)


def test_what_takes_too_long_is_given_up_with_its_id() -> None:
    headers = {"x-request-id": "slow-1"}

    [answer] = ask(guarded(never, limits={"seconds": 0.05}), request(headers=headers))

    assert (answer.status_code, answer.json()["id"]) == (504, "slow-1")


def test_a_body_that_never_comes_is_given_up_too() -> None:
    async def dribbling() -> Any:
        yield b"{"
        await asyncio.Event().wait()

    app = guarded(echo, limits={"seconds": 0.05})

    [answer] = ask(app, request(content=dribbling()))

    assert answer.status_code == 504


@pytest.mark.parametrize("app", [breaks, times_out])
def test_the_unexpected_tells_the_id_and_no_more(app: Any) -> None:
    [answer] = ask(guarded(app), request(content=b"4711", headers={"x-request-id": "odd-1"}))

    assert answer.status_code == 500
    assert answer.json() == {
        "detail": "this should not have happened; the log tells more by the id",
        "id": "odd-1",
    }


def test_an_answer_that_breaks_off_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    # the transport of the test waits for the end of an answer, as a caller would
    with contextlib.suppress(AssertionError):
        ask(guarded(never_ends, limits={"seconds": 0.05}), request())

    assert "the answer broke off" in caplog.messages


def test_asking_too_often_is_refused_by_caller() -> None:
    block = {"keys": {**KEYED["keys"], "other": {"secret": "o" * 32, "actions": "*"}}}
    app = guarded(echo, **block, limits={"rate": 0.001, "burst": 2})
    mine = [request(headers=SENT) for _ in range(3)]

    answers = ask(app, *mine, request(headers={"x-api-key": "o" * 32}))

    assert [one.status_code for one in answers] == [200, 200, 429, 200]
    assert int(answers[2].headers["retry-after"]) > 0


def test_strangers_are_limited_by_their_address() -> None:
    app = guarded(echo, **KEYED, limits={"rate": 0.001, "burst": 2})
    strange = [request(headers={"x-api-key": str(number)}) for number in range(3)]

    answers = ask(app, *strange, request("/health", "GET"), request(headers=SENT))

    assert [one.status_code for one in answers] == [401, 401, 429, 429, 200]


def test_a_websocket_is_closed() -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    asyncio.run(guarded()({"type": "websocket", "path": "/score"}, receive, send))

    assert sent == [{"type": "websocket.close", "code": 1008}]


def fields(caplog: pytest.LogCaptureFixture, logger: str, *names: str) -> list[tuple[Any, ...]]:
    found = [vars(one)["fields"] for one in caplog.records if one.name == logger]
    return [tuple(one[name] for name in names) for one in found]


def test_each_request_has_one_access_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    ask(guarded(echo, **KEYED), request(headers=SENT), request(), request("/secret/4711"))

    assert fields(caplog, "feldspar.access", "route", "caller", "status") == [
        ("/score", "me", 200),
        ("/score", "nobody", 401),
        ("unknown", "nobody", 404),
    ]


def test_refused_and_writing_requests_are_audited(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    paths = ("/push/devices", "/update-features/4711")
    asked = [request(path, headers=SENT) for path in paths]

    ask(guarded(echo, **KEYED), request(headers=SENT), request(), *asked)

    names = ("route", "action", "target", "caller", "status", "address")
    here = "127.0.0.1"
    assert fields(caplog, "feldspar.audit", *names) == [
        ("/score", "score", "", "nobody", 401, here),
        ("/push/{source}", "push", "devices", "me", 200, here),
        ("/update-features/{entity}", "push", "", "me", 200, here),
    ]

"""Lines of log: JSON, with the request's id, and without what nobody should read there."""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from feldspar.errors import UsageError
from feldspar.serving.access.correlation import REQUEST_ID
from feldspar.serving.access.logs import ACCESS, AUDIT, JsonLines, configure_logs
from feldspar.spec.serving import LogSpec

TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI0NzExIn0.c2lnbmF0dXJl"


@pytest.fixture
def kept() -> Iterator[None]:
    """The process's logging is given back as it was."""
    root, audit, access = (logging.getLogger(name) for name in ("", AUDIT, ACCESS))
    before = (list(root.handlers), root.level, list(audit.handlers), audit.propagate)
    yield
    for handler in {*root.handlers, *audit.handlers} - {*before[0], *before[2]}:
        handler.close()
    root.handlers[:], level, audit.handlers[:], audit.propagate = before
    root.setLevel(level)
    access.disabled = False


def line(message: str, *arguments: object, **fields: Any) -> dict[str, Any]:
    record = logging.LogRecord("any", logging.INFO, __file__, 1, message, arguments, None)
    record.fields = fields
    said: dict[str, Any] = json.loads(JsonLines(("Amount", "customer_id")).format(record))
    return said


def test_fields_that_are_masked_are_masked_at_any_depth() -> None:
    said = line(
        "", amount=312.5, rows=[{"customer_id": 4711, "n": 1}], api_token="x", password=["a", "b"]
    )

    masked = {"amount": "***", "api_token": "***", "password": "***"}
    assert said.items() >= {**masked, "rows": [{"customer_id": "***", "n": 1}]}.items()


@pytest.mark.parametrize(
    "text",
    [
        f"got {TOKEN}",
        f"Authorization: Bearer {TOKEN[:40]}",
        "headers {'Authorization': 'Bearer opaque-secret-key'}",
        "X-Api-Key: opaque-secret-key",
        "cannot reach rediss://feldspar:opaque-secret-key@cache:6379/0",
    ],
)
def test_credentials_in_the_text_of_any_library_are_masked(text: str) -> None:
    said = json.dumps([line(text), line("%s", text), line("", of=text)])

    assert "opaque-secret-key" not in said
    assert TOKEN[:40] not in said


def test_an_error_is_told_by_its_kind_and_its_place() -> None:
    try:
        {}["customer 4711"]
    except KeyError:
        record = logging.LogRecord("any", logging.ERROR, __file__, 1, "x", (), sys.exc_info())
    text = JsonLines().format(record)

    assert "4711" not in text.replace("test_access_logs", "")
    assert json.loads(text)["error"]["type"] == "builtins.KeyError"
    assert json.loads(text)["error"]["at"][0].startswith("test_access_logs.py:")


def test_a_text_cannot_forge_a_line() -> None:
    record = logging.LogRecord("any", logging.INFO, "", 1, 'a\n{"level": "INFO"}', (), None)

    assert "\n" not in JsonLines().format(record)


def test_every_library_writes_lines_with_the_id(kept: None) -> None:
    stream = io.StringIO()
    configure_logs(LogSpec(), folder=Path(), stream=stream)
    token = REQUEST_ID.set("one-1")
    logging.getLogger("some.library").info("started")
    logging.getLogger(AUDIT).info("")
    REQUEST_ID.reset(token)

    said = [json.loads(one) for one in stream.getvalue().splitlines()]
    assert [(one["logger"], one["id"]) for one in said] == [
        ("some.library", "one-1"),
        (AUDIT, "one-1"),
    ]


def test_the_audit_may_have_a_file_of_its_own(kept: None, tmp_path: Path) -> None:
    stream = io.StringIO()
    configure_logs(LogSpec(audit="logs/audit.jsonl"), folder=tmp_path, stream=stream)
    logging.getLogger(AUDIT).info("", extra={"fields": {"caller": "me"}})

    text = (tmp_path / "logs" / "audit.jsonl").read_text(encoding="utf-8")
    assert (json.loads(text)["caller"], stream.getvalue()) == ("me", "")


def test_lines_of_requests_may_be_left_to_a_proxy(kept: None) -> None:
    stream = io.StringIO()
    configure_logs(LogSpec(requests="none"), folder=Path(), stream=stream)
    logging.getLogger(ACCESS).info("left out")
    logging.getLogger(AUDIT).info("kept")

    assert [json.loads(one)["message"] for one in stream.getvalue().splitlines()] == ["kept"]


def test_an_audit_that_cannot_be_written_is_said_at_start(kept: None, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("", encoding="utf-8")

    with pytest.raises(UsageError, match=r"serving\.log\.audit: .* cannot be written"):
        configure_logs(LogSpec(audit="taken/audit.jsonl"), folder=tmp_path)

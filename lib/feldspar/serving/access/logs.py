"""Logs of the serving process: a JSON object a line, with the request's id and without secrets.

``feldspar.access`` has a line a request, ``feldspar.audit`` one for each that was refused or
writes. Neither is told bodies, queries or entities: what is not given cannot leak.
"""

from __future__ import annotations

import json
import logging
import logging.handlers
import re
import traceback
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, TextIO

from feldspar.errors import UsageError
from feldspar.serving.access.correlation import REQUEST_ID
from feldspar.spec.secrets import SECRET_KEY
from feldspar.spec.serving import LogSpec
from feldspar.times import from_micros

ACCESS, AUDIT, SERVER = "feldspar.access", "feldspar.audit", "feldspar.serving"
MASK = "***"
_SHORTEST = 9  # of a text with a credential in it: a://b:c@d
_encode = json.JSONEncoder(default=str).encode
# what looks like a credential in the text of any library: a token, a header, a password in an URL
_CREDENTIALS = re.compile(
    r"eyJ[\w-]+\.[\w-]+\.[\w-]*"
    r"|(?<=://)[^/@\s]+(?=@)"
    r"|(?i:(?<=bearer )|(?<=x-api-key: )|(?<=authorization: ))[^\s,'\"]+"
)


class JsonLines(logging.Formatter):
    """Writes a record as one line: time, level, logger, id, message, and its ``fields``."""

    def __init__(self, masked: tuple[str, ...] = ()) -> None:
        super().__init__()
        self._masked = frozenset(name.lower() for name in masked)
        # names of fields are few, and a line is written for each request
        self._hides = lru_cache(maxsize=1_000)(self._is_hidden)

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line: dict[str, Any] = {
            "time": from_micros(int(record.created * 1e6)).isoformat(),
            "level": record.levelname,
            "logger": record.name,
        }
        if identifier := REQUEST_ID.get():
            line["id"] = identifier
        # what a library passes as arguments may be anything: only its text is searched
        if message := record.getMessage():
            line["message"] = _CREDENTIALS.sub(MASK, message)
        line |= self._masking(getattr(record, "fields", {}))
        if record.exc_info and record.exc_info[1] is not None:
            line["error"] = said_safely(record.exc_info[1])
        return _encode(line)

    def _masking(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        return {name: self._value(name, value) for name, value in fields.items()}

    def _value(self, name: str, value: Any) -> Any:
        if self._hides(name):
            return MASK
        if isinstance(value, str):
            return _CREDENTIALS.sub(MASK, value) if len(value) >= _SHORTEST else value
        if isinstance(value, Mapping):
            return self._masking(value)
        if isinstance(value, list | tuple):
            return [self._value(name, one) for one in value]
        return value

    def _is_hidden(self, name: str) -> bool:
        return name.lower() in self._masked or bool(SECRET_KEY.search(name))


def log_fields(logger: logging.Logger, fields: Mapping[str, Any]) -> None:
    """A line of fields alone.

    ``logger.info`` would look up the stack for who calls, which no line tells: 5 us a request.
    """
    if logger.isEnabledFor(logging.INFO):
        record = logging.LogRecord(logger.name, logging.INFO, "", 0, "", None, None)
        record.fields = fields
        logger.handle(record)


def said_safely(error: BaseException) -> dict[str, Any]:
    """What an unexpected error was and where; its text is left out: it may hold a row's values."""
    frames = traceback.extract_tb(error.__traceback__)
    return {
        "type": f"{type(error).__module__}.{type(error).__qualname__}",
        "at": [f"{Path(one.filename).name}:{one.lineno} {one.name}" for one in frames],
    }


def configure_logs(spec: LogSpec, *, folder: Path, stream: TextIO | None = None) -> None:
    """Sends every log of this process to ``stream`` (stderr), the audit where the settings say.

    Raises:
        UsageError: the audit's file cannot be written.
    """
    lines = JsonLines(spec.masked)
    everything: logging.Handler = logging.StreamHandler(stream)
    everything.setFormatter(lines)
    # no line tells them, and each record would look for them: 8 us a request
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    root = logging.getLogger()
    root.handlers[:] = [everything]
    root.setLevel(logging.INFO)
    logging.getLogger(ACCESS).disabled = spec.requests == "none"
    audit = logging.getLogger(AUDIT)
    audit.handlers[:] = []
    audit.propagate = spec.audit == "stderr"
    if not audit.propagate:
        handler = _file(folder / spec.audit)
        handler.setFormatter(lines)
        audit.addHandler(handler)


def _file(path: Path) -> logging.Handler:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # watched: it goes on in a new file after logrotate has moved the old one
        return logging.handlers.WatchedFileHandler(path, encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"serving.log.audit: {path} cannot be written: {error.strerror}",
            hint="name a file in a folder that this process may write to, or stderr",
        ) from error

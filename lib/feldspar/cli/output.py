"""What verbs print: lines for people, JSON for programs; errors as text, never a traceback.

Answers go to stdout and everything else to stderr, so that a pipe gets the answer alone. Tables are
set by ``cli.tables``.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, is_dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any

from feldspar.errors import DefinitionError, FeldsparError
from feldspar.times import format_duration


def say(text: str) -> None:
    """One line for people, on stdout."""
    sys.stdout.write(f"{text}\n")


def print_json(value: Any) -> None:
    """One JSON document on stdout."""
    sys.stdout.write(f"{json.dumps(value, indent=2, default=_plain)}\n")


def print_error(error: FeldsparError, *, as_json: bool) -> None:
    """The message on stderr; with ``as_json`` the facts on stdout too."""
    sys.stderr.write(f"{error}\n")
    if as_json:
        print_json({"error": error_facts(error)})


def error_facts(error: FeldsparError) -> dict[str, object]:
    """What an error says, for programs."""
    problems = [asdict(one) for one in error.problems] if isinstance(error, DefinitionError) else []
    return {
        "kind": type(error).__name__,
        "message": error.message,
        "hint": error.hint,
        "problems": problems,
        "exit_code": error.exit_code,
    }


def _plain(value: Any) -> Any:
    match value:
        case datetime() | date():
            return value.isoformat()
        case timedelta():
            return format_duration(value)
        case Decimal() | Path():
            return float(value) if isinstance(value, Decimal) else str(value)
        case Enum():
            return value.value
        case bytes():
            return value.hex()
        case _ if is_dataclass(value) and not isinstance(value, type):
            return asdict(value)
    raise TypeError(f"{type(value).__name__} has no form in JSON")

"""Every error that Feldspar raises on purpose; what is not in this tree is a bug.

FeldsparError                  exit code 1
├── UsageError                 exit code 2: the command or a definition is wrong
│   └── DefinitionError        a YAML file says something it may not (file and line)
├── InputError                 data or a file cannot be used
├── EngineError                a computation was asked for that has no defined answer
├── StoreError                 an outside system answered badly
│   ├── UnreachableError       it did not answer at all: worth a retry
│   ├── OvertakenError         another run has taken over: this one wrote nothing more
│   └── TableNotFoundError     the table is not there
├── PlanBlockedError           a breaking change waits for --accept
└── LedgerError                rows in and rows out do not add up: nothing may hide this
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field


class FeldsparError(Exception):
    """Base of the tree.

    Args:
        message: what was asked and what was found.
        hint: the next command or the mend, on a line of its own.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  {self.hint}" if self.hint else self.message


class UsageError(FeldsparError):
    """The command line or a definition is wrong; nothing was run."""

    exit_code = 2


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong in one definition file."""

    file: str
    line: int
    message: str
    nearest: tuple[str, ...] = field(default=())
    see: str = ""
    """A command that shows more."""
    hint: str = ""
    """What to write instead."""

    def __str__(self) -> str:
        lines = [f"{self.file}:{self.line}  {self.message}"]
        if self.nearest:
            lines.append(f"  nearest: {', '.join(self.nearest)}")
        if self.see:
            lines.append(f"  see: {self.see}")
        if self.hint:
            lines.append(f"  {self.hint}")
        return "\n".join(lines)


class DefinitionError(UsageError):
    """One or more definition files are wrong; all problems found are carried."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class InputError(FeldsparError):
    """A file, a row or a request cannot be used as it is."""


class EngineError(FeldsparError):
    """A computation was asked for that has no defined answer."""


class StoreError(FeldsparError):
    """An outside system (S3, Delta, Redis, MLflow) answered badly."""


class UnreachableError(StoreError):
    """An outside system did not answer: worth a retry."""


class OvertakenError(StoreError):
    """Another run has taken over what this one was about to write."""


class TableNotFoundError(StoreError):
    """The table does not exist in this environment."""


class PlanBlockedError(FeldsparError):
    """A breaking change waits for --accept."""

    exit_code = 2


class LedgerError(FeldsparError):
    """Rows in differ from valid + quarantined + dropped."""


def nearest(name: str, known: Iterable[str]) -> tuple[str, ...]:
    """The up to three known names that look most like ``name``.

    >>> nearest("amout", ["amount", "customer_id"])
    ('amount',)
    """
    return tuple(difflib.get_close_matches(name, list(known), n=3, cutoff=0.5))

"""Runs a program to its end and keeps what it says."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence

from feldspar.errors import StoreError

_LINES = 15


def run(
    command: Sequence[str], variables: Mapping[str, str], *, seconds: int
) -> subprocess.CompletedProcess[str]:
    """The ended program, whatever its exit code.

    Raises:
        StoreError: it did not end in time.
    """
    try:
        return subprocess.run(
            command,
            env=dict(variables),
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise StoreError(f"{command[0]} did not end within {seconds} s") from error


def last_lines(done: subprocess.CompletedProcess[str]) -> str:
    """The end of what a program said."""
    return "\n".join((done.stdout + done.stderr).strip().splitlines()[-_LINES:])

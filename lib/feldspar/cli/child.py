"""Runs another program in the place of the console: its output, its exit code, its signals.

The child leads a process group of its own. Spark is a JVM that starts a Python: a signal that
reached only one of the two would leave the other behind.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import IO

_PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_BY_SIGNAL = 128


def run_child(
    command: Sequence[str], variables: Mapping[str, str], *, answers_json: bool = False
) -> int:
    """Runs a command to its end.

    Ctrl-C, SIGTERM and SIGHUP go to every process of the command; once it has ended, whatever
    it left behind after such a signal is killed.

    Args:
        command: program and arguments.
        variables: its environment.
        answers_json: one of its lines is a JSON object: that alone goes to stdout. (spark-submit
            puts what a job writes to stderr on stdout too.)

    Returns:
        its exit code; 128 + n if signal n ended it.
    """
    process = subprocess.Popen(
        command,
        env=dict(variables),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if answers_json else None,
        process_group=0,
    )
    with _passing_on(process) as passed:
        if process.stdout is not None:
            _sift(process.stdout)
        code = process.wait()
    if passed:
        _signal_group(process, signal.SIGKILL)
        # a JVM turns SIGINT into an ordinary exit: the shell is told what happened
        return _BY_SIGNAL + passed[0]
    return code if code >= 0 else _BY_SIGNAL - code


def _sift(lines: IO[bytes]) -> None:
    with lines:
        for line in lines:
            stream = sys.stdout if line.startswith(b"{") else sys.stderr
            stream.write(line.decode(errors="replace"))
            stream.flush()


@contextmanager
def _passing_on(process: subprocess.Popen[bytes]) -> Iterator[list[int]]:
    """While it lasts, signals go to the child; gives the list of those that did."""
    passed: list[int] = []

    def pass_on(number: int, _: FrameType | None) -> None:
        passed.append(number)
        _signal_group(process, signal.Signals(number))

    before = {one: signal.signal(one, pass_on) for one in _PASSED_ON}
    try:
        yield passed
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return  # all of them have ended

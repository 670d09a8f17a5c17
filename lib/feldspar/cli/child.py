"""Runs another program in the place of the console: its output, its exit code, its signals.

The child leads a process group of its own. Spark is a JVM that starts a Python: a signal that
reached only one of the two would leave the other behind.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType

_PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_BY_SIGNAL = 128


def run_child(command: Sequence[str], variables: Mapping[str, str]) -> int:
    """Runs a command to its end.

    Ctrl-C, SIGTERM and SIGHUP go to every process of the command; once it has ended, whatever
    it left behind after such a signal is killed.

    Returns:
        its exit code; 128 + n if signal n ended it.
    """
    process = subprocess.Popen(
        command, env=dict(variables), stdin=subprocess.DEVNULL, process_group=0
    )
    with _passing_on(process) as passed:
        code = process.wait()
    if passed:
        _signal_group(process, signal.SIGKILL)
        # a JVM turns SIGINT into an ordinary exit: the shell is told what happened
        return _BY_SIGNAL + passed[0]
    return code if code >= 0 else _BY_SIGNAL - code


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

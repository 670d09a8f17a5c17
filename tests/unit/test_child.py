"""Another program in the place of the console."""

from __future__ import annotations

import json
import os
import sys

import pytest

from feldspar.cli.child import run_child

TALKS = "print('[ 0.1 s] reading'); print('{\"rows\": 3}'); print('warning: {late}')"


def test_of_a_json_answer_nothing_else_is_on_stdout(capfd: pytest.CaptureFixture[str]) -> None:
    code = run_child([sys.executable, "-c", TALKS], os.environ, answers_json=True)

    said = capfd.readouterr()
    assert (code, json.loads(said.out)) == (0, {"rows": 3})
    assert said.err.splitlines() == ["[ 0.1 s] reading", "warning: {late}"]


def test_otherwise_everything_is_passed_on_as_it_is(capfd: pytest.CaptureFixture[str]) -> None:
    assert run_child([sys.executable, "-c", TALKS + "; raise SystemExit(3)"], os.environ) == 3

    assert capfd.readouterr().out.splitlines()[1] == '{"rows": 3}'


def test_a_signal_that_ended_it_is_told_as_shells_do() -> None:
    kills_itself = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"

    assert run_child([sys.executable, "-c", kills_itself], os.environ) == 128 + 9

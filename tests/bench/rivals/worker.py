"""The process of one rival: takes orders as JSON lines, answers each with a JSON line.

Whatever else prints goes to the log: the answers have the first standard output for themselves.
An error ends the process; the harness finds it at the end of the log.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any, TextIO

from bench.inputs import Settings, from_document
from bench.rivals.engine import Engine, Job


def main(target: str, settings: str) -> None:
    """Serves ``module:class`` until its input ends."""
    answers = _claim_output()
    module, _, name = target.partition(":")
    began = time.perf_counter()
    engine: Engine[Any] = getattr(importlib.import_module(module), name)(
        Settings(**json.loads(settings))
    )
    _answer(answers, seconds=time.perf_counter() - began)
    for text in sys.stdin:
        order = json.loads(text)
        before = engine.shuffled_bytes()
        began = time.perf_counter()
        _obey(engine, order)
        seconds = time.perf_counter() - began
        _answer(answers, seconds=seconds, shuffled_bytes=engine.shuffled_bytes() - before)


def _obey(engine: Engine[Any], order: dict[str, Any]) -> None:
    if order["do"] == "rest":
        engine.rest()
        return
    data, layout = from_document(order["data"]), Path(order["layout"])
    job = Job(data, layout, Path(order["out"]), order["options"])
    match order["do"]:
        case "prepare":
            engine.prepare(data, layout)
        case "extend":
            engine.extend(job)
        case _:
            engine.run(job)


def _claim_output() -> TextIO:
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return answers


def _answer(answers: TextIO, **values: float) -> None:
    answers.write(json.dumps(values) + "\n")
    answers.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])

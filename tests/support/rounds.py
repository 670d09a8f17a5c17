"""A driver that carries out what waits, each time it is told to, as a run of its own.

``python -m support.rounds <conf> <environment>`` says ``ready``. At each ``round`` it makes the
plan, takes an epoch and carries the steps out, and answers with how many there were, or with the
error that ended them. At ``stream`` it becomes jobs/stream.py, and ends as that does.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from feldspar.errors import FeldsparError
from feldspar.graph.plan import plan
from feldspar.run.execute import execute
from feldspar.run.main import run_job
from feldspar.run.stream import STREAMED
from feldspar.run.workplace import Workplace, open_workplace
from feldspar.stores.deployed import observe_data


def main() -> None:
    conf, environment = sys.argv[1:]
    work = open_workplace(Path(conf), environment, app_name="rounds", say=_say)
    _tell({"ready": os.getpid()})
    for word in sys.stdin:
        if word.strip() == "stream":
            sys.argv = ["stream.py", "--conf", conf, "--env", environment, "--every", "1s"]
            run_job("stream")
        try:
            _tell({"steps": _round(work)})
        except FeldsparError as error:
            _tell({"error": str(error), "code": error.exit_code})


def _round(work: Workplace) -> int:
    # the plan first, as apply does: it may be old when the epoch is taken
    observed = observe_data(work.graph, work.environment, store=work.store)
    chosen = plan(work.graph, observed).of(*STREAMED)
    if chosen.to_run:
        run = execute(chosen, work.in_epoch(verb="round"))
        if run.failure is not None:
            raise run.failure
    return len(chosen.to_run)


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def _tell(answer: Mapping[str, object]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()

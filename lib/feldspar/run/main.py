"""What a job file calls: reads its arguments, does one verb, exits with the code of the outcome.

Arguments are those of the console verb of the same name; errors are told as there.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from feldspar.errors import FeldsparError
from feldspar.run import verbs
from feldspar.run.failures import told_clearly
from feldspar.run.stream import STUCK_AFTER
from feldspar.run.workplace import Workplace, open_workplace
from feldspar.times import format_duration

Arguments = argparse.Namespace
Action = Callable[[Workplace, Arguments], dict[str, Any]]

EVERY = "30s"
_PLACES = {"rescued promote": ("table", "column"), "training-set diff": ("left", "right")}
STAGES = ("generate", "ingest", "refine", "history", "features", "quality", "train")
_STARTED = time.monotonic()


def run_job(verb: str) -> None:
    """Carries out one verb in this Spark application and ends the process."""
    arguments = _parser(verb).parse_args()
    try:
        work = open_workplace(
            Path(arguments.conf), arguments.env, app_name=f"feldspar {verb}", say=_say
        )
        with told_clearly(verb, log=work.log):
            answer = _action(verb)(work, arguments)
        work.tables.spark.stop()
    except FeldsparError as error:
        if os.environ.get("FELDSPAR_DEBUG"):
            raise
        sys.stderr.write(f"{error}\n")
        sys.exit(error.exit_code)
    told = answer.pop(verbs.TOLD, ())
    if arguments.json:
        sys.stdout.write(json.dumps(answer, default=str) + "\n")
    else:
        sys.stdout.writelines(f"{line}\n" for line in told)
    sys.exit(1 if answer.get("failed") else 0)


def _say(line: str) -> None:
    sys.stderr.write(f"[{time.monotonic() - _STARTED:6.1f} s] {line}\n")
    sys.stderr.flush()


def _action(verb: str) -> Action:
    if verb in STAGES:
        return lambda work, given: verbs.apply(work, accept=given.accept, only=verb)
    actions: dict[str, Action] = {
        "apply": lambda work, arguments: verbs.apply(
            work, accept=arguments.accept, only=arguments.only
        ),
        "stream": lambda work, arguments: verbs.stream(
            work,
            every=arguments.every,
            stuck_after=arguments.stuck_after,
            metrics=Path(arguments.metrics) if arguments.metrics else None,
        ),
        "online": _online,
        "training-set": _training_set,
        "training-set diff": lambda work, arguments: verbs.compare_sets(
            work, arguments.left, arguments.right
        ),
        "score": lambda work, arguments: verbs.score(
            work, arguments.service, spine=arguments.spine, out=arguments.out, time=arguments.time
        ),
        "quarantine replay": lambda work, arguments: verbs.replay(
            work,
            arguments.table,
            reason=arguments.rule,
            since=arguments.since,
            is_trial=arguments.dry_run,
        ),
        "rescued promote": lambda work, given: verbs.promote(work, given.table, given.column),
        "audit": lambda work, given: verbs.audit(
            work,
            service=given.service,
            since=given.since,
            until=given.until,
            sample=None if given.sample is None else int(given.sample),
        ),
        "handbook": lambda work, _: verbs.handbook(work),
    }
    return actions[verb]


def _training_set(work: Workplace, arguments: Arguments) -> dict[str, Any]:
    build = verbs.extend if arguments.extend else verbs.training_set
    return build(
        work,
        arguments.service,
        spine=arguments.spine,
        out=arguments.out,
        time=arguments.time,
        as_of=arguments.as_of,
    )


def _online(work: Workplace, arguments: Arguments) -> dict[str, Any]:
    match arguments.action:
        case "push":
            return verbs.apply(work, accept=False, only="online")
        case "rebuild":
            return verbs.rebuild(work)
        case _:
            return verbs.verify(work, at=arguments.at)


def _parser(verb: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"{verb}.py", allow_abbrev=False)
    parser.add_argument("--conf", default="conf")
    parser.add_argument("--env", default="local")
    parser.add_argument("--json", action="store_true")
    if verb in (*STAGES, "apply"):
        parser.add_argument("--accept", action="store_true")
    match verb:
        case "apply":
            parser.add_argument("--only")
        case "stream":
            parser.add_argument("--every", default=EVERY)
            parser.add_argument("--stuck-after", default=format_duration(STUCK_AFTER))
            parser.add_argument("--metrics")
        case "online":
            parser.add_argument("action", choices=["push", "rebuild", "verify"])
            parser.add_argument("--at")
        case "training-set" | "score":
            parser.add_argument("service")
            parser.add_argument("--spine", required=True)
            parser.add_argument("--out", required=True)
            parser.add_argument("--time")
            parser.add_argument("--as-of", choices=["known", "event"], default="known")
            parser.add_argument("--extend", action="store_true")
        case "audit":
            parser.add_argument("--service")
            parser.add_argument("--since")
            parser.add_argument("--until")
            parser.add_argument("--sample")
        case "quarantine replay":
            parser.add_argument("table")
            parser.add_argument("--rule")
            parser.add_argument("--since")
            parser.add_argument("--dry-run", action="store_true")
    _add_places(parser, verb)
    return parser


def _add_places(parser: argparse.ArgumentParser, verb: str) -> None:
    for place in _PLACES.get(verb, ()):
        parser.add_argument(place)

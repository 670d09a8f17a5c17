"""``feldspar test``: runs the YAML cases beside the definitions, in seconds and without a JVM."""

from __future__ import annotations

from pathlib import Path

from feldspar.cli.arguments import DONE, FAILED, Arguments, Subparsers, add_verb
from feldspar.cli.output import print_json, say
from feldspar.cli.project import Project
from feldspar.compute.services.cases import Outcome, run_cases
from feldspar.spec.case import load_cases

EXAMPLE = """\
feldspar test
feldspar test conf/views/customer_spend.test.yaml
a case: conf/views/<view>.test.yaml with
  given: {<table>: [{<column>: <value>, ...}]}
  expect: [{at: <time>, <key>: <value>, <feature>: <value>}]"""


def add_parser(subparsers: Subparsers) -> None:
    """Adds the verb."""
    parser = add_verb(subparsers, "test", example=EXAMPLE, handler=test)
    parser.add_argument("path", nargs="?", help="a test file or a folder (default: all of conf)")


def test(arguments: Arguments) -> int:
    """Runs every case; fails when one does."""
    project = Project.of(arguments)
    graph = project.graph()
    path = Path(arguments.path) if arguments.path else None
    files = load_cases(project.conf, path, project.variables)
    outcomes = [outcome for cases in files for outcome in run_cases(cases, graph)]
    failed = [outcome for outcome in outcomes if not outcome.passed]
    if arguments.json:
        facts = [{"passed": one.passed, **vars(one)} for one in outcomes]
        print_json({"passed": len(outcomes) - len(failed), "failed": len(failed), "cases": facts})
        return FAILED if failed else DONE
    for outcome in outcomes:
        _print(outcome)
    say(f"{len(outcomes) - len(failed)} passed, {len(failed)} failed")
    return FAILED if failed else DONE


def _print(outcome: Outcome) -> None:
    verdict = "passed" if outcome.passed else "FAILED"
    say(f"{verdict}  {outcome.file}:{outcome.line}  {outcome.asked} ({outcome.features} features)")
    for one in outcome.differences:
        say(f"        {one.feature}: expected {one.expected}, found {one.found}")

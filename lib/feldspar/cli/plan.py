"""``feldspar plan``: the steps that ``apply`` would carry out, each with its reason."""

from __future__ import annotations

from feldspar.cli.arguments import DONE, Arguments, Subparsers, add_verb
from feldspar.cli.output import print_json, say
from feldspar.cli.planning import make_plan
from feldspar.cli.project import Project
from feldspar.cli.tables import print_table
from feldspar.graph.steps import Plan, Step


def add_parser(subparsers: Subparsers) -> None:
    """Adds the verb."""
    example = "feldspar plan\nfeldspar plan --accept\nfeldspar plan --json"
    parser = add_verb(subparsers, "plan", example=example, handler=show_plan)
    parser.add_argument(
        "--accept", action="store_true", help="show what breaking changes would do if accepted"
    )


def show_plan(arguments: Arguments) -> int:
    """Observes what is deployed and prints every step; changes nothing."""
    steps = make_plan(Project.of(arguments), accept=arguments.accept)
    if arguments.json:
        print_json({"summary": summary(steps), "steps": [_facts(step) for step in steps.steps]})
    else:
        rows = [(step.name, step.status.value, step.reason) for step in steps.steps]
        print_table(("step", "status", "reason"), rows)
        say(summary(steps))
    return DONE


def summary(steps: Plan) -> str:
    """One line: how many steps will run, and what waits for --accept."""
    parts = []
    if steps.to_run:
        parts.append(f"{len(steps.to_run)} of {len(steps.steps)} steps to run: feldspar apply")
    if steps.blocked:
        parts.append(f"{len(steps.blocked)} blocked: feldspar apply --accept")
    return "; ".join(parts) or "nothing to do"


def _facts(step: Step) -> dict[str, object]:
    return {"name": step.name, "verb": step.verb, "status": step.status, "reason": step.reason}

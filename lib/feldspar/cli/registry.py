"""``feldspar registry dump``: every registered model with its versions, aliases and tags."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from feldspar.cli.arguments import DONE, Arguments, Subparsers, add_verb
from feldspar.cli.output import print_json
from feldspar.cli.project import Project
from feldspar.cli.tables import print_table, time_text
from feldspar.stores.experiments import Experiments
from feldspar.times import from_micros


def add_parser(subparsers: Subparsers) -> None:
    """Adds the verb."""
    example = "feldspar registry dump\nfeldspar registry dump --json > registry.json"
    parser = add_verb(subparsers, "registry", example=example, handler=dump)
    parser.add_argument("action", choices=("dump",), help="dump: print all of it")


def dump(arguments: Arguments) -> int:
    """Prints what the environment's registry holds."""
    experiments = Experiments.of(Project.of(arguments).environment())
    experiments.probe()
    models = experiments.registry_dump()
    if arguments.json:
        print_json({"models": models})
        return DONE
    rows = [
        (model["model"], *_row(version, model["champion"]))
        for model in models
        for version in model["versions"]
    ]
    print_table(("model", "version", "champion", "cut", "decision"), rows, numbers=("version",))
    return DONE


def _row(version: Mapping[str, Any], champion: str | None) -> tuple[object, ...]:
    crowned = "champion" if version["version"] == champion else ""
    return version["version"], crowned, time_text(from_micros(version["cut"])), version["decision"]

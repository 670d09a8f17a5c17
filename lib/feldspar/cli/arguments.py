"""How a verb says its arguments: one parser each, with the options that all verbs share.

A verb's module has ``add_parser(subparsers)``; it calls ``add_verb`` and sets the handler, a
function of the parsed arguments that returns the exit code. ``cli.main`` finds and calls it.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from typing import Any

from feldspar.cli.verbs import VERBS

Arguments = argparse.Namespace
Handler = Callable[[Arguments], int]
Subparsers = Any  # argparse keeps the type of add_subparsers() private

DONE, FAILED, WRONG_USE = 0, 1, 2
DEFAULT_CONF = os.environ.get("FELDSPAR_CONF", "conf")
DEFAULT_ENVIRONMENT = os.environ.get("FELDSPAR_ENV", "local")


def add_verb(
    subparsers: Subparsers, name: str, *, example: str, handler: Handler
) -> argparse.ArgumentParser:
    """Adds one verb.

    Args:
        subparsers: of the parent parser.
        name: the word on the command line; ``cli.verbs`` says what it does.
        example: command lines that work, for the end of its help.
        handler: carries the verb out and returns the exit code.
    """
    summary = VERBS[name][1]
    parser: argparse.ArgumentParser = subparsers.add_parser(
        name,
        help=summary,
        description=f"{summary}.",
        epilog=f"example:\n{_indented(example)}\n\nexit codes: 0 done, 1 failed, 2 wrong use",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(handler=handler)
    # SUPPRESS: the same options before the verb keep their value
    add_shared(parser, default=argparse.SUPPRESS)
    return parser


def add_shared(parser: argparse.ArgumentParser, *, default: str | None = None) -> None:
    """Adds --conf, --env and --json; ``default`` replaces the usual defaults."""
    shared = parser.add_argument_group("options of every verb")
    shared.add_argument(
        "--conf",
        metavar="FOLDER",
        default=default or DEFAULT_CONF,
        help=f"folder of the definitions (default: $FELDSPAR_CONF, else conf; now {DEFAULT_CONF})",
    )
    shared.add_argument(
        "--env",
        metavar="NAME",
        default=default or DEFAULT_ENVIRONMENT,
        help="environment, a file in conf/environments "
        f"(default: $FELDSPAR_ENV, else local; now {DEFAULT_ENVIRONMENT})",
    )
    shared.add_argument(
        "--json", action="store_true", default=default or False, help="answer as JSON on stdout"
    )


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())

"""The console command: finds the verb, carries it out, turns errors into messages and exit codes.

Never loads pyspark. Each verb lives in a module of its own (``cli.verbs``) that is imported only
when it is asked for: ``validate`` must not wait for DuckDB, nor ``up`` for the registry's client.
This is the one place where a module is imported by name.
"""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
from collections.abc import Sequence
from itertools import pairwise

from feldspar.cli.arguments import FAILED, Arguments, Subparsers, add_shared
from feldspar.cli.output import print_error
from feldspar.cli.verbs import VERBS
from feldspar.errors import FeldsparError, UsageError, nearest

INTERRUPTED = 128 + signal.SIGINT


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command line.

    Returns:
        0 done, 1 failed, 2 wrong use or definition, 130 interrupted.
    """
    words = _joined(sys.argv[1:] if argv is None else list(argv))
    as_json = "--json" in words
    try:
        arguments = _parse(words)
        code: int = arguments.handler(arguments)
        sys.stdout.flush()
        return code
    except FeldsparError as error:
        if os.environ.get("FELDSPAR_DEBUG") == "1":
            raise
        print_error(error, as_json=as_json)
        return error.exit_code
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return INTERRUPTED
    except BrokenPipeError:
        # who read the output has enough; Python must not complain while it closes stdout
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED


def _parse(words: list[str]) -> Arguments:
    parser = _parser()
    verb = _verb(words)
    subparsers = parser.add_subparsers(title="verbs", metavar="VERB", dest="verb", required=True)
    chosen = VERBS[verb][0] if verb else ""
    loaded = False
    for name, (module, summary) in VERBS.items():
        if module != chosen:
            subparsers.add_parser(name, help=summary)
        elif not loaded:
            _add_parsers(module, subparsers)
            loaded = True
    return parser.parse_args(words)


def _joined(words: list[str]) -> list[str]:
    """The same with a verb of two words as one."""
    for place, (first, second) in enumerate(pairwise(words)):
        if f"{first} {second}" in VERBS:
            return [*words[:place], f"{first} {second}", *words[place + 2 :]]
    return words


def _add_parsers(module: str, subparsers: Subparsers) -> None:
    """Imports the chosen verb's module and lets it say its arguments."""
    importlib.import_module(f"feldspar.cli.{module}").add_parser(subparsers)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="feldspar",
        description="A lakehouse feature platform: definitions in conf/, tables, models, features.",
        epilog="example:\n  feldspar validate\n  feldspar plan\n  feldspar VERB --help",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add_shared(parser)
    return parser


def _verb(words: list[str]) -> str | None:
    """The verb of a command line, found before its arguments are known."""
    finder = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    add_shared(finder)
    finder.add_argument("verb", nargs="?")
    verb: str | None = finder.parse_known_args(words)[0].verb
    if verb is None or verb in VERBS:
        return verb
    near = ", ".join(nearest(verb, VERBS)) or ", ".join(VERBS)
    raise UsageError(f"there is no verb {verb!r}; nearest: {near}", hint="see: feldspar --help")


if __name__ == "__main__":
    sys.exit(main())

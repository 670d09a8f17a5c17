"""``feldspar show``: lists what the project defines and what the lake holds of it.

Only tables are looked up in the lake. One definition by name is shown from conf/ alone, so that
``show tables NAME`` answers while another file is still wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from feldspar.cli.arguments import DONE, Arguments, Subparsers, add_verb
from feldspar.cli.listing import Listing
from feldspar.cli.listings import entities, models, services, sources, views
from feldspar.cli.listings_tables import one_table, tables
from feldspar.cli.output import print_json, say
from feldspar.cli.project import Project
from feldspar.cli.tables import print_table

KINDS: Mapping[str, Callable[[Project, str | None], Listing]] = {
    "tables": lambda project, name: one_table(project, name) if name else tables(project),
    "views": views,
    "entities": entities,
    "services": services,
    "sources": sources,
    "models": models,
}


def add_parser(subparsers: Subparsers) -> None:
    """Adds the verb."""
    example = (
        "feldspar show tables\nfeldspar show tables transactions\n"
        "feldspar show views customer_spend\nfeldspar show services --json"
    )
    parser = add_verb(subparsers, "show", example=example, handler=show)
    parser.add_argument("kind", choices=tuple(KINDS), help="what to list")
    parser.add_argument("name", nargs="?", help="one of them, in full")


def show(arguments: Arguments) -> int:
    """Prints one listing."""
    listing = KINDS[arguments.kind](Project.of(arguments), arguments.name)
    if arguments.json:
        print_json({arguments.kind: listing.facts()})
        return DONE
    for line in listing.before:
        say(line)
    if listing.columns:
        print_table(listing.columns, listing.rows, numbers=listing.numbers)
    for line in listing.after:
        say(line)
    return DONE

"""``feldspar validate``: everything in conf/ that can be known without data, in under a second."""

from __future__ import annotations

from feldspar.cli.arguments import DONE, Arguments, Subparsers, add_verb
from feldspar.cli.output import print_json, say
from feldspar.cli.project import Project
from feldspar.graph.compile import compile_graph
from feldspar.graph.graph import Graph
from feldspar.graph.hooks import check_hooks


def add_parser(subparsers: Subparsers) -> None:
    """Adds the verb."""
    add_verb(
        subparsers,
        "validate",
        example="feldspar validate\nfeldspar validate --conf other/conf --json",
        handler=validate,
    )


def validate(arguments: Arguments) -> int:
    """Loads and compiles the definitions; prints what there is, or raises every problem."""
    project = Project.of(arguments)
    definitions = project.definitions()
    graph = compile_graph(definitions)
    check_hooks(definitions)
    counts = _counts(graph)
    if arguments.json:
        print_json({"project": graph.name, "counts": counts, "problems": []})
    else:
        said = ", ".join(f"{count} {kind}" for kind, count in counts.items())
        say(f"{graph.name}: {said}: all good")
    return DONE


def _counts(graph: Graph) -> dict[str, int]:
    return {
        "sources": len(graph.sources),
        "tables": len(graph.tables),
        "entities": len(graph.entities),
        "views": len(graph.views) + len(graph.on_demand),
        "services": len(graph.services),
        "models": len(graph.models),
    }

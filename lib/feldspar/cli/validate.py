"""``feldspar validate``: everything in conf/ that can be known without data, in a second or two.

On-demand functions are called on sample rows: no other check tells whether they are pure.
"""

from __future__ import annotations

from feldspar.cli.arguments import DONE, Arguments, Subparsers, add_verb
from feldspar.cli.output import print_json, say
from feldspar.cli.project import Project
from feldspar.compute.services.purity import faults
from feldspar.graph.compile import compile_graph
from feldspar.graph.graph import Graph
from feldspar.graph.hooks import check_hooks
from feldspar.graph.problems import Place, Problems
from feldspar.spec.loading import Definitions


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
    _check_purity(definitions, graph)
    counts = _counts(definitions, graph)
    if arguments.json:
        print_json({"project": graph.name, "counts": counts, "problems": []})
    else:
        said = ", ".join(f"{count} {kind}" for kind, count in counts.items())
        say(f"{graph.name}: {said}: all good")
    return DONE


def _check_purity(definitions: Definitions, graph: Graph) -> None:
    """Calls the on-demand functions.

    Raises:
        DefinitionError: with every view whose function is not pure, or fails.
    """
    problems = Problems(definitions)
    for one in faults(graph):
        problems.note(Place("views", one.view, ("on_demand",)), one.message, hint=one.hint)
    problems.close()


def _counts(definitions: Definitions, graph: Graph) -> dict[str, int]:
    return {
        "sources": len(definitions.sources),
        "tables": len(graph.tables),
        "entities": len(graph.entities),
        "views": len(graph.views) + len(graph.on_demand),
        "services": len(graph.services),
        "models": len(graph.models),
    }

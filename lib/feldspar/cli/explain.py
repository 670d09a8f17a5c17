"""``feldspar explain``: how a training set would be made, and what ``trigger: auto`` decided.

Told from logs and small tables alone, without a JVM. The choice of engines is the one that the job
takes; see ``compute.services.choice``. Decisions are in ``cli.decisions``.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from feldspar.cli.arguments import DONE, Arguments, Subparsers, add_verb
from feldspar.cli.decisions import show_decisions
from feldspar.cli.output import print_json, say
from feldspar.cli.project import Project
from feldspar.cli.tables import print_table, size_text
from feldspar.compute.services.choice import choose
from feldspar.errors import UsageError
from feldspar.graph.view import View
from feldspar.stores.tables import log
from feldspar.stores.tables.bucketed import bucketed_table
from feldspar.stores.tables.lake import Lake

EXAMPLE = """\
feldspar explain training-set payment_fraud_service
feldspar explain trigger
feldspar explain trigger transactions"""
_COLUMNS = (
    "entity",
    "view",
    "engine",
    "version",
    "rows",
    "bytes",
    "files",
    "buckets",
    "runs a bucket",
)


@dataclass(frozen=True)
class Explained:
    """How one view is joined, and what there is to read of it."""

    entity: str
    view: str
    engine: str
    reason: str
    version: int
    rows: int
    bytes: int
    files: int
    buckets: int | None
    runs: int | None


def add_parser(subparsers: Subparsers) -> None:
    """Adds the verb."""
    parser = add_verb(subparsers, "explain", example=EXAMPLE, handler=explain)
    parser.add_argument("what", choices=("training-set", "trigger"), help="what to explain")
    text = "a service of conf/services; of a trigger, a table or a view (default: all that decide)"
    parser.add_argument("name", metavar="NAME", nargs="?", help=text)


def explain(arguments: Arguments) -> int:
    """Explains what is asked for.

    Raises:
        UsageError: there is nothing of that name.
    """
    if arguments.what == "trigger":
        return show_decisions(arguments)
    if arguments.name is None:
        text = "a training set is that of a service, and none was named"
        raise UsageError(text, hint="see: feldspar show services")
    return _explain_training_set(arguments)


def _explain_training_set(arguments: Arguments) -> int:
    """Prints engine, reason and amount for each view of a service."""
    project = Project.of(arguments)
    service = project.graph().service(arguments.name)
    lake = Lake.of(project.environment())
    found = [_explained(view, lake) for view in service.views]
    if arguments.json:
        print_json({"service": service.name, "views": [asdict(one) for one in found]})
        return DONE
    passes = len({(one.entity, one.engine) for one in found})
    say(f"training set of {service.name}: {len(found)} views, {passes} moves of the spine")
    print_table(_COLUMNS, [_row(one) for one in found], numbers=_COLUMNS[3:])
    for reason in dict.fromkeys(f"{one.engine}: {one.reason}" for one in found):
        say(reason)
    return DONE


def _row(one: Explained) -> tuple[object, ...]:
    amount = (f"{one.rows:,}", size_text(one.bytes), one.files, one.buckets, one.runs)
    return (one.entity, one.view, one.engine, one.version, *amount)


def _explained(view: View, lake: Lake) -> Explained:
    version = log.open_table(lake, "gold", view.name).version()
    files = bucketed_table(lake, "gold", view.name, version=version)
    choice = choose(view, direct=lake.storage.direct_reads, in_buckets=files is not None)
    rows, size, count = log.amounts(lake, "gold", view.name, version=version)
    return Explained(
        entity=view.entity,
        view=view.name,
        engine=choice.engine,
        reason=choice.reason,
        version=version,
        rows=rows,
        bytes=size,
        files=count,
        buckets=files.buckets if files else None,
        runs=files.most_runs if files else None,
    )

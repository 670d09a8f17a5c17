"""``feldspar rescued list | promote``: values of columns that a table does not declare.

With ``unknown_columns: rescue`` silver keeps them as JSON. ``promote`` writes the column into
conf/ and starts the job that moves them.
"""

from __future__ import annotations

from typing import Any

from feldspar.cli.arguments import DONE, Arguments, Subparsers, add_verb
from feldspar.cli.jobs import Option, start_job
from feldspar.cli.output import print_json, say
from feldspar.cli.project import Project
from feldspar.cli.tables import print_table
from feldspar.errors import TableNotFoundError, UsageError, nearest
from feldspar.names import RESCUED
from feldspar.spec.declaring import declare_column
from feldspar.spec.types import ColumnType
from feldspar.stores.queries import first_rows
from feldspar.stores.tables.lake import Lake
from feldspar.stores.tables.summary import summarise

LISTED = 1_000
LIST_EXAMPLE = "feldspar rescued list"
PROMOTE_EXAMPLE = "feldspar rescued promote transactions tip double"
_ROWS = f"""
select '{{table}}' as "table", name as "column", count(*) as rows,
  min({RESCUED} ->> name) as least, max({RESCUED} ->> name) as greatest, max(_known_time) as newest
from (select unnest(json_keys({RESCUED})) as name, {RESCUED}, _known_time from silver.{{table}}
  where {RESCUED} is not null)
group by name order by rows desc, name"""
_JOB = (
    Option("table", "a table of conf/tables", metavar="TABLE"),
    Option("column", "a column of 'rescued list'", metavar="COLUMN"),
)


def add_parser(subparsers: Subparsers) -> None:
    """Adds both verbs."""
    add_verb(subparsers, "rescued list", example=LIST_EXAMPLE, handler=list_rescued)
    parser = add_verb(subparsers, "rescued promote", example=PROMOTE_EXAMPLE, handler=promote)
    for option in _JOB:
        parser.add_argument(option.name, **option.settings())
    kinds = [kind.value for kind in ColumnType]
    parser.add_argument("type", choices=kinds, help="the type that it gets in conf/tables")


def list_rescued(arguments: Arguments) -> int:
    """How many rows of each table have values in which columns that it does not declare."""
    project = Project.of(arguments)
    lake = Lake.of(project.environment())
    found = [row for table in project.graph().tables for row in _rescued(lake, table)]
    if arguments.json:
        print_json({"columns": found})
    elif found:
        print_table(list(found[0]), [list(row.values()) for row in found], numbers=["rows"])
        say("give one a column: feldspar rescued promote TABLE COLUMN TYPE")
    else:
        say("no rescued values; tables keep them that say 'unknown_columns: rescue'")
    return DONE


def promote(arguments: Arguments) -> int:
    """Declares the column, unless it is, and starts the job.

    Raises:
        UsageError: the table is not known, declares the column as another type, or never got a
            value of it.
    """
    project = Project.of(arguments)
    table, column = project.graph().table(arguments.table), arguments.column
    kind, declared = ColumnType(arguments.type), table.types().get(arguments.column)
    if declared not in (None, kind):
        raise UsageError(
            f"conf/tables/{table.name}.yaml declares {column} as {declared}, not {kind}",
            hint=f"feldspar rescued promote {table.name} {column} {declared}",
        )
    if declared is None:
        _refuse_unrescued(Lake.of(project.environment()), table.name, column)
        path = project.conf / "tables" / f"{table.name}.yaml"
        line = declare_column(path, column, kind)
        say(f"{path}:{line}: {column} is declared, {kind}")
        project = Project.of(arguments)
        project.graph()
    return start_job(arguments, project, _JOB)


def _refuse_unrescued(lake: Lake, table: str, column: str) -> None:
    """A name that is misspelt must not become a column."""
    known = [str(row["column"]) for row in _rescued(lake, table)]
    if column not in known:
        near = ", ".join(nearest(column, known)) or ", ".join(known) or "none was"
        text = f"no value of a column {column!r} of {table} was rescued; nearest: {near}"
        raise UsageError(text, hint="feldspar rescued list")


def _rescued(lake: Lake, table: str) -> list[dict[str, Any]]:
    try:
        columns = dict(summarise(lake, "silver", table).columns)
    except TableNotFoundError:
        return []
    if RESCUED not in columns:
        return []
    rows: list[dict[str, Any]] = first_rows(
        lake, _ROWS.format(table=table), limit=LISTED
    ).rows.to_pylist()
    return rows

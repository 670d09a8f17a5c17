"""``feldspar quarantine list | show``: what was refused and why, without a JVM.

``feldspar quarantine replay`` is a Spark job (``cli.jobs``).
"""

from __future__ import annotations

from typing import Any

from feldspar.cli.arguments import DONE, Arguments, Subparsers, add_verb
from feldspar.cli.output import print_json, say
from feldspar.cli.project import Project
from feldspar.cli.tables import print_table
from feldspar.errors import TableNotFoundError
from feldspar.stores.queries import first_rows
from feldspar.stores.tables.lake import Lake

SHOWN = 20
LISTED = 1_000
LIST_EXAMPLE = "feldspar quarantine list"
SHOW_EXAMPLE = """\
feldspar quarantine show transactions
feldspar quarantine show transactions --rule amount:between --limit 5"""
_LIST = """
select '{table}' as "table", reason as rule, count(*) as rows,
  min(_ingested_at) as first, max(_ingested_at) as last
from (select unnest(_reasons) as reason, _ingested_at from quarantine.{table})
group by reason order by rows desc, rule"""
_SHOW = """
select array_to_string(_reasons, ', ') as rules, _raw as "row", _file as file,
  _ingested_at as came
from quarantine.{table} {where} order by _ingested_at desc, _batch desc, _position limit {limit}"""


def add_parser(subparsers: Subparsers) -> None:
    """Adds both verbs."""
    add_verb(subparsers, "quarantine list", example=LIST_EXAMPLE, handler=list_refused)
    show = add_verb(subparsers, "quarantine show", example=SHOW_EXAMPLE, handler=show_refused)
    show.add_argument("table", metavar="TABLE", help="a table of conf/tables")
    show.add_argument("--rule", help="only rows with this reason, e.g. amount:between")
    show.add_argument("--limit", type=int, default=SHOWN, help=f"how many (default: {SHOWN})")


def list_refused(arguments: Arguments) -> int:
    """How many rows of each table were refused by each rule, and when."""
    project = Project.of(arguments)
    lake = Lake.of(project.environment())
    found = [row for table in project.graph().tables for row in _rules(lake, table)]
    if arguments.json:
        print_json({"rules": found})
    elif found:
        print_table(list(found[0]), [list(row.values()) for row in found], numbers=["rows"])
        say("see: feldspar quarantine show TABLE --rule RULE; give back: quarantine replay TABLE")
    else:
        say("no row is in quarantine")
    return DONE


def show_refused(arguments: Arguments) -> int:
    """The newest refused rows as they came, with their reasons."""
    project = Project.of(arguments)
    table = project.graph().table(arguments.table).name
    rule = arguments.rule
    where = "" if rule is None else f"where list_contains(_reasons, {_quoted(rule)})"
    query = _SHOW.format(table=table, where=where, limit=arguments.limit)
    found = first_rows(Lake.of(project.environment()), query, limit=arguments.limit).rows
    if arguments.json:
        print_json({"rows": found.to_pylist()})
    else:
        print_table(found.column_names, [list(row.values()) for row in found.to_pylist()])
    return DONE


def _rules(lake: Lake, table: str) -> list[dict[str, Any]]:
    try:
        answer = first_rows(lake, _LIST.format(table=table), limit=LISTED)
    except TableNotFoundError:
        return []
    rows: list[dict[str, Any]] = answer.rows.to_pylist()
    return rows


def _quoted(text: str) -> str:
    doubled = text.replace("'", "''")
    return f"'{doubled}'"

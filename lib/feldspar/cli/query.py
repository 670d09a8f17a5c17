"""``feldspar query``: SQL over any table of the lake, without a JVM."""

from __future__ import annotations

from pathlib import Path

from feldspar.cli.arguments import DONE, Arguments, Subparsers, add_verb
from feldspar.cli.output import print_json, say
from feldspar.cli.project import Project
from feldspar.cli.tables import print_table
from feldspar.stores.queries import Answer, first_rows, write_rows
from feldspar.stores.tables.lake import Lake

SHOWN = 50
IN_JSON = 10_000
EXAMPLE = """\
feldspar query "select count(*) from silver.transactions"
feldspar query "select _reasons, count(*) n from quarantine.transactions group by all"
feldspar query "select * from gold.customer_spend where customer_id = 7" --out spend.parquet
tables: bronze.<source>, silver.<table>, quarantine.<table>, gold.<view>, ops.ledger, ..."""


def add_parser(subparsers: Subparsers) -> None:
    """Adds the verb."""
    parser = add_verb(subparsers, "query", example=EXAMPLE, handler=query)
    parser.add_argument("sql", help="one SELECT of DuckDB's SQL; tables are layer.name")
    parser.add_argument("--out", metavar="FILE", help="write all rows to a .parquet or .csv file")


def query(arguments: Arguments) -> int:
    """Prints the first rows and the count, or writes all rows to a file."""
    lake = Lake.of(Project.of(arguments).environment())
    if arguments.out:
        count = write_rows(lake, arguments.sql, out=Path(arguments.out))
        if arguments.json:
            print_json({"out": arguments.out, "count": count})
        else:
            say(f"{count:,} rows to {arguments.out}")
        return DONE
    answer = first_rows(lake, arguments.sql, limit=IN_JSON if arguments.json else SHOWN)
    if arguments.json:
        rows = answer.rows.to_pylist()
        print_json({"columns": answer.rows.column_names, "count": answer.count, "rows": rows})
    else:
        _print(answer)
    return DONE


def _print(answer: Answer) -> None:
    names = answer.rows.column_names
    rows = [list(row.values()) for row in answer.rows.to_pylist()]
    numbers = [
        field.name for field in answer.rows.schema if str(field.type).startswith(("int", "double"))
    ]
    print_table(names, rows, numbers=numbers)
    shown = (
        f", the first {len(rows)} shown; all of them: --out FILE"
        if answer.count > len(rows)
        else ""
    )
    say(f"{answer.count:,} row{'' if answer.count == 1 else 's'}{shown}")

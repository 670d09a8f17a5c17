"""Tables as listings: what the lake holds, and what conf/ says of one."""

from __future__ import annotations

from feldspar.cli.listing import Listing
from feldspar.cli.project import Project
from feldspar.cli.tables import size_text, time_text
from feldspar.errors import FeldsparError, TableNotFoundError, UsageError, nearest
from feldspar.spec.table import ColumnSpec
from feldspar.stores.tables.lake import LAYERS, Lake
from feldspar.stores.tables.summary import TableSummary, summaries, summarise, table_names
from feldspar.times import format_duration

COLUMNS = ("table", "rows", "version", "newest event", "last commit", "size", "files")


def tables(project: Project) -> Listing:
    """Every table that lies in the lake, with rows, version, freshness and size."""
    environment = project.environment()
    lake = Lake.of(environment)
    rows = tuple(_row(one) for one in summaries(lake, table_names(lake)))
    where = f"namespace {lake.namespace} of {lake.storage.root}, clock: {environment.clock}"
    none = () if rows else ("no tables yet: feldspar apply",)
    return Listing(
        COLUMNS, rows, numbers=("rows", "version", "size", "files"), before=(where,), after=none
    )


def one_table(project: Project, name: str) -> Listing:
    """The columns of one table: by ``layer.name`` from the lake, else a silver table of conf/.

    Raises:
        UsageError: there is no such table; the nearest names are given.
    """
    layer, _, rest = name.partition(".")
    if layer in LAYERS and rest:
        summary = summarise(Lake.of(project.environment()), layer, rest)
        return Listing(("column", "type"), summary.columns, before=(_line(summary),))
    definitions = project.definitions()
    if name not in definitions.tables:
        near = ", ".join(nearest(name, definitions.tables)) or ", ".join(definitions.tables)
        text = f"there is no table {name!r}; nearest: {near}"
        raise UsageError(
            text, hint="a table of another layer: layer.name, e.g. gold.customer_spend"
        )
    spec = definitions.tables[name]
    rows = tuple(
        (column, one.type.value, _known(one), ", ".join(map(_check, spec.checks.get(column, ()))))
        for column, one in spec.columns.items()
    )
    about = [f"silver.{name}: from {spec.from_}, key {', '.join(spec.key)}"]
    about += _held(project, "silver", name)
    if spec.history is not None:
        about += [f"history.{name}: {spec.history.kind} of it"]
        about += _held(project, "history", name)
    return Listing(("column", "type", "known", "checks"), rows, before=tuple(about))


def _held(project: Project, layer: str, name: str) -> tuple[str, ...]:
    """What the lake holds of a table; nothing of it is no reason to hide its columns."""
    try:
        return (_line(summarise(Lake.of(project.environment()), layer, name)),)
    except TableNotFoundError:
        return ("the lake holds no rows of it yet",)
    except FeldsparError as error:
        return (f"the lake was not looked at: {error.message}",)


def _row(one: TableSummary) -> tuple[object, ...]:
    rows = None if one.rows is None else f"{one.rows:,}"
    times = time_text(one.newest_event), time_text(one.committed)
    return f"{one.layer}.{one.name}", rows, one.version, *times, size_text(one.size), one.files


def _line(one: TableSummary) -> str:
    facts = dict(zip(COLUMNS, _row(one), strict=True))
    return ", ".join(f"{key} {value}" for key, value in facts.items() if value is not None)


def _known(column: ColumnSpec) -> str:
    if column.known_after is not None:
        return f"{format_duration(column.known_after)} after the event"
    return f"at {column.known_at}" if column.known_at else ""


def _check(check: object) -> str:
    kind = getattr(check, "kind", "")
    facts = {key: value for key, value in vars(check).items() if key != "kind"}
    return f"{kind} {', '.join(map(str, facts.values()))}".strip()

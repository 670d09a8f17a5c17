"""``feldspar vacuum``: deletes what no version within the retention needs, without a JVM.

It refuses to outrun a reader: whatever is made from a table finds what it has not read yet.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from feldspar.cli.arguments import DONE, Arguments, Subparsers, add_verb
from feldspar.cli.output import print_json, say
from feldspar.cli.project import Project
from feldspar.cli.tables import print_table, size_text
from feldspar.errors import InputError, StoreError, UsageError
from feldspar.graph.observed import TableId
from feldspar.graph.readers import Reader, readers
from feldspar.stores.deployed import observe_progress
from feldspar.stores.online import OnlineStore
from feldspar.stores.tables import log
from feldspar.stores.tables.lake import Lake
from feldspar.stores.tables.retention import Folder, Waste, listed, remove, waste
from feldspar.stores.tables.summary import table_names
from feldspar.times import (
    format_duration,
    from_micros,
    parse_duration,
    to_micros,
    utc_now,
)
from feldspar.training.manifest import Manifest

RETAIN = "7d"
LEAST = timedelta(days=1)
"""A write that is on its way may take so long: its files are in no version yet."""
LEFT_ALONE = "training"
"""Each version of a training set is what somebody asked for by name."""
EXAMPLE = """\
feldspar vacuum --dry-run
feldspar vacuum --retain 30d"""


def add_parser(subparsers: Subparsers) -> None:
    """Adds the verb."""
    parser = add_verb(subparsers, "vacuum", example=EXAMPLE, handler=vacuum)
    parser.add_argument(
        "--retain",
        metavar="DURATION",
        default=RETAIN,
        help=f"how long versions stay readable, at least 1d (default: {RETAIN})",
    )
    parser.add_argument("--dry-run", action="store_true", help="only say what would be deleted")


def vacuum(arguments: Arguments) -> int:
    """Deletes what is not needed any more, table by table, or says what it would.

    Raises:
        UsageError: the retention is too short, in general or for some reader; nothing is deleted.
        UnreachableError: the storage or Redis does not answer.
    """
    retain = _retention(arguments.retain)
    project = Project.of(arguments)
    graph, environment = project.graph(), project.environment()
    with OnlineStore.of(environment) as store:
        found = readers(graph, observe_progress(graph, environment, store=store))
    lake, now = Lake.of(environment), utc_now()
    names = [one for one in table_names(lake) if one[0] != LEFT_ALONE]
    folders = {name: listed(lake, *name) for name in names}
    refuse_to_outrun(found, folders, retain=retain, now=now)
    since = to_micros(now - retain)
    useless = [
        waste(folder, version=folder.version_at(since), before=since)
        for folder in folders.values()
        if folder.commits
    ]
    left_behind = list(_left_behind(lake, useless))
    if not arguments.dry_run:
        for one in useless:
            remove(one)
    _tell(useless, left_behind, arguments)
    return DONE


def refuse_to_outrun(
    found: Sequence[Reader],
    folders: dict[TableId, Folder],
    *,
    retain: timedelta,
    now: datetime,
) -> None:
    """Stops before anything is deleted where a reader would miss something.

    Raises:
        UsageError: names each such reader, where it is, and the retention that spares it.
    """
    since = to_micros(now - retain)
    late = [
        (one, folders[one.table])
        for one in found
        if one.table in folders and one.version < folders[one.table].version_at(since)
    ]
    if not late:
        return
    lines = "\n".join(_lag(reader, folder) for reader, folder in late)
    ages = [now - from_micros(_unread_since(reader, folder)) for reader, folder in late]
    enough = max(ages) // timedelta(days=1) + 1
    verbs = " or ".join(sorted({reader.verb for reader, _ in late}))
    raise UsageError(
        f"--retain {format_duration(retain)} would delete what was not read yet:\n{lines}",
        hint=f"{verbs}, then vacuum again; or --retain {enough}d, which spares them",
    )


def _lag(reader: Reader, folder: Folder) -> str:
    when = from_micros(_unread_since(reader, folder))
    return (
        f"{reader.name} has read {folder.layer}.{folder.name} up to version {reader.version} of "
        f"{max(folder.commits)}; the next one is of {when:%Y-%m-%d %H:%M}Z"
    )


def _unread_since(reader: Reader, folder: Folder) -> int:
    """When the first version was committed that the reader has not read."""
    return min(at for version, at in folder.commits.items() if version > reader.version)


def _retention(text: str) -> timedelta:
    retain = parse_duration(text)
    if retain < LEAST:
        raise UsageError(
            f"--retain {text} is too short: a write that is on its way may be as old",
            hint=f"nearest: --retain {format_duration(LEAST)}",
        )
    return retain


def _left_behind(lake: Lake, useless: Sequence[Waste]) -> Iterator[str]:
    """Training sets that were made of versions which are no longer kept."""
    kept = {f"{one.folder.layer}.{one.folder.name}": one.version for one in useless}
    for layer, name in table_names(lake):
        if layer == LEFT_ALONE:
            made_of = _made_of(lake, name)
            gone = [table for table, version in made_of.items() if version < kept.get(table, 0)]
            if gone:
                yield (
                    f"{layer}.{name} was made of older versions of {', '.join(sorted(gone))}: its "
                    "rows stay, but it cannot be extended, nor a difference be explained by them"
                )


def _made_of(lake: Lake, name: str) -> Mapping[str, int]:
    try:
        newest = log.open_table(lake, LEFT_ALONE, name).version()
        note = log.read_commit(lake, LEFT_ALONE, name, version=newest).note
        return Manifest.from_json(note, name=name).tables
    except (InputError, StoreError):
        return {}


def _tell(useless: Sequence[Waste], left_behind: Sequence[str], arguments: Arguments) -> None:
    found = [one for one in useless if one.size]
    if arguments.json:
        tables = [_facts(one) for one in found]
        deleted = not arguments.dry_run
        print_json({"deleted": deleted, "tables": tables, "left_behind": left_behind})
        return
    if found:
        rows = [
            [facts["table"], facts["files"], facts["log_entries"], size_text(one.size), one.version]
            for one, facts in zip(found, map(_facts, found), strict=True)
        ]
        headings = ("table", "files", "log entries", "size", "readable from version")
        print_table(headings, rows, numbers=headings[1:])
    for line in left_behind:
        say(line)
    total = size_text(sum(one.size for one in found))
    done = "would be deleted" if arguments.dry_run else "deleted"
    say(f"{total} {done}; what was a version in the last {arguments.retain} stays readable")


def _facts(one: Waste) -> dict[str, object]:
    return {
        "table": f"{one.folder.layer}.{one.folder.name}",
        "files": len(one.data),
        "log_entries": len(one.log),
        "bytes": one.size,
        "readable_from_version": one.version,
    }

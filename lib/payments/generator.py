"""Writes the whole example domain as files: payments, bureau snapshots, sessions and loans.

The same options give the same bytes. One day or one month is in memory at a time, besides the
profiles of customers and terminals. ``manifest.json`` is written last: a folder without it is
unfinished and is made anew. What each file means is said by the module of its noun.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from feldspar.errors import InputError
from payments import bureau, loans
from payments.arrivals import Deliveries
from payments.card_feed import HEADER, payment_lines, planted
from payments.files import ParquetSeries, TextSeries
from payments.loans import iter_months, loan_batch
from payments.malformed import PAYMENT_KINDS
from payments.manifest import NAME, GeneratedFile, Manifest, read_manifest, write_manifest
from payments.options import GeneratorOptions, OptionValue, read_options
from payments.payments import Rows, iter_days
from payments.sessions import LastAmounts, session_lines, sessions_before_loans, sessions_of_day
from payments.world import World, make_world

SOURCES = ("bureau", "loans", "payments", "sessions")
DAYS_A_FILE = 7

Progress = Callable[[str], None]


@dataclass(frozen=True)
class _Written:
    """What one pass has written and planted."""

    files: tuple[GeneratedFile, ...]
    planted: Counter[str]
    broken_sessions: Counter[str]


def generate(
    folder: Path, options: GeneratorOptions | Mapping[str, OptionValue], *, progress: Progress
) -> Manifest:
    """Fills a folder with generated data; a folder that is complete for the options stays as is.

    Args:
        folder: gets ``payments/part-*.csv``, ``bureau/part-*.parquet``, ``loans/part-*.parquet``,
            ``sessions/part-*.jsonl`` and ``manifest.json``; made if it is missing. Part files of
            other options or of a killed attempt are removed first.
        options: as an object, or as names and values of a definition file.
        progress: is told one line for each finished month or week.

    Returns:
        The manifest, as it is in the folder.

    Raises:
        UsageError: an option is unknown or out of its range.
        InputError: the folder can not be written, or its manifest can not be read.
    """
    asked = options if isinstance(options, GeneratorOptions) else read_options(options)
    present = read_manifest(folder)
    if present is not None and present.describes(folder, asked):
        progress(f"{folder}: complete, {sum(present.rows.values()):,} rows")
        return present
    try:
        return _fill(folder, asked, progress=progress)
    except OSError as error:
        raise InputError(f"generated data can not be written to {folder}: {error}") from error


def _fill(folder: Path, options: GeneratorOptions, *, progress: Progress) -> Manifest:
    _clear(folder)
    world = make_world(options)
    credit = _write_credit(folder, world, progress=progress)
    daily = _write_days(folder, world, progress=progress)
    manifest = _manifest(options, credit, daily)
    write_manifest(folder, manifest)
    return manifest


def _clear(folder: Path) -> None:
    """Makes the folders and removes what an earlier attempt left; the manifest goes first."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / NAME).unlink(missing_ok=True)
    for source in SOURCES:
        (folder / source).mkdir(exist_ok=True)
        for path in sorted((folder / source).iterdir()):
            if path.name.startswith(("part-", ".part-")):
                path.unlink()


def _write_credit(folder: Path, world: World, *, progress: Progress) -> _Written:
    """Bureau snapshots, loans and the sessions before loans, month by month, a file a year."""
    end = world.options.end_second
    broken: Counter[str] = Counter()
    with (
        ParquetSeries(folder, bureau.SCHEMA) as snapshots,
        ParquetSeries(folder, loans.SCHEMA) as granted,
        TextSeries(folder) as sessions,
    ):
        for snapshot, lent in iter_months(world):
            month = datetime.fromtimestamp(int(snapshot.taken[0]), UTC)
            snapshots.write(
                f"bureau/part-{month.year}.parquet", bureau.snapshot_batch(snapshot, before=end)
            )
            granted.write(f"loans/part-{month.year}.parquet", loan_batch(lent, before=end))
            visits = sessions_before_loans(world, lent, month=snapshot.index)
            text, kinds = session_lines(
                visits, world, purpose="lines before loans", index=snapshot.index
            )
            sessions.write(f"sessions/part-loans-{month.year}.jsonl", text, rows=len(visits))
            broken += kinds
            progress(f"bureau and loans {month:%Y-%m}: {len(lent.loan):,} loans")
    return _Written(
        files=(*snapshots.files, *granted.files, *sessions.files),
        planted=Counter(),
        broken_sessions=broken,
    )


def _write_days(folder: Path, world: World, *, progress: Progress) -> _Written:
    """Payments in the order of arrival and the app's sessions, day by day, a file a week."""
    counts: Counter[str] = Counter()
    broken: Counter[str] = Counter()
    total = 0
    with TextSeries(folder, HEADER) as payments, TextSeries(folder) as sessions:
        for day, (delivered, text, kinds, visits) in enumerate(_iter_written_days(world)):
            week = world.options.start + timedelta(days=day - day % DAYS_A_FILE)
            payments.write(
                f"payments/part-{week}.csv",
                payment_lines(delivered, world.terminals),
                rows=len(delivered),
            )
            sessions.write(f"sessions/part-{week}.jsonl", text, rows=visits)
            counts += planted(delivered)
            broken += kinds
            total += len(delivered)
            if (day + 1) % DAYS_A_FILE == 0 or day + 1 == world.options.days:
                progress(f"payments from {week}: {total:,} of about {world.options.payments:,}")
    return _Written(
        files=(*payments.files, *sessions.files), planted=counts, broken_sessions=broken
    )


def _iter_written_days(world: World) -> Iterator[tuple[Rows, bytes, Counter[str], int]]:
    """For each day: deliveries, lines of sessions, their broken kinds, number of sessions."""
    last = LastAmounts(world.customers.count)
    deliveries = Deliveries(world.options)
    numbered = 0
    for day, payments in enumerate(iter_days(world)):
        delivered = deliveries.after(payments)
        visits = sessions_of_day(world, day, payments=payments, last=last, first_id=numbered)
        numbered += len(visits)
        text, kinds = session_lines(visits, world, purpose="lines of sessions", index=day)
        yield delivered, text, kinds, len(visits)


def _manifest(options: GeneratorOptions, *parts: _Written) -> Manifest:
    counts: Counter[str] = Counter()
    broken: Counter[str] = Counter()
    for part in parts:
        counts += part.planted
        broken += part.broken_sessions
    files = tuple(sorted(file for part in parts for file in part.files))
    return Manifest(
        options=options.as_json(),
        files=files,
        rows={
            source: sum(file.rows for file in files if file.path.startswith(f"{source}/"))
            for source in SOURCES
        },
        malformed={
            "payments": {kind: counts[kind] for kind in PAYMENT_KINDS},
            "sessions": dict(sorted(broken.items())),
        },
        duplicates=counts["duplicates"],
        corrections=counts["corrections"],
        late=counts["late"],
        frauds={name: counts[f"fraud_{name}"] for name in "123"},
    )

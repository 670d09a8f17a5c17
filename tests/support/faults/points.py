"""The points between commits at which a run is killed: each says when it has come.

A point looks at the lake before the run begins, and from then on tells whether the run is there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from feldspar.stores.tables.log import file_sizes
from support.killing import Project

Reached = Callable[[], bool]
TableId = tuple[str, str]
BRONZE, QUARANTINE = ("bronze", "payments"), ("quarantine", "transactions")
SILVER, GOLD = ("silver", "transactions"), ("gold", "last_payment")
EVENTS = ("gold", "customer_spend")
FILES, LEDGER = ("ops", "files"), ("ops", "ledger")


def commits(project: Project, table: TableId) -> int:
    """How many commits a table has, fences aside."""
    return len(project.commits(*table))


def _written_not_committed(project: Project, table: TableId) -> Reached:
    done, files = commits(project, table), project.data_files(*table)
    return lambda: project.data_files(*table) > files and commits(project, table) == done


def _between(project: Project, first: TableId, then: TableId) -> Reached:
    before = commits(project, first), commits(project, then)
    return lambda: commits(project, first) > before[0] and commits(project, then) == before[1]


def _named(project: Project, table: TableId) -> int:
    """How many files the commits of a table name, those that were replaced since too."""
    return sum(text.count('"add":{') for text in project.commits(*table))


def _unnamed(project: Project, table: TableId) -> int:
    """How many files lie there that no commit names."""
    # files first: one that is committed in between counts as named, never as unnamed
    return project.data_files(*table) - _named(project, table)


def _put_together(project: Project, table: TableId) -> Reached:
    """The run's own rows are committed, and a file beside them is not: it holds older ones."""
    named, unnamed = _named(project, table), _unnamed(project, table)
    return lambda: _named(project, table) > named and _unnamed(project, table) > unnamed


def file_of_bronze_written(project: Project) -> Reached:
    """Rows lie in a file of bronze that no commit names."""
    return _written_not_committed(project, BRONZE)


def bronze_before_its_list(project: Project) -> Reached:
    """Bronze has rows of files that the list of files does not have."""
    return _between(project, BRONZE, FILES)


def quarantine_before_silver(project: Project) -> Reached:
    """Refused rows of a batch are there, valid ones are not."""
    return _between(project, QUARANTINE, SILVER)


def inside_the_merge(project: Project) -> Reached:
    """Files of the write into silver (a MERGE, for it has rows) are there, its commit is not."""
    return _written_not_committed(project, SILVER)


def silver_before_the_ledger(project: Project) -> Reached:
    """Silver has a batch that the ledger does not confirm."""
    return _between(project, SILVER, LEDGER)


def inside_the_compaction(project: Project) -> Reached:
    """Silver has the batch, and the file that many small ones were merged into is not committed."""
    return _put_together(project, SILVER)


def ledger_before_gold(project: Project) -> Reached:
    """A batch is confirmed, and gold has none of it."""
    return _between(project, LEDGER, GOLD)


def file_of_gold_written(project: Project) -> Reached:
    """Rows lie in a file of gold that no commit names."""
    return _written_not_committed(project, EVENTS)


def inside_the_sorting_of_gold(project: Project) -> Reached:
    """Gold has the batch, and the run that its bucket was sorted into is not committed."""
    return _put_together(project, GOLD)


def gold_before_redis(project: Project) -> Reached:
    """Gold has rows that Redis does not have."""
    gold, pushed = commits(project, GOLD), project.pushed("last_payment")
    return lambda: commits(project, GOLD) > gold and project.pushed("last_payment") == pushed


def inside_the_vacuum(project: Project) -> Reached:
    """Some of silver's files that no kept version needs are deleted, others are not."""
    before = project.data_files(*SILVER)
    kept = len(file_sizes(project.lake, *SILVER))
    return lambda: kept < project.data_files(*SILVER) < before


POINTS: Mapping[str, Callable[[Project], Reached]] = {
    one.__name__: one
    for one in (
        file_of_bronze_written,
        bronze_before_its_list,
        quarantine_before_silver,
        inside_the_merge,
        silver_before_the_ledger,
        inside_the_compaction,
        ledger_before_gold,
        file_of_gold_written,
        inside_the_sorting_of_gold,
        gold_before_redis,
        inside_the_vacuum,
    )
}

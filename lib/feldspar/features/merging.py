"""Keeps the files of a gold table few, bucket by bucket; no row changes, readers see no news.

Small runs are put into one file in tiers, as those of any table (``stores.tables.tiers``). They are
not sorted by that: tasks look at the order and sort what is not as it should be, which costs little
as long as it is little. So where what came since has half the bytes of a bucket's greatest run, the
whole bucket of a plain view is made one sorted run again. Windows sort what they fold in any case.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import functions as F

from feldspar.features.layout import ROWS_A_SLICE, laid_out, rows_a_file
from feldspar.graph.view import PlainView, View, WindowedView
from feldspar.names import BUCKET
from feldspar.stores.tables.bucketed import BucketedTable, DataFile, bucketed_table
from feldspar.stores.tables.causes import cause
from feldspar.stores.tables.compaction import merge_files
from feldspar.stores.tables.spark import SparkTables
from feldspar.stores.tables.tiers import FULL, Merge, merge_of

UNSORTED = 0.5
"""Bytes beside the greatest run, as a share of it, that may be left unsorted."""
ROWS_TO_SORT = 4_000_000
"""The budget of one step, beside the rows that it added."""


def has_outgrown(files: Iterable[DataFile]) -> bool:
    """Whether so much has come to a bucket since that it is worth sorting as a whole."""
    sizes = [file.size for file in files]
    return sum(sizes) - max(sizes) >= UNSORTED * max(sizes)


def merge_runs(view: View, tables: SparkTables, *, progress: Callable[[str], None]) -> int:
    """Merges files of each bucket that has too many, within the budget.

    It is upkeep, so it never raises for what it could not do: that is said, and left to the next.

    Returns:
        How many buckets got fewer files.
    """
    version = tables.version("gold", view.name)
    files = bucketed_table(tables.lake, "gold", view.name, version=version)
    merges = {} if files is None else _merges(view, files)
    if files is None or not merges:
        return 0
    progress(f"gold.{view.name}: merging files of {len(merges)} buckets")
    whole = _to_sort(files, merges) if isinstance(view, PlainView) else []
    rest = {bucket: merge for bucket, merge in merges.items() if bucket not in whole}
    try:
        if whole:
            _sort(view, tables, whole, files=files)
        if rest:
            # buckets of a hash are alike: one pass with the greatest limits takes all of them
            below = max(merge.below for merge in rest.values())
            upto = max(merge.upto for merge in rest.values())
            merge_files(tables, "gold", view.name, Merge(below, upto), where=_in(rest))
    except (Py4JJavaError, PySparkException) as error:
        progress(f"gold.{view.name}: merging is put off to the next batch: {cause(error)}")
        return 0
    return len(merges)


def _merges(view: View, files: BucketedTable) -> dict[int, Merge]:
    full = full_size(view, files)
    found = {
        bucket: merge_of([file.size for file in held], full=full)
        for bucket, held in files.files.items()
    }
    return {bucket: merge for bucket, merge in found.items() if merge is not None}


def full_size(view: View, files: BucketedTable) -> int:
    """Bytes from which a file is left alone: windows want slices, so that they open few of them."""
    if not isinstance(view, WindowedView):
        return FULL
    rows = sum(file.rows for held in files.files.values() for file in held)
    return max(1, ROWS_A_SLICE * files.size // max(1, rows))


def _to_sort(files: BucketedTable, buckets: Iterable[int]) -> list[int]:
    """Those that have outgrown their greatest run, as far as the budget goes; at least one."""
    chosen: list[int] = []
    rows = 0
    for bucket in (one for one in buckets if has_outgrown(files.files[one])):
        rows += sum(file.rows for file in files.files[bucket])
        if chosen and rows > ROWS_TO_SORT:
            break
        chosen.append(bucket)
    return chosen


def _sort(view: View, tables: SparkTables, buckets: Sequence[int], *, files: BucketedTable) -> None:
    rows = tables.read("gold", view.name, version=files.version)
    anew = laid_out(rows.where(F.col(BUCKET).isin(*buckets)), view, files.buckets)
    tables.rewrite(
        anew,
        "gold",
        view.name,
        where=_in(buckets),
        version=files.version,
        rows_a_file=rows_a_file(view),
    )


def _in(buckets: Iterable[int]) -> str:
    return f"{BUCKET} in ({', '.join(map(str, sorted(buckets)))})"

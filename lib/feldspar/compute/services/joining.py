"""Which engine joins a spine with the views of one entity, and the joining itself.

Tasks read gold's files themselves where they may: then only the spine moves. Else Spark moves the
rows of gold too: plain rows by SQL alone, events to one task a bucket.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

from pyspark.sql import DataFrame
from pyspark.sql.types import StructType

from feldspar.compute.answers import Answers
from feldspar.compute.layout import BucketedRows
from feldspar.compute.pit.plan import PitPlan
from feldspar.compute.pit.union import add_columns
from feldspar.compute.services.bucketed import ViewRows, add_views
from feldspar.compute.services.choice import Engine, choose
from feldspar.compute.services.completion import Completion
from feldspar.compute.windows.batch import add_windows
from feldspar.compute.windows.plan import WindowPlan
from feldspar.graph.view import View


@dataclass(frozen=True)
class Gold:
    """One view's gold table at a pinned version.

    Attributes:
        frame: its rows; of a windowed view with departures.
        files: the same rows as files that tasks read themselves; None: they may not, or the table
            is not laid out in buckets.
    """

    frame: DataFrame
    files: BucketedRows | None = None


@dataclass(frozen=True)
class Planned:
    """What to compute of one view, and its rows."""

    view: View
    plan: PitPlan | WindowPlan
    gold: Gold

    @property
    def engine(self) -> Engine:
        """The engine that ``explain`` names, too."""
        return choose(self.view, direct=True, in_buckets=self.gold.files is not None).engine


def add_planned(
    spine: DataFrame,
    views: Sequence[Planned],
    *,
    buckets: int,
    completion: Completion | None = None,
) -> Answers:
    """The spine with the columns of views that share an entity's keys.

    Args:
        spine: keys in the types of the views' rows, times, and any other columns.
        views: at least one.
        buckets: tasks that share the work where Spark moves events; each holds its entities'
            history in memory.
        completion: computes what is not stored, after all views.
    """
    work = [ViewRows(one.plan, one.gold.files) for one in views if one.gold.files is not None]
    if all(one.engine == "bucketed" for one in views):
        return add_views(spine, work, completion=completion)
    for view in views:
        spine = _moved(spine, view, buckets=buckets)
    return completed(spine, completion)


def completed(spine: DataFrame, completion: Completion | None) -> Answers:
    """The spine with what a completion computes, where there is one."""
    answers = Answers.of(spine)
    if completion is None:
        return answers
    return answers.then(completion, StructType([*spine.schema, *completion.fields()]))


def _moved(spine: DataFrame, view: Planned, *, buckets: int) -> DataFrame:
    match view.plan:
        case WindowPlan():
            return add_windows(spine, view.gold.frame, view.plan, buckets=buckets)
        case PitPlan():
            return add_columns(spine, view.gold.frame, view.plan)
        case _:
            assert_never(view.plan)

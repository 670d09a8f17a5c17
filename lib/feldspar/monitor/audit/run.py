"""The audit of a service's log: every answer replayed from gold in Spark, marks counted.

One pass over the log finds the versions that were served, one replays: how many jobs that is does
not depend on how many answers there are, and each version's files are read once a bucket.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from itertools import pairwise

import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import to_arrow_schema
from pyspark.sql.types import StructType

from feldspar.compute.buckets import bucket_of, by_bucket
from feldspar.compute.services.batch import SpineColumns, prepared, view_plan
from feldspar.compute.services.bucketed import ViewRows
from feldspar.compute.services.completion import Completion
from feldspar.compute.services.joining import Gold
from feldspar.compute.services.served import (
    AT,
    DEFINITION,
    DEGRADED,
    REQUEST_ID,
    served_definition,
    stamp_column,
    version_column,
)
from feldspar.errors import UsageError
from feldspar.graph.graph import Table
from feldspar.graph.view import Service, View
from feldspar.monitor.audit.arrivals import arrivals
from feldspar.monitor.audit.computed import MARKS, ComputedTask
from feldspar.monitor.audit.equality import inexact
from feldspar.monitor.audit.findings import (
    Count,
    FeatureFindings,
    Found,
    ServiceAudit,
    feature_findings,
)
from feldspar.monitor.audit.marks import DDL
from feldspar.monitor.audit.replays import needed
from feldspar.monitor.audit.views import BUCKET, SERVED, ViewAudit, ViewsTask, added_fields
from feldspar.names import REQUEST, SERVED_AT, feature_column, served_table
from feldspar.stores.tables.bucketed import BucketedTable, bucketed_table
from feldspar.stores.tables.retention import listed
from feldspar.stores.tables.spark import SparkTables

_VERSION = "_effective_"
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Chosen:
    """Which answers are audited: of what time by the wall clock, and how many of them at most.

    ``since`` is the first moment that counts, ``until`` the first that does not.
    """

    since: datetime | None = None
    until: datetime | None = None
    sample: int | None = None


def audit(
    service: Service,
    event: Table | None,
    tables: SparkTables,
    *,
    chosen: Chosen,
    progress: Progress,
) -> ServiceAudit:
    """Replays a service's answers through the offline path.

    Args:
        service: whose log.
        event: the silver table of its event; None where requests are keys.
        tables: the lake.
        chosen: which answers.
        progress: gets a line when work starts.

    Raises:
        UsageError: nothing was ingested of the log yet, or tasks may not read gold's files.
    """
    name = served_table(service.name)
    if not tables.exists("bronze", name):
        raise UsageError(
            f"nothing of what {service.name} answered is in bronze.{name} yet",
            hint="feldspar ingest brings it there; without answers there is nothing to audit",
        )
    if not tables.lake.storage.direct_reads:
        raise UsageError(
            "an audit reads gold's files in its tasks, which storage.direct_reads forbids",
            hint="feldspar online verify compares Redis with gold without that",
        )
    return _Audit(service, event, tables, chosen).done(progress)


@dataclass(frozen=True)
class _Readable:
    """The versions of a view's gold that were served and can be read, and the newest one."""

    versions: Mapping[int, BucketedTable]
    newest: BucketedTable

    def following(self, served: Sequence[int]) -> dict[int, BucketedTable]:
        """To each version the one that was pushed next, as far as the log and gold tell."""
        order = sorted({*served, self.newest.version})
        return {
            one: self.versions.get(after, self.newest)
            for one, after in pairwise(order)
            if after in self.versions or after == self.newest.version
        }


@dataclass(frozen=True)
class _Audit:
    service: Service
    event: Table | None
    tables: SparkTables
    chosen: Chosen

    @cached_property
    def log(self) -> DataFrame:
        """The answers that were chosen."""
        rows = self.tables.read("bronze", served_table(self.service.name))
        if self.chosen.since is not None:
            rows = rows.where(F.col(SERVED_AT) >= F.lit(self.chosen.since))
        if self.chosen.until is not None:
            rows = rows.where(F.col(SERVED_AT) < F.lit(self.chosen.until))
        if self.chosen.sample is not None:
            # by the request's name: the same ones whenever it is asked
            rows = rows.orderBy(F.xxhash64(REQUEST_ID), SERVED_AT).limit(self.chosen.sample)
        return rows

    def done(self, progress: Progress) -> ServiceAudit:
        service = self.service
        comparable = (F.col(DEFINITION) == served_definition(service)) & ~F.col(DEGRADED)
        served, degraded, audited = _sums(self.log, F.col(DEGRADED), comparable)
        other = served - degraded - audited
        known = ServiceAudit(service.name, served, degraded, other, audited)
        if not audited:
            return known
        rows = self._with_versions(self.log.where(comparable))
        versions = _versions(rows, service.views)
        progress(f"audit {service.name}: {audited} answers, {_told(versions)}")
        found = self._counted(self._marked(rows, versions))
        return ServiceAudit(
            service=service.name,
            served=served,
            degraded=degraded,
            other=other,
            audited=audited,
            in_flight=_in_flight(found),
            gone=_gone(found, service.views),
            features=(
                *feature_findings(found, _outputs(service), audited=audited),
                *self._arrivals(rows),
            ),
        )

    def _arrivals(self, rows: DataFrame) -> tuple[FeatureFindings, ...]:
        if self.event is None:
            return ()
        return arrivals(rows, self.service, self.event, self.tables)

    def _with_versions(self, rows: DataFrame) -> DataFrame:
        """The version that each view was answered from: the value's own where it is newer."""
        return rows.withColumns(
            {
                _VERSION + view.name: F.greatest(version_column(view.name), stamp_column(view.name))
                for view in self.service.views
            }
        )

    def _marked(self, rows: DataFrame, versions: Mapping[str, list[int]]) -> DataFrame:
        service = self.service
        gold = {view.name: Gold(self.tables.read("gold", view.name)) for view in service.views}
        columns = SpineColumns(AT, None if self.event is None else self.event.spec.key[0])
        spine = prepared(_renamed(rows, service), service, gold=gold, columns=columns)
        audits = []
        for views in _by_entity(service.views):
            group = []
            for view in views:
                readable = _readable(view, self.tables, versions[view.name])
                group.append(self._view(view, readable, columns, versions[view.name]))
            spine = _audited(spine, [one for one, _ in group], [fields for _, fields in group])
            audits += [one for one, _ in group]
        task = ComputedTask(
            Completion(service) if service.computations else None,
            tuple(one for one in service.outputs if _is_computed(one.reference, service)),
            tuple(one.state for one in audits),
            tuple(one.marks for one in audits),
            (REQUEST_ID, *service.keys, AT),
        )
        return spine.mapInArrow(task, f"{MARKS} {DDL}")

    def _view(
        self, view: View, readable: _Readable, columns: SpineColumns, served: Sequence[int]
    ) -> tuple[ViewAudit, StructType]:
        plan = view_plan(view, self.service, columns=columns)
        fields = StructType(ViewRows(plan, readable.newest).fields())
        wanted = set(needed(plan))
        held = {
            version: one
            for version, one in readable.versions.items()
            if wanted <= set(one.schema.names)
        }
        outputs = {one.name for one in self.service.outputs}
        names = [feature_column(view.name, name) for name in view.feature_types()]
        audited = ViewAudit(
            view=view.name,
            keys=(REQUEST_ID, *view.keys, AT),
            plan=plan,
            version=_VERSION + view.name,
            cursor=held,
            following=readable.following(served),
            newest=readable.newest,
            logged=tuple(name for name in names if name in outputs),
            inexact=inexact(view),
            schema=pa.schema(to_arrow_schema(fields)),
        )
        return audited, fields

    def _counted(self, marked: DataFrame) -> Found:
        # a row a feature, kind and label: of all three there is a bounded number
        single = marked.select(F.explode(MARKS).alias("mark")).select("mark.*")
        order = F.xxhash64("example")
        counted = single.groupBy("feature", "kind", "label").agg(
            F.count(F.lit(1)).alias("rows"),
            F.min_by("example", order).alias("first"),
            F.max_by("example", order).alias("last"),
        )
        return {
            (row["feature"], row["kind"], row["label"]): Count(
                int(row["rows"]), tuple(dict.fromkeys(filter(None, (row["first"], row["last"]))))
            )
            for row in counted.collect()
        }


def _sums(log: DataFrame, *conditions: Column) -> tuple[int, ...]:
    counts = [F.count(F.lit(1)), *[F.count_if(one) for one in conditions]]
    row = log.agg(*counts).first()
    return tuple(int(one or 0) for one in row) if row is not None else (0,) * len(counts)


def _versions(rows: DataFrame, views: Sequence[View]) -> dict[str, list[int]]:
    """The versions of gold that were served, view by view."""
    found: dict[str, list[int]] = {view.name: [] for view in views}
    if not views:
        return found
    pairs = F.array(
        *[
            F.struct(F.lit(view.name).alias("view"), F.col(_VERSION + view.name).alias("version"))
            for view in views
        ]
    )
    # a row a version that a push left behind
    for row in rows.select(F.explode(pairs).alias("one")).select("one.*").distinct().collect():
        if row["version"] is not None:
            found[row["view"]].append(int(row["version"]))
    return {view: sorted(one) for view, one in found.items()}


def _readable(view: View, tables: SparkTables, served: Sequence[int]) -> _Readable:
    lake = tables.lake
    newest = _files(view, tables, tables.version("gold", view.name))
    if newest is None:
        raise UsageError(
            f"gold.{view.name} does not lie in buckets of its entity",
            hint="feldspar apply lays it out anew",
        )
    folder = listed(lake, "gold", view.name)
    there = {one.path for one in folder.files}
    commits = folder.commits
    versions = {}
    for version in served:
        found = _files(view, tables, version) if version in commits else None
        if found is not None and _is_whole(found, there):
            versions[version] = found
    return _Readable(versions, newest)


def _files(view: View, tables: SparkTables, version: int) -> BucketedTable | None:
    return bucketed_table(tables.lake, "gold", view.name, version=version)


def _is_whole(table: BucketedTable, there: set[str]) -> bool:
    """Whether vacuum has left all files of a version."""
    return all(file.path in there for files in table.files.values() for file in files)


def _renamed(rows: DataFrame, service: Service) -> DataFrame:
    """What was served under names of its own: gold's values get the features' names."""
    request = {name for name, _ in service.request}
    names = {one.name: SERVED + one.name for one in service.outputs if one.name not in request}
    return rows.withColumnsRenamed(names)


def _audited(
    spine: DataFrame, views: Sequence[ViewAudit], fields: Sequence[StructType]
) -> DataFrame:
    """The spine with the columns of views that share an entity, in one move of the spine."""
    buckets = max(view.buckets for view in views)
    plan = views[0].plan
    numbered = spine.withColumn(
        BUCKET, bucket_of(spine, plan.spine_keys, spread_by=plan.spine_time, buckets=buckets)
    )
    added = [
        one for view, own in zip(views, fields, strict=True) for one in added_fields(view, own)
    ]
    moved = by_bucket(numbered, BUCKET, buckets=buckets)
    return moved.mapInArrow(ViewsTask(tuple(views)), StructType([*spine.schema, *added]))


def _by_entity(views: Sequence[View]) -> list[list[View]]:
    groups: dict[tuple[str, ...], list[View]] = {}
    for view in views:
        groups.setdefault(view.keys, []).append(view)
    return list(groups.values())


def _outputs(service: Service) -> list[tuple[str, str]]:
    """Outputs that gold or a computation makes, and the view that they are stored columns of."""
    request = {name for name, _ in service.request}
    return [
        (
            one.name,
            "" if _is_computed(one.reference, service) else one.reference.partition(".")[0],
        )
        for one in service.outputs
        if one.name not in request
    ]


def _is_computed(reference: str, service: Service) -> bool:
    owner, _, feature = reference.partition(".")
    stored = {view.name: view.feature_types() for view in service.views}
    return owner != REQUEST and feature not in stored.get(owner, {})


def _in_flight(found: Found) -> dict[str, int]:
    return {name: one.rows for (name, kind, _), one in found.items() if kind == "in flight"}


def _gone(found: Found, views: Sequence[View]) -> dict[str, dict[int, int]]:
    gone: dict[str, dict[int, int]] = {}
    names = {view.name for view in views}
    for (name, kind, label), one in found.items():
        if kind == "gone" and name in names:
            gone.setdefault(name, {})[int(label)] = one.rows
    return gone


def _told(versions: Mapping[str, Sequence[int]]) -> str:
    return ", ".join(f"{len(found)} versions of gold.{view}" for view, found in versions.items())

"""A project for notebooks and scripts: its tables, training sets, features and models.

Four things to know: ``open_project``, and of the project ``table``, ``training_set`` and
``features``. Each gives a Spark DataFrame; ``to_arrow`` brings a small one here. Nothing here
writes. The same definitions, lake and session as in a run; time-outs and errors are those of
``run.workplace``. For whole runs use ``feldspar apply``.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from feldspar.compute.services.batch import SpineColumns
from feldspar.compute.windows.functions import AsOf
from feldspar.errors import UsageError, nearest
from feldspar.graph.graph import Table
from feldspar.graph.view import Service
from feldspar.run.bounded import Limit, bounded_arrow
from feldspar.run.workplace import Workplace, open_workplace
from feldspar.stores.frames import read_frame
from feldspar.stores.tables.lake import LAYERS
from feldspar.times import from_micros, parse_instant
from feldspar.training.sets import build_training_set, spine_columns, with_zone

AT = "at"
Rows = DataFrame | Sequence[Mapping[str, Any]]
Instant = str | datetime


@dataclass(frozen=True)
class Project:
    """An open project; ``close`` ends its Spark session."""

    work: Workplace

    @property
    def spark(self) -> SparkSession:
        """The session."""
        return self.work.tables.spark

    @property
    def clock(self) -> datetime:
        """Now, by the environment's clock."""
        return from_micros(self.work.clock())

    def table(self, name: str) -> DataFrame:
        """The newest version of a table, e.g. ``gold.customer_spend``.

        Raises:
            UsageError: the name has no layer.
            TableNotFoundError: there is no such table.
        """
        layer, _, table = name.partition(".")
        if layer not in LAYERS or not table:
            near = nearest(layer, LAYERS) or LAYERS
            raise UsageError(f"{name!r} is not layer.name; nearest layers: {', '.join(near)}")
        return self.work.tables.read(layer, table)

    def training_set(
        self,
        service: str,
        spine: DataFrame | str,
        *,
        time: str | None = None,
        as_of: AsOf = "known",
    ) -> DataFrame:
        """The spine with the service's features, each row as of its own time.

        Args:
            service: a name in conf/services.
            spine: keys, time and any other columns; all rows and columns are kept. A frame, or
                the name of a table or of a Parquet file.
            time: the spine's time column; default: the event time of the service's event.
            as_of: ``known``: what had arrived by each time; ``event``: what is known today.

        Raises:
            UsageError: there is no such service.
            InputError: the spine lacks a column.
        """
        found, event = self._service(service)
        rows = read_frame(self.work.tables, spine) if isinstance(spine, str) else spine
        columns = spine_columns(rows, found, event, time=time)
        zoned = with_zone(rows, zone=event.source.zone if event is not None else None)
        answers, _ = build_training_set(
            zoned, found, self.work.tables, columns=columns, event=event, as_of=as_of
        )
        return answers.frame()

    def features(
        self, service: str, rows: Rows, at: Instant | Sequence[Instant] | None = None
    ) -> DataFrame:
        """A service's features of some entities at one or more times, one row for each pair.

        No event of its own enters: these are the values a lookup gives, not those of a payment.

        Args:
            service: a name in conf/services.
            rows: the entities' keys; what else a request would bring may stand beside them, and
                is null where it is not given.
            at: aware times, or ISO 8601 texts with a zone; default: the environment's clock.
                They become the column ``at``.

        Raises:
            UsageError: a time names no zone, or there is no such service.
            InputError: a key is missing.
        """
        found, event = self._service(service)
        frame = rows if isinstance(rows, DataFrame) else self.spark.createDataFrame(list(rows))
        times = [(one,) for one in _instants(self.clock if at is None else at)]
        spine = frame.crossJoin(self.spark.createDataFrame(times, f"{AT} timestamp"))
        asked = _with_request(spine, found, event)
        answers, _ = build_training_set(
            asked, found, self.work.tables, columns=SpineColumns(AT, None), event=None
        )
        wanted = dict.fromkeys([*spine.columns, *(one.name for one in found.outputs)])
        return answers.select(tuple(wanted)).frame()

    def to_arrow(
        self,
        df: DataFrame,
        *,
        max_rows: int = Limit.rows,
        max_bytes: int = Limit.bytes,
    ) -> pa.Table:
        """All rows of a frame as an Arrow table on this machine; too large a frame is refused.

        For pandas: ``project.to_arrow(df).to_pandas()``. The frame is computed to be counted, where
        it is no plain table, and once more to be brought here.

        Args:
            df: any Spark frame.
            max_rows: more are refused, before they are computed in full.
            max_bytes: more (of Arrow columns) are refused, before they are brought here.

        Raises:
            InputError: it is larger; says how large, and what to do instead.
        """
        return bounded_arrow(df, Limit(max_rows, max_bytes))

    def models(self) -> list[dict[str, Any]]:
        """Every registered model of this environment with its versions and figures."""
        return self.work.experiments.registry_dump()

    def close(self) -> None:
        """Stops the session."""
        self.spark.stop()

    def _service(self, name: str) -> tuple[Service, Table | None]:
        service = self.work.graph.service(name)
        return service, self.work.graph.event_of(service)


def open_project(conf: str | Path = "conf", env: str = "local") -> Project:
    """Opens a project with a Spark session.

    Args:
        conf: the folder of definitions.
        env: a name in conf/environments.

    Raises:
        DefinitionError: conf/ is wrong.
        UnreachableError: a server does not answer.
    """
    return Project(open_workplace(Path(conf), env, app_name="feldspar notebook", say=_say))


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def _instants(at: Instant | Sequence[Instant]) -> list[datetime]:
    times = [at] if isinstance(at, str | datetime) else list(at)
    return [_instant(one) for one in times]


def _instant(one: Instant) -> datetime:
    text = one if isinstance(one, str) else one.isoformat()
    return parse_instant(text).astimezone(UTC)


def _with_request(spine: DataFrame, service: Service, event: Table | None) -> DataFrame:
    """The columns that a request would bring: the time is ``at``, others are null if not given."""
    when = event.source.event_time if event is not None else None
    missing = {
        name: F.col(AT) if name == when else F.lit(None).cast(kind.spark)
        for name, kind in service.request
        if name not in spine.columns and name not in service.keys
    }
    return spine.withColumns(missing) if missing else spine

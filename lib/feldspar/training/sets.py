"""Training sets: a spine joined point-in-time with a service's features, and its manifest.

The same manifest over the same lake gives the same rows again: gold is read at the versions that
it names. What scikit-learn learns from is chosen in ``training.rows``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import TimestampNTZType

from feldspar.compute.answers import Answers
from feldspar.compute.dedupe import content_hash
from feldspar.compute.local_times import instants
from feldspar.compute.services.batch import SpineColumns, add_features, request_columns
from feldspar.compute.services.joining import Gold
from feldspar.compute.windows.functions import AsOf
from feldspar.errors import InputError, nearest
from feldspar.graph.graph import Table
from feldspar.graph.view import Service
from feldspar.names import BATCH, KNOWN_TIME, POSITION, fingerprint
from feldspar.stores.frames import check_target, read_frame, write_frame
from feldspar.stores.tables.spark import SparkTables
from feldspar.times import utc_now
from feldspar.training.makings import makings
from feldspar.training.manifest import Manifest, code_version, hash_text

_FEWEST_BUCKETS = 2


def training_set(
    service: Service,
    event: Table | None,
    tables: SparkTables,
    *,
    spine: str,
    out: str,
    time: str | None = None,
    as_of: AsOf = "known",
) -> Manifest:
    """Builds and writes a training set for any spine; ``feldspar training-set``.

    Args:
        service: whose features.
        event: the silver table of ``service.event``; None for a service without events.
        tables: the lake.
        spine: ``layer.table`` or a Parquet file or folder.
        out: ``training.<name>``, a file that ends in .parquet, or a new folder.
        time: the spine's time column; default: the event's.
        as_of: which clock decides what was visible.

    Raises:
        InputError: the spine lacks a column, or its times name no zone.
    """
    check_target(tables, out)
    rows = read_frame(tables, spine)
    columns = spine_columns(rows, service, event, time=time)
    zone = event.source.zone if event is not None else None
    zoned = with_zone(rows, zone=zone)
    answers, manifest = build_training_set(
        zoned, service, tables, columns=columns, event=event, as_of=as_of
    )
    write_frame(answers, out, tables=tables, note=manifest.as_json())
    return manifest


def build_training_set(
    spine: DataFrame,
    service: Service,
    tables: SparkTables,
    *,
    columns: SpineColumns,
    event: Table | None = None,
    as_of: AsOf = "known",
) -> tuple[Answers, Manifest]:
    """The spine with the service's features, not yet computed, and what it is made of.

    Columns of the request that features need and the spine lacks are filled from silver by
    event id: those of the event's first version, as a request would have brought them.

    Raises:
        InputError: a column is absent and cannot be filled.
        TableNotFoundError: a view of the service has no gold table yet.
    """
    versions = {f"gold.{view.name}": tables.version("gold", view.name) for view in service.views}
    gold = {view.name: _gold(tables, view.name, versions) for view in service.views}
    missing = [name for name in request_columns(service) if name not in spine.columns]
    whole = spine
    if missing:
        source = _source_of(missing, spine, event, columns=columns)
        versions[f"silver.{source.name}"] = tables.version("silver", source.name)
        silver = tables.read("silver", source.name, version=versions[f"silver.{source.name}"])
        whole = _filled(spine, silver, missing, columns=columns, key=source.spec.key[0])
    answers = add_features(
        whole, service, gold, columns=columns, buckets=_buckets(tables), as_of=as_of
    )
    outputs = {one.name for one in service.outputs}
    rows, content = _identity(spine)
    manifest = Manifest(
        service=service.name,
        definition=fingerprint(service.definition),
        features=makings(service, set(answers.names) - set(spine.columns)),
        keys=service.keys,
        code=code_version(),
        as_of=as_of,
        time=columns.time,
        event_id=columns.event_id,
        spine_rows=rows,
        spine_hash=content,
        tables=versions,
        created=utc_now().isoformat(),
    )
    kept = [name for name in answers.names if name not in missing or name in outputs]
    return answers.select(kept), manifest.whole()


def spine_columns(
    spine: DataFrame, service: Service, event: Table | None, *, time: str | None = None
) -> SpineColumns:
    """Which columns of a spine say when, and which event a row is.

    Raises:
        InputError: the keys or the time are not there.
    """
    if event is None and time is None:
        text = f"service {service.name} has no event: which column of the spine is the time?"
        raise InputError(text, hint=f"--time COLUMN; the spine has {', '.join(spine.columns)}")
    when = time or (event.source.event_time if event is not None else "")
    for name in (*service.keys, when):
        if name not in spine.columns:
            raise _absent(name, spine.columns)
    key = event.spec.key if event is not None else ()
    ident = key[0] if len(key) == 1 and key[0] in spine.columns else None
    return SpineColumns(when, ident)


def with_zone(spine: DataFrame, *, zone: str | None) -> DataFrame:
    """The spine with every time an instant: times that name no zone are in the source's.

    Raises:
        InputError: there are such times and the source names no zone.
    """
    naive = [one.name for one in spine.schema if isinstance(one.dataType, TimestampNTZType)]
    if naive and zone is None:
        text = f"{', '.join(naive)}: times without a zone are refused, never guessed"
        raise InputError(text, hint="write them as instants in UTC, or give the source a zone")
    found = {name: instants(F.col(f"`{name}`"), str(zone)) for name in naive}
    return spine.withColumns(found) if found else spine


def _gold(tables: SparkTables, view: str, versions: Mapping[str, int]) -> Gold:
    version = versions[f"gold.{view}"]
    files = tables.files("gold", view, version=version)
    return Gold(tables.read("gold", view, version=version), files)


def _source_of(
    missing: Sequence[str], spine: DataFrame, event: Table | None, *, columns: SpineColumns
) -> Table:
    if event is None or columns.event_id is None:
        raise _absent(missing[0], spine.columns)
    return event


def _filled(
    spine: DataFrame, silver: DataFrame, missing: Sequence[str], *, columns: SpineColumns, key: str
) -> DataFrame:
    ident = f"`{columns.event_id}`"
    wanted = spine.select(F.col(ident).alias("_wanted")).distinct()
    versions = silver.join(wanted, F.col(f"`{key}`") == F.col("_wanted"), "left_semi")
    values = F.struct(*[F.col(f"`{name}`") for name in missing])
    sequence = F.struct(KNOWN_TIME, BATCH, POSITION)
    first = versions.groupBy(F.col(f"`{key}`").alias("_filled_id")).agg(
        F.min_by(values, sequence).alias("_filled")
    )
    joined = spine.join(first, F.col(ident) == F.col("_filled_id"), "left")
    added = {name: F.col(f"_filled.`{name}`") for name in missing}
    return joined.withColumns(added).drop("_filled", "_filled_id")


def _identity(spine: DataFrame) -> tuple[int, str]:
    """Number of rows, and the sum of their hashes modulo 2^64 as hex digits."""
    hashed = content_hash(spine.columns).cast("decimal(20,0)")
    row = spine.agg(F.count(F.lit(1)), F.sum(hashed)).first()
    rows, total = (int(row[0]), int(row[1] or 0)) if row is not None else (0, 0)
    return rows, hash_text(total)


def _buckets(tables: SparkTables) -> int:
    configured = tables.spark.conf.get("spark.sql.shuffle.partitions") or "0"
    return max(_FEWEST_BUCKETS, int(configured))


def _absent(name: str, found: Sequence[str]) -> InputError:
    near = ", ".join(nearest(name, found)) or ", ".join(found)
    text = f"the spine has no column {name!r}; nearest: {near}"
    return InputError(text, hint="name the columns as the service does; --time names another time")

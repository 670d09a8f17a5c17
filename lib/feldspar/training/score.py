"""Batch scoring with the champion: for the same T the same answers as /score.

Features by ``compute.services``, answers by ``compute.scoring``, as in serving. The model reaches
the tasks by broadcast; no row passes through the driver.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa
from pyspark import Broadcast
from pyspark.sql import DataFrame
from pyspark.sql.pandas.types import to_arrow_schema
from pyspark.sql.types import DataType, DoubleType, LongType, StringType, StructField, StructType

from feldspar.compute.answers import Answers
from feldspar.compute.scoring import AnswerKind, answer_columns, model_input, probabilities
from feldspar.compute.services.batch import SpineColumns
from feldspar.compute.trees import compiled
from feldspar.errors import InputError, StoreError
from feldspar.graph.graph import Model, Table
from feldspar.stores.experiments import Champion, Experiments
from feldspar.stores.frames import check_target, read_frame, write_frame
from feldspar.stores.tables.spark import SparkTables
from feldspar.training.manifest import Manifest
from feldspar.training.sets import build_training_set, spine_columns, with_zone

MODEL_VERSION = "model_version"
_TYPES: dict[str, DataType] = {
    "probability": DoubleType(),
    "confidence": DoubleType(),
    "credit_score": LongType(),
    "risk_level": StringType(),
    MODEL_VERSION: StringType(),
}


@dataclass(frozen=True)
class Scored:
    """What was scored with which model over which tables."""

    model: str
    version: str
    rows: int
    manifest: Manifest


def score(
    model: Model,
    event: Table | None,
    tables: SparkTables,
    *,
    experiments: Experiments,
    spine: str,
    out: str,
    time: str | None = None,
) -> Scored:
    """Reads a spine, scores it and writes the answers; ``feldspar score``.

    Args:
        model: whose champion answers.
        event: the silver table of the service's event; None where it has none.
        tables: the lake.
        experiments: holds the champion.
        spine: ``layer.table`` or a Parquet file or folder.
        out: ``training.<name>``, a file that ends in .parquet, or a new folder.
        time: the spine's time column; default: the event's.

    Raises:
        StoreError: there is no champion yet.
        InputError: the spine lacks a column.
    """
    check_target(tables, out)
    rows = read_frame(tables, spine)
    columns = spine_columns(rows, model.service, event, time=time)
    zoned = with_zone(rows, zone=event.source.zone if event is not None else None)
    answers, scored = score_spine(
        zoned, model, tables, experiments=experiments, columns=columns, event=event
    )
    write_frame(answers, out, tables=tables, note=json.dumps(asdict(scored), sort_keys=True))
    return scored


def score_spine(
    spine: DataFrame,
    model: Model,
    tables: SparkTables,
    *,
    experiments: Experiments,
    columns: SpineColumns,
    event: Table | None = None,
) -> tuple[Answers, Scored]:
    """The spine with the answer's columns and ``model_version``, not yet computed.

    Raises:
        StoreError: there is no champion, or it reads features the service lacks.
        InputError: the spine has a column of an answer's name.
    """
    champion = _champion(model, experiments)
    names = (*_answer_names(model.spec.answer), MODEL_VERSION)
    taken = [name for name in names if name in spine.columns]
    if taken:
        raise InputError(f"the spine already has a column {taken[0]!r}, which is an answer")
    featured, manifest = build_training_set(
        spine, model.service, tables, columns=columns, event=event
    )
    kept = [spine.schema[name] for name in spine.columns]
    added = [StructField(name, _TYPES[name]) for name in names]
    schema = StructType([*kept, *added])
    shared = tables.spark.sparkContext.broadcast(compiled(champion.estimator))
    task = _Answer(shared, model.spec.answer, champion.inputs, champion.version, schema)
    scored = Scored(model.name, champion.version, manifest.spine_rows, manifest)
    return featured.then(task, schema), scored


@dataclass(frozen=True)
class _Answer:
    """The task; a module-level value, so that executors get it from the wheel."""

    estimator: Broadcast[Any]
    kind: AnswerKind
    inputs: tuple[str, ...]
    version: str
    schema: StructType

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        fields = to_arrow_schema(self.schema, timezone="UTC")
        for batch in batches:
            rows = pa.Table.from_batches([batch])
            probability = probabilities(self.estimator.value, model_input(rows, self.inputs))
            answers: dict[str, Any] = dict(answer_columns(self.kind, probability))
            answers[MODEL_VERSION] = [self.version] * len(probability)
            arrays = [
                pa.array(answers[field.name], type=field.type)
                if field.name in answers
                else rows.column(field.name).cast(field.type)
                for field in fields
            ]
            done = pa.Table.from_arrays(arrays, schema=fields)
            yield from done.combine_chunks().to_batches()


def _champion(model: Model, experiments: Experiments) -> Champion:
    champion = experiments.champion(model.name)
    if champion is None:
        text = f"model {model.name} has no champion in namespace {experiments.namespace!r}"
        raise StoreError(text, hint="train one: feldspar apply")
    known = {one.name for one in model.service.outputs}
    lacks = [name for name in champion.inputs if name not in known]
    if lacks:
        text = f"champion {champion.version} of {model.name} reads {lacks[0]!r}"
        hint = f"service {model.service.name} no longer has it: feldspar apply trains a new one"
        raise StoreError(text, hint=hint)
    return champion


def _answer_names(kind: AnswerKind) -> tuple[str, ...]:
    if kind == "probability":
        return ("probability", "confidence")
    return ("credit_score", "risk_level", "confidence", "probability")

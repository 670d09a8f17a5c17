"""Reads messages of a topic into rows of bronze: a row each, whatever the message holds.

A value that is no JSON object, or has a key that cannot be the name of a column, is kept whole in
``_corrupt``: one message must not stop a topic. Bytes that are no text are kept as ``base64:...``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from feldspar.graph.observed import Messages
from feldspar.ingest.columns import FILE, unusable
from feldspar.ingest.frames import distinct_names, split_objects
from feldspar.ingest.probe import Format
from feldspar.ingest.shapes import Shape
from feldspar.names import (
    MESSAGE_KEY,
    OF_MESSAGE,
    OFFSET,
    PARTITION,
    POSITION,
    SHAPE,
    STAMP,
    TOMBSTONE,
)
from feldspar.spec.kafka_options import spark_options
from feldspar.spec.source import KafkaSource

_VALUE = "value"
_OFFSET_BITS = 40
"""A position names a message within a load: its partition, and the last 40 bits of its offset."""


@dataclass(frozen=True)
class Read:
    """Rows, and the columns that bronze has with them."""

    rows: DataFrame
    shape: Shape


def origin(messages: Messages) -> str:
    """Where messages are from, as provenance says it; a partition follows after ``/``."""
    return f"kafka:{messages.topic}#{messages.topic_id}"


def topic_of(file: str) -> tuple[str, str]:
    """Topic and its identity, of provenance.

    >>> topic_of("kafka:orders#r75D3/HfQ/7")
    ('orders', 'r75D3/HfQ')
    """
    topic, _, ident = file.removeprefix("kafka:").rpartition("/")[0].partition("#")
    return topic, ident


def read_messages(
    spark: SparkSession, source: KafkaSource, messages: Messages, *, known: Mapping[str, str]
) -> Read:
    """The messages of these ranges, as committed; aborted ones are none.

    Args:
        spark: the session.
        source: where they are.
        messages: at least one offset.
        known: bronze's columns of values, by name.

    Raises:
        InputError: values have more different keys than a table may have columns.
    """
    raw = _raw(spark, source, messages)
    if source.envelope is not None:
        # the event before it says that the row is gone
        raw = raw.where(F.col(_VALUE).isNotNull())
    keys = raw.select(F.explode(F.json_object_keys(_VALUE)))
    names = _usable(distinct_names(keys), known)
    columns = dict.fromkeys([*known, *names], "string")
    shape = Shape.of(Format.JSON.value, columns)
    rows = split_objects(raw, _VALUE, names).withColumn(SHAPE, F.lit(shape.ident))
    return Read(rows, shape)


def _raw(spark: SparkSession, source: KafkaSource, messages: Messages) -> DataFrame:
    taken = [one for one in messages.ranges if one.upto > one.begin]
    begin = {str(one.partition): one.begin for one in taken}
    upto = {str(one.partition): one.upto for one in taken}
    read = (
        spark.read.format("kafka")
        .options(**spark_options(source))
        .option("assign", json.dumps({source.topic: [one.partition for one in taken]}))
        .option("startingOffsets", json.dumps({source.topic: begin}))
        .option("endingOffsets", json.dumps({source.topic: upto}))
        # ranges are split, so that a topic of few partitions uses all cores
        .option("minPartitions", max(len(taken), spark.sparkContext.defaultParallelism))
        .load()
    )
    stamp = F.when(F.col("timestampType") >= 0, F.col("timestamp"))
    place = F.shiftleft(F.col("partition").cast("bigint"), _OFFSET_BITS)
    return read.select(
        F.concat(F.lit(f"{origin(messages)}/"), F.col("partition").cast("string")).alias(FILE),
        place.bitwiseOR(F.col("offset") % F.lit(1 << _OFFSET_BITS)).alias(POSITION),
        F.col("partition").alias(PARTITION),
        F.col("offset").alias(OFFSET),
        stamp.alias(STAMP),
        _text("key").alias(MESSAGE_KEY),
        F.col(_VALUE).isNull().alias(TOMBSTONE),
        _text(_VALUE).alias(_VALUE),
    )


def _text(name: str) -> Column:
    """Bytes as the text that they are."""
    text = F.col(name).cast("string")
    coded = F.concat(F.lit("base64:"), F.base64(F.col(name)))
    return F.when(F.is_valid_utf8(text), text).otherwise(coded)


def _usable(keys: Iterable[str], known: Mapping[str, str]) -> list[str]:
    """Keys that can be columns; of two spellings the first one stays."""
    spelled = {name.lower(): name for name in known}
    fit = [key for key in keys if not unusable([key]) and key.lower() not in OF_MESSAGE]
    return [key for key in fit if spelled.setdefault(key.lower(), key) == key]

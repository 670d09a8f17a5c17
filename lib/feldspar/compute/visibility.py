"""From when on a row is visible, as a Spark column."""

from __future__ import annotations

from pyspark.sql import Column
from pyspark.sql import functions as F


def visible_at(event_time: Column, known_time: Column, *, serving_delay: int) -> Column:
    """max(event_time, known_time + serving_delay) of timestamps; the delay in microseconds."""
    known = F.timestamp_micros(F.unix_micros(known_time) + F.lit(serving_delay))
    return F.greatest(event_time, known)

"""Local times of a zone as instants, the same in a Spark session of any zone."""

from __future__ import annotations

from pyspark.sql import Column
from pyspark.sql import functions as F


def instants(local: Column, zone: str) -> Column:
    """The instants of wall times in a zone.

    Where clocks are put back, a wall time that comes twice is the first of the two; where they are
    put forward, one that is left out is read as if they had not been yet. It is what Python's
    ``zoneinfo`` does with ``fold=0``.

    Args:
        local: timestamps without a zone, or dates, which stand for their midnight.
        zone: as ``Europe/Berlin``.
    """
    # a plain cast to an instant would go through the session's own zone, and its clock changes
    in_utc = F.concat(local.cast("timestamp_ntz").cast("string"), F.lit("Z")).cast("timestamp")
    return F.to_utc_timestamp(in_utc, zone)

"""One spelling for the place of a data file: as listings have it, never percent-encoded.

Spark's ``_metadata.file_path`` says ``file:///a%20b.csv`` where a listing says ``/a b.csv``.
"""

from __future__ import annotations

from pyspark.sql import Column
from pyspark.sql import functions as F


def plain_path(spark_path: Column) -> Column:
    """A path of Spark's as listings spell it: decoded, and local ones without ``file:``."""
    # the decoder would make a blank of a plus sign, which Spark leaves as it is
    decoded = F.url_decode(F.replace(spark_path, F.lit("+"), F.lit("%2B")))
    whole = F.when(F.contains(spark_path, F.lit("%")), decoded).otherwise(spark_path)
    local = F.concat(F.lit("/"), F.ltrim(F.substring(whole, 6, 1 << 30), F.lit("/")))
    return F.when(F.startswith(spark_path, F.lit("file:")), local).otherwise(whole)


def literal_path(path: str) -> str:
    """A path that Spark's readers take as it stands; they expand ``* ? [ ] { }`` otherwise."""
    return "".join(f"\\{one}" if one in "*?[]{}\\" else one for one in path)

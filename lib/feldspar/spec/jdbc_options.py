"""A JDBC source in the words of each client that reads it: Spark's driver (Java), and psycopg (C).

Pure functions of the source; who connects with them is in ``ingest`` and ``stores``.
"""

from __future__ import annotations

from feldspar.spec.source import JdbcSource

ROWS_A_TRIP = 10_000
"""Rows that a task holds at a time; without a number the driver holds them all."""


def client_address(source: JdbcSource) -> str:
    """The address for libpq, without user and password."""
    return source.url.removeprefix("jdbc:")


def login(source: JdbcSource) -> dict[str, str]:
    """User and password, those that are given, by the names that both clients have for them."""
    named = {"user": source.user, "password": source.password}
    return {key: value for key, value in named.items() if value}


def spark_options(source: JdbcSource) -> dict[str, str]:
    """Options of Spark's reader, but for what is read."""
    return {
        "url": source.url,
        "driver": "org.postgresql.Driver",
        "fetchsize": str(ROWS_A_TRIP),
        **login(source),
    }

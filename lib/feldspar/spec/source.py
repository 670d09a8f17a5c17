"""Where rows come from: files, Kafka, databases, HTTP, the generator, somebody's Delta table."""

import re
from datetime import timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, WithJsonSchema, field_validator, model_validator

from feldspar.names import SERVED_AT, SERVED_INBOX
from feldspar.spec.definition import Definition, Duration
from feldspar.spec.paging import Paging, Since
from feldspar.times import format_duration, parse_duration


class KnownAfterEvent(Definition):
    """History loaded long after it happened: known a fixed time after the event."""

    kind: Literal["event_time"] = "event_time"
    plus: timedelta

    def __str__(self) -> str:
        return f"event_time + {format_duration(self.plus)}"


class KnownByColumn(Definition):
    """The row says itself when it became known; a null passes on to the next rule."""

    kind: Literal["column"] = "column"
    column: str

    def __str__(self) -> str:
        return self.column


class KnownWhenIngested(Definition):
    """A live feed: known when bronze got it."""

    kind: Literal["ingested"] = "ingested"

    def __str__(self) -> str:
        return "ingested"


KnownRule = KnownAfterEvent | KnownByColumn | KnownWhenIngested
_AFTER = re.compile(r"^event_time\s*\+\s*(\S+)$")


def _known_rule(text: Any) -> Any:
    if not isinstance(text, str):
        return text
    if text == "ingested":
        return KnownWhenIngested()
    match = _AFTER.match(text)
    if match:
        return KnownAfterEvent(plus=parse_duration(match.group(1)))
    if not text.isidentifier():
        raise ValueError(
            f"{text!r} is no rule for known_time; write a column, 'ingested' or 'event_time + 5m'"
        )
    return KnownByColumn(column=text)


def _known_rules(value: Any) -> Any:
    rules = value if isinstance(value, list | tuple) else [value]
    return tuple(_known_rule(rule) for rule in rules)


KnownTime = Annotated[
    tuple[KnownRule, ...],
    BeforeValidator(_known_rules),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]


class Clocks(Definition):
    """The two clocks of a source's rows; see the meaning of time in the handbook of windows."""

    event_time: str = Field(description="column that says when it happened")
    known_time: KnownTime = Field(
        description="a column, 'ingested', 'event_time + 5m', or a list: the first that is not null"
    )
    zone: str | None = Field(
        default=None, description="zone of times that name none; without it such rows are refused"
    )


class FilesSource(Clocks):
    """Parquet, CSV or JSON lines in a folder or under an S3 prefix, each file read once."""

    kind: Literal["files"]
    path: str = Field(
        default="", description="file, folder or s3a:// prefix; none where all rows are pushed"
    )
    push: bool = Field(
        default=False,
        # how rows come changes nothing of the table that is made of them
        exclude=True,
        description="true: it also takes rows over HTTP, POST /push/<source>",
    )
    envelope: Literal["debezium"] | None = Field(
        default=None,
        description="debezium: lines are its change events; tables declare the row's columns, and "
        "op, ts_ms and source_<field> of the event",
    )
    description: str = ""

    @model_validator(mode="after")
    def _where_rows_come_from(self) -> Self:
        if not self.path and not self.push:
            raise ValueError("'path' is missing; only a source with 'push: true' needs none")
        if self.envelope and self.push:
            raise ValueError("a source of change events cannot say 'push: true'")
        return self


IN_THE_LAKE = "lake://"
"""Before the path of a source that lies in the lake itself, beside its tables."""


def served_source(service: str) -> FilesSource:
    """The answers of a service, which its serving processes leave in the lake's inbox."""
    return FilesSource(
        kind="files",
        path=f"{IN_THE_LAKE}{SERVED_INBOX}/{service}",
        event_time=SERVED_AT,
        known_time=(KnownWhenIngested(),),
        description=f"answers of {service}",
    )


class DeltaSource(Clocks):
    """A Delta table that somebody else keeps: read only, no bronze copy."""

    kind: Literal["delta"]
    path: str = Field(description="folder or s3a:// prefix of the table")
    read: Literal["versions", "change_feed"] = Field(
        default="versions",
        description="versions: the files that later versions added; change_feed: Delta's own feed",
    )
    description: str = ""


def _number_if_whole(value: Any) -> Any:
    """A variable fills in text: ``${PAYMENTS:-1000}`` means the number all the same."""
    return int(value) if isinstance(value, str) and value.isdecimal() else value


class KafkaSecurity(Definition):
    """How brokers are spoken to; user and password come from variables."""

    protocol: Literal["SSL", "SASL_SSL", "SASL_PLAINTEXT"]
    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = None
    user: str | None = Field(default=None, repr=False)
    password: str | None = Field(default=None, repr=False, description="${NAME}, never itself")
    ca: str | None = Field(
        default=None, description="PEM file of authorities, on every machine; none: the system's"
    )

    @model_validator(mode="after")
    def _who(self) -> Self:
        given = (self.mechanism, self.user, self.password)
        if self.protocol == "SSL" and any(given):
            raise ValueError("protocol SSL takes no mechanism, user or password; SASL_SSL does")
        if self.protocol != "SSL" and not all(given):
            raise ValueError(f"protocol {self.protocol} takes mechanism, user and password")
        return self


class KafkaSource(Clocks):
    """A topic of Kafka, each message read once; values are JSON objects.

    Where it is, how much is read at a time and who reads is no part of what its tables hold:
    ``exclude`` keeps that, and the password, out of stored definitions.
    """

    kind: Literal["kafka"]
    servers: str = Field(
        exclude=True,
        pattern=r"^[^\s,:/]+:\d+(,[^\s,:/]+:\d+)*$",
        description="brokers to ask first: host:port, or several with commas",
    )
    topic: str = Field(exclude=True, pattern=r"^[a-zA-Z0-9._-]{1,249}$")
    format: Literal["json"] = "json"
    envelope: Literal["debezium"] | None = Field(
        default=None,
        description="debezium: values are its change events; tables declare the row's columns, and "
        "op, ts_ms and source_<field> of the event",
    )
    start: Literal["earliest", "latest"] = Field(
        default="earliest",
        exclude=True,
        description="where the first load begins; what is later is read whatever it says",
    )
    most: Annotated[int, BeforeValidator(_number_if_whole)] = Field(
        default=1_000_000, ge=1, exclude=True, description="messages that one load takes at most"
    )
    security: KafkaSecurity | None = Field(default=None, exclude=True)
    description: str = ""


_POSTGRESQL = re.compile(r"^jdbc:postgresql://[^\s/@?]+/[^\s/@?]+(\?(?P<options>[^\s@]*))?$")
_URL_OPTIONS = ("sslmode", "sslrootcert")
"""What the drivers of Java and of Python call alike."""
Whole = Annotated[int, BeforeValidator(_number_if_whole)]


class JdbcSource(Clocks):
    """A table or a query of a PostgreSQL database.

    With an ``incremental_column`` each load takes the rows that are new or changed by it; without
    one each load is a snapshot of all rows. ``exclude`` as in ``KafkaSource``.
    """

    kind: Literal["jdbc"]
    url: str = Field(exclude=True, description="jdbc:postgresql://host:port/database")
    table: str | None = Field(
        default=None, exclude=True, description="table or view, as schema.table; or say 'query'"
    )
    query: str | None = Field(
        default=None, exclude=True, description="SELECT of the rows; or say 'table'"
    )
    user: str | None = Field(default=None, exclude=True, repr=False)
    password: str | None = Field(
        default=None, exclude=True, repr=False, description="${NAME}, never itself"
    )
    incremental_column: str | None = Field(
        default=None,
        exclude=True,
        pattern=r"^[^\s#/]+$",
        description="whole number, date or timestamp that grows with each new or changed row; "
        "none: each load is a snapshot of all rows",
    )
    overlap: Annotated[int | Duration, BeforeValidator(_number_if_whole)] | None = Field(
        default=None,
        exclude=True,
        description="how far below the newest value rows may still be committed: 10m of a time, "
        "1000 of a number; each load looks there again",
    )
    most: Whole = Field(
        default=1_000_000,
        ge=1,
        exclude=True,
        description="new rows that one load takes at most; rows of one value stay together",
    )
    every: Duration | None = Field(
        default=None, exclude=True, description="of snapshots: how often at most; default 1d"
    )
    partitions: Whole = Field(
        default=1, ge=1, le=64, exclude=True, description="connections that read side by side"
    )
    description: str = ""

    @field_validator("url")
    @classmethod
    def _of_postgresql(cls, url: str) -> str:
        found = _POSTGRESQL.match(url)
        if found is None:
            text = "a database is jdbc:postgresql://host:port/database; others are not read yet"
            raise ValueError(text)
        given = [one.partition("=")[0] for one in (found["options"] or "").split("&") if one]
        if not set(given) <= set(_URL_OPTIONS):
            raise ValueError(f"it takes {' and '.join(_URL_OPTIONS)} after '?', nothing else")
        return url

    @model_validator(mode="after")
    def _what_is_read(self) -> Self:
        if (self.table is None) == (self.query is None):
            raise ValueError("say one of 'table' and 'query'")
        if self.incremental_column is None and {"most", "overlap"} & self.model_fields_set:
            raise ValueError("a snapshot is whole: 'most' and 'overlap' need 'incremental_column'")
        if self.incremental_column is not None and self.every is not None:
            raise ValueError("'every' is of snapshots; 'incremental_column' reads what is new")
        return self


class HttpSource(Clocks):
    """JSON objects that a server gives page by page; ``exclude`` as in ``KafkaSource``."""

    kind: Literal["http"]
    url: str = Field(
        exclude=True,
        pattern=r"^https?://[^\s/@?#]+(/[^\s@?#]*)?$",
        description="of the list, without what stands after '?': that is 'parameters'",
    )
    items: str = Field(
        default="", exclude=True, description="path of the list in an answer; none: it is the list"
    )
    parameters: dict[str, str] = Field(default_factory=dict, exclude=True)
    paging: Paging | None = Field(
        default=None, exclude=True, description="none: one answer has all items"
    )
    since: Since | None = Field(default=None, exclude=True)
    token: str | None = Field(
        default=None,
        exclude=True,
        repr=False,
        description="${NAME}, never itself: sent as Authorization: Bearer, or as 'header' says",
    )
    header: str | None = Field(
        default=None,
        exclude=True,
        pattern=r"^[A-Za-z0-9-]+$",
        description="that takes the token as it is, such as X-Api-Key",
    )
    every: Duration = Field(
        default=timedelta(minutes=1), exclude=True, description="how often it is asked at most"
    )
    rate: Annotated[float, BeforeValidator(_number_if_whole)] = Field(
        default=10, gt=0, exclude=True, description="requests a second at most"
    )
    most: Whole = Field(
        default=1_000, ge=1, exclude=True, description="pages that one load asks for at most"
    )
    description: str = ""

    @model_validator(mode="after")
    def _who_asks(self) -> Self:
        if self.header and not self.token:
            raise ValueError("'header' takes a 'token'")
        return self


Option = Annotated[int | float | str, BeforeValidator(_number_if_whole)]


class GeneratorSource(Definition):
    """Writes files of the example domain, for the files sources below its folder to read."""

    kind: Literal["generator"]
    hook: str = Field(pattern=r"^[\w.]+:\w+$", description="module:function that writes the files")
    folder: str
    unless: str = Field(
        default="", description="when this is not empty (own input is given) nothing is generated"
    )
    options: dict[str, Option] = Field(default_factory=dict)
    description: str = ""


TableSource = FilesSource | KafkaSource | JdbcSource | HttpSource | DeltaSource
"""Sources that tables are made from."""
AnySource = TableSource | GeneratorSource
SourceSpec = Annotated[AnySource, Field(discriminator="kind")]

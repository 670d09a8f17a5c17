"""How things are called in frames, lakes, Redis and registries; the same name everywhere."""

from __future__ import annotations

import hashlib
import re
from datetime import timedelta

from feldspar.errors import UsageError
from feldspar.times import format_duration

EVENT_ID = "_event_id"
EVENT_TIME = "_event_time"
KNOWN_TIME = "_known_time"
BATCH = "_batch"
POSITION = "_position"
BUCKET = "_bucket"
RETRACTED = "_retracted"
"""Of an event: the version says that it is not (or no longer) this entity's."""
ROW_HASH = "_row_hash"
REASONS = "_reasons"
"""Of a row that was judged: why it is refused, as a list; empty where it is valid."""
SHAPE = "_shape"
"""Of a row of bronze: which columns its file had, as a number; ``ops.schemas`` lists them."""
RESCUED = "_rescued"
"""Of a row of silver: what came in columns that its table does not declare, as JSON text."""
PARTITION, OFFSET = "kafka_partition", "kafka_offset"
STAMP, MESSAGE_KEY, TOMBSTONE = "kafka_timestamp", "kafka_key", "kafka_tombstone"
OF_MESSAGE = (PARTITION, OFFSET, STAMP, MESSAGE_KEY, TOMBSTONE)
"""Columns that rows of a Kafka source have beside those of their values."""
SNAPSHOT_AT = "jdbc_snapshot_at"
"""Of a row of a JDBC source: the moment whose state of the database it is of."""
GONE = "_gone"
"""Of a row on its way into a table of history: its key, or its interval, is no longer there."""
VALID_FROM, VALID_TO = "valid_from", "valid_to"
PUSHED, PUSHED_AT = "_pushed", "_pushed_at"
"""Of a row of bronze that came over HTTP: its values as a JSON object of texts, and since when it
is known. Its other columns are null, so pushed rows stand beside files of any format."""
REQUEST = "request"
SERVED_AT = "_served_at"
"""Of a logged answer: when it was given, by the wall clock."""
SERVED_INBOX = "inbox/served"
"""The folder beside a lake's tables in which each service's answers wait for bronze."""
GOLD_LAYOUT = "sorted runs in buckets, slices of events, departures, events of no entity"
"""How gold tables lie; one that lies otherwise is rebuilt."""
GENERATED = "generated.json"
"""A generator folder's finishing mark: the canonical options its files were made with."""

_SET = re.compile(r"^training\.(?P<table>\w+)(?:@(?P<version>\d+))?$")


def feature_column(view: str, feature: str) -> str:
    """The column of a feature in frames and files.

    >>> feature_column("customer_spend", "avg_amount_7d")
    'customer_spend__avg_amount_7d'
    """
    return f"{view}__{feature}"


def input_column(reference: str) -> str:
    """The column that ``view.feature`` or ``request.column`` has in frames.

    >>> input_column("request.amount"), input_column("customer_spend.count_7d")
    ('amount', 'customer_spend__count_7d')
    """
    view, _, feature = reference.partition(".")
    return feature if view == REQUEST else feature_column(view, feature)


def windowed(feature: str, window: timedelta) -> str:
    """The name of a feature over one window.

    >>> windowed("avg_amount", timedelta(days=7))
    'avg_amount_7d'
    """
    return f"{feature}_{format_duration(window)}"


def fingerprint(text: str) -> str:
    """Sixteen hex digits that stand for a text (a definition, an expression)."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


EVENTS_PACKING = "events 3"
"""How values of windowed views are packed online; another way of packing gets another name."""


def value_fingerprint(definition: str) -> str:
    """What an online cursor calls a view's definition: it differs where values do."""
    return fingerprint(f"{EVENTS_PACKING}:{definition}")


def online_name(view: str, definition: str) -> str:
    """What a view is called in Redis: values of two definitions lie side by side.

    >>> online_name("customer_spend", "{}")
    'customer_spend@af1ee70d'
    """
    return f"{view}@{value_fingerprint(definition)[:8]}"


def served_table(service: str) -> str:
    """The source, and the bronze table, of a service's answers.

    >>> served_table("fraud")
    'served_fraud'
    """
    return f"served_{service}"


def registered_model(namespace: str, model: str) -> str:
    """The model's name in the registry: environments never share one."""
    return f"{namespace}.{model}"


def set_name(text: str) -> tuple[str, int | None]:
    """Table and version that the name of a training set says; None: the newest.

    >>> set_name("training.payments@3")
    ('payments', 3)

    Raises:
        UsageError: it says neither.
    """
    found = _SET.match(text)
    if found is None:
        raise UsageError(
            f"{text!r} names no training set of the lake",
            hint="write training.NAME, or training.NAME@VERSION; see: feldspar show tables",
        )
    version = found["version"]
    return found["table"], None if version is None else int(version)


def cursor(stage: str, name: str, generation: int = 0) -> str:
    """The name under which a step's commits are counted in a table's log.

    A rebuild starts a new generation, so that Delta never takes it for a repeat.

    >>> cursor("refine", "transactions", 1)
    'refine:transactions#1'
    """
    return f"{stage}:{name}#{generation}"

"""Sixty ways in which a record can be wrong, a thousand of each: each is kept, with its reason.

Rows in = valid + quarantined + copies, and what is in quarantine has the raw record. The classes
are lines of CSV, lines of JSON and change events, each kind a source of its own.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from feldspar.names import REASONS
from feldspar.refine.rows import RAW
from feldspar.spec.environment import Environment
from support.pipeline import Pipeline, open_pipeline

EACH = 1_000
AT = "2018-04-01T10:00:00Z"
SOURCE = """\
kind: files
path: data/{name}
event_time: at
known_time: [told, event_time + 0s]
"""
TABLE = """\
from: {name}
key: [id, part]
columns:
  id: bigint
  part: string
  at: timestamp
  told: {{type: timestamp, optional: true}}
  number: int
  amount: double
  word: string
  truth: boolean
  day: date
checks:
  number: {{between: [-100, 100]}}
  amount: not_null
  word: [{{matches: "[a-z]+"}}, {{in: [good, fine, bad]}}]
rules:
  debts_are_bad: amount >= 0 or word = 'bad'
max_future: 1h
"""
COLUMNS = ("id", "part", "at", "told", "number", "amount", "word", "truth", "day")
GOOD: Mapping[str, str] = {
    "part": "p",
    "at": AT,
    "told": "",
    "number": "1",
    "amount": "2.5",
    "word": "good",
    "truth": "true",
    "day": "2018-04-01",
}


@dataclass(frozen=True)
class Class:
    """Records that are wrong in one way; ``write`` makes the line with an identity."""

    name: str
    write: Callable[[int], str]
    reasons: tuple[str, ...]


def flat(name: str, reasons: str, **values: str) -> Class:
    """A line of CSV with some other values."""

    def write(ident: int) -> str:
        row = {"id": str(ident), **GOOD, **values}
        return ",".join(row[column] for column in COLUMNS)

    return Class(name, write, tuple(reasons.split()))


FLAT = (
    flat("no identity", "id:not_null", id=""),
    flat("identity of blanks", "id:not_null", id="  "),
    flat("identity is a word", "id:not_a_bigint", id="seven"),
    flat("identity with a point", "id:not_a_bigint", id="1.5"),
    flat("identity in scientific form", "id:not_a_bigint", id="1e3"),
    flat("identity in hexadecimal", "id:not_a_bigint", id="0x1F"),
    flat("identity above 64 bits", "id:not_a_bigint", id="9223372036854775808"),
    flat("no second key", "part:not_null", part=""),
    flat("no time", "at:not_null", at=""),
    flat("a word for a time", "at:not_a_timestamp_with_zone", at="yesterday"),
    flat("now", "at:not_a_timestamp_with_zone", at="now"),
    flat("a time without its day", "at:not_a_timestamp_with_zone", at="10:00:00Z"),
    flat("a time without a zone", "at:not_a_timestamp_with_zone", at="2018-04-01T10:00:00"),
    flat("a day for a time", "at:not_a_timestamp_with_zone", at="2018-04-01"),
    flat("month 13", "at:not_a_timestamp_with_zone", at="2018-13-01T10:00:00Z"),
    flat("30 February", "at:not_a_timestamp_with_zone", at="2018-02-30T10:00:00Z"),
    flat("hour 25", "at:not_a_timestamp_with_zone", at="2018-04-01T25:00:00Z"),
    flat("a zone that is none", "at:not_a_timestamp_with_zone", at="2018-04-01T10:00:00Nowhere"),
    flat("an American day", "at:not_a_timestamp_with_zone", at="04/01/2018 10:00:00Z"),
    flat("milliseconds for a time", "at:not_a_timestamp_with_zone", at="1522576800000"),
    flat("far in the future", "event_time:in_the_future", at="2030-01-01T00:00:00Z", told=AT),
    flat(
        "an hour and a second early", "event_time:in_the_future", at="2018-04-01T11:00:01Z", told=AT
    ),
    flat("told at no time", "told:not_a_timestamp_with_zone", told="soon"),
    flat("number with a point", "number:not_a_int", number="1.5"),
    flat("number above 32 bits", "number:not_a_int", number="2147483648"),
    flat("number with a unit", "number:not_a_int", number="1kg"),
    flat("number in other digits", "number:not_a_int", number="\u0661"),
    flat("number below its bound", "number:between", number="-101"),
    flat("number above its bound", "number:between", number="101"),
    flat("no amount", "amount:not_null", amount=""),
    flat("amount NaN", "amount:not_a_finite_number", amount="NaN"),
    flat("amount infinite", "amount:not_a_finite_number", amount="Infinity"),
    flat("amount below minus infinity", "amount:not_a_finite_number", amount="-1e999"),
    flat("amount with a currency", "amount:not_a_finite_number", amount="$2.50"),
    flat("amount with Java's suffix", "amount:not_a_finite_number", amount="2.5d"),
    flat("amount with thousands", "amount:not_a_finite_number", amount='"1,000.5"'),
    flat("amount null in words", "amount:not_a_finite_number", amount="NULL"),
    flat("a rule is broken", "rule:debts_are_bad", amount="-1"),
    flat("word that is not listed", "word:in", word="so"),
    flat("word in upper case", "word:matches word:in", word="GOOD"),
    flat("word with a line's end", "word:matches word:in", word='"good\nfine"'),
    flat("word with a zero byte", "word:matches word:in", word="go\u0000od"),
    flat("word in another alphabet", "word:matches word:in", word="g\u043e\u043ed"),
    flat("truth maybe", "truth:not_a_boolean", truth="maybe"),
    flat("truth 2", "truth:not_a_boolean", truth="2"),
    flat("day with a time", "day:not_a_date", day="2018-04-01T10:00:00"),
    flat("day 31 June", "day:not_a_date", day="2018-06-31"),
    flat("day today", "day:not_a_date", day="today"),
    flat(
        "everything is wrong",
        "at:not_a_timestamp_with_zone number:not_a_int "
        "amount:not_a_finite_number truth:not_a_boolean day:not_a_date word:matches word:in",
        at="x",
        number="x",
        amount="x",
        truth="x",
        day="x",
        word="X",
    ),
    Class("too few values", lambda ident: f"{ident},p,{AT}", ("line:not_parsed",)),
    Class("one word", lambda ident: f"word{ident}", ("line:not_parsed",)),
    Class(
        "too many values",
        lambda ident: FLAT[0].write(ident).replace(",", f"{ident},", 1) + ",more,and more",
        ("line:not_parsed",),
    ),
)


def given(name: str, reasons: str, *, without: str = "", **values: Any) -> Class:
    """A line of JSON with some other values, or without some."""

    def write(ident: int) -> str:
        row = {"id": ident, **GOOD, **values}
        del row["told"]
        return json.dumps({key: one for key, one in row.items() if key not in without.split()})

    return Class(name, write, tuple(reasons.split()))


LINES = (
    given("an unknown key", "colour:unknown_column", colour="red"),
    given("an object for a number", "amount:not_a_finite_number", amount={"value": 1}),
    given("a list for a word", "word:matches word:in", word=["good"]),
    given("a truth for a time", "at:not_a_timestamp_with_zone", at=True),
    given("a number for a day", "day:not_a_date", day=17622),
    given("nothing but a key", "amount:not_null at:not_null", without="at amount"),
    given("a null identity", "id:not_null", id=None),
    Class("cut off", lambda ident: f'{{"id": {ident}, "part": "p', ("line:not_parsed",)),
    Class("no quotes", lambda ident: f"{{id: {ident}, part: p}}", ("line:not_parsed",)),
    Class("bare text", lambda ident: f"row {ident}", ("line:not_parsed",)),
    Class("a list", lambda ident: f"[{ident}, 1, 2]", ("line:not_parsed",)),
    Class("two objects", lambda ident: f'{{"id": {ident}}} {{"id": -1}}', ("line:not_parsed",)),
    Class("text behind", lambda ident: f'{{"id": {ident}}} and more', ("line:not_parsed",)),
    Class(
        "half a character",
        lambda ident: f'{{"id": {ident}, "word": "\\ud800"}}',
        ("line:not_parsed",),
    ),
)


def event(name: str, reasons: str, *, row: Mapping[str, Any] | None, **facts: Any) -> Class:
    """A change event about a row, with its identity unless the row says otherwise."""

    def write(ident: int) -> str:
        about = None if row is None else {"id": ident, **row}
        side = "before" if facts.get("op") == "d" else "after"
        return json.dumps({"ts_ms": 1522576800000, "op": "c", side: about, **facts})

    return Class(name, write, tuple(reasons.split()))


BARE = {"amount": 2.5, "word": "good"}
EVENTS = (
    event("no row", "id:not_null", row=None),
    event("a row without its key", "id:not_null", row={**BARE, "id": None}),
    event("a delete without its row", "id:not_null", row=None, op="d"),
    event("a delete whose key is a word", "id:not_a_bigint", row={"id": "seven"}, op="d"),
    event("no time", "ts_ms:not_null", row=BARE, ts_ms=None),
    event("a word for a time", "ts_ms:not_null", row=BARE, ts_ms="now"),
    event("no operation", "op:not_null", row=BARE, op=None),
    event("an operation that is none", "op:in", row=BARE, op="x"),
    event("a value that does not fit", "amount:not_a_finite_number", row={**BARE, "amount": "x"}),
    event("a column that is not declared", "after:unknown_column", row={**BARE, "colour": "red"}),
)
CHANGES = """\
kind: files
envelope: debezium
path: data/changes
event_time: ts_ms
known_time: ingested
"""
CHANGED = """\
from: changes
key: id
columns:
  id: bigint
  op: string
  ts_ms: timestamp
  amount: double
  word: string
checks:
  op: [not_null, {in: [c, u, d, r]}]
history: {kind: scd1, sequence_by: ts_ms, delete_when: "op = 'd'"}
"""
FEEDS: Mapping[str, tuple[Class, ...]] = {"flat": FLAT, "lines": LINES, "changes": EVENTS}
FILES = {
    **{f"sources/{name}.yaml": SOURCE.format(name=name) for name in ("flat", "lines")},
    **{f"tables/{name}.yaml": TABLE.format(name=name) for name in ("flat", "lines")},
    "sources/changes.yaml": CHANGES,
    "tables/changes.yaml": CHANGED,
}


def opened(spark: SparkSession, disk: Environment, folder: Path) -> Pipeline:
    pipeline = open_pipeline(spark, disk, folder, FILES)
    for name in FEEDS:
        (folder / "data" / name).mkdir()
    return pipeline


@pytest.fixture(scope="module")
def pipeline(
    spark: SparkSession, disk: Environment, tmp_path_factory: pytest.TempPathFactory
) -> Pipeline:
    """A lake after a load of all classes, mixed, and of as many good records."""
    pipeline = opened(spark, disk, tmp_path_factory.mktemp("malformed"))
    good = {"flat": flat("good", ""), "lines": given("good", "")}
    good["changes"] = event("good", "", row=BARE)
    for name, classes in FEEDS.items():
        written = [*classes, good[name]]
        texts = [
            one.write(place * EACH + number)
            for number in range(EACH)
            for place, one in enumerate(written, start=1)
        ]
        header = f"{','.join(COLUMNS)}\n" if name == "flat" else ""
        path = pipeline.environment.folder / "data" / name / f"all.{ENDINGS[name]}"
        path.write_text(header + "\n".join(texts) + "\n", encoding="utf-8")
    pipeline.run("ingest", "refine")
    return pipeline


ENDINGS = {"flat": "csv", "lines": "jsonl", "changes": "jsonl"}


@pytest.mark.parametrize("feed", FEEDS)
def test_every_record_is_refused_for_its_reasons(pipeline: Pipeline, feed: str) -> None:
    expected = Counter[tuple[str, ...]]()
    for one in FEEDS[feed]:
        expected[tuple(sorted(one.reasons))] += EACH

    rows = pipeline.rows("quarantine", feed, REASONS)

    assert Counter(tuple(sorted(reasons)) for (reasons,) in rows) == expected


@pytest.mark.parametrize("feed", FEEDS)
def test_good_records_are_all_accepted(pipeline: Pipeline, feed: str) -> None:
    assert len(pipeline.rows("silver", feed, "id")) == EACH


@pytest.mark.parametrize("feed", FEEDS)
def test_what_came_in_is_accepted_or_in_quarantine(pipeline: Pipeline, feed: str) -> None:
    [row] = [
        row
        for row in pipeline.rows("ops", "ledger", "table", "rows_in", "valid", "quarantined")
        if row[0] == feed
    ]

    classes = len(FEEDS[feed])
    assert row[1:] == ((classes + 1) * EACH, EACH, classes * EACH)


@pytest.mark.parametrize("feed", FEEDS)
def test_no_raw_record_is_without_what_came(pipeline: Pipeline, feed: str) -> None:
    rows = pipeline.rows("quarantine", feed, RAW)

    assert all(raw for (raw,) in rows)


def test_there_are_sixty_classes_and_more() -> None:
    names = [one.name for classes in FEEDS.values() for one in classes]

    assert len(names) >= 60


def test_an_open_quote_takes_the_rest_of_its_file_and_quarantine_has_it_all(
    spark: SparkSession, disk: Environment, tmp_path: Path
) -> None:
    pipeline = opened(spark, disk, tmp_path)
    rows = [flat("good", "").write(number) for number in range(50)]
    broken = rows[10].replace("good", '"good')
    for name, texts in (("a", rows), ("b", [*rows[:10], broken, *rows[11:]])):
        path = pipeline.environment.folder / "data" / "flat" / f"{name}.csv"
        path.write_text("\n".join([",".join(COLUMNS), *texts, ""]), encoding="utf-8")

    pipeline.run("ingest", "refine")

    [(raw,)] = pipeline.rows("quarantine", "flat", RAW)
    assert all(text.partition(",")[2] in raw for text in rows[11:])

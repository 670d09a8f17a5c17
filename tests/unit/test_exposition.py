"""Text for Prometheus: read back by its own parser, with names by its conventions."""

from __future__ import annotations

import re
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from feldspar.monitor.exposition import exposition, write_exposition
from feldspar.monitor.standing import Freshness, Lag, Line, Standing
from feldspar.stores.measured import Refusals
from feldspar.stores.tables.steps import StepRow

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
ODD = 'a "name"\\with\nall that has to be escaped'
STEP = StepRow(
    3, 7, "refine", "silver.payments", NOW - HOUR, 4.5, 100, 97, 3, 12, outcome="failed", error=ODD
)
FOUND = Standing(
    namespace="tests",
    at=NOW,
    clock=NOW - HOUR,
    lines=(
        Line("bronze.payments", lag=Lag("source payments", of_files=True, files=2, bytes=10)),
        Line(
            "silver.payments",
            version=12,
            rows=1_000,
            bytes=2_000,
            files=3,
            freshness=Freshness(NOW - 3 * HOUR, 2 * HOUR, HOUR),
            lag=Lag("bronze.payments", versions=2, rows=None),
            refused=Refusals(1_003, 3, 100, 3),
            last=STEP,
        ),
        Line(f"online {ODD}", version=11, lag=Lag("gold.x", versions=1, rows=40)),
    ),
    steps=(STEP,),
    online_bytes=4_096,
    troubles=(),
)


def samples(text: bytes) -> dict[tuple[str, ...], float]:
    """By name and values of labels, in the order of the labels' names, but for the namespace."""
    return {
        (sample.name, *(sample.labels[one] for one in sorted(sample.labels) if one != "namespace")):
        sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }  # fmt: skip


@pytest.mark.parametrize(
    ("sample", "value"),
    [
        (("feldspar_table_rows", "silver.payments"), 1_000),
        (("feldspar_table_bytes", "silver.payments"), 2_000),
        (("feldspar_table_files", "silver.payments"), 3),
        (("feldspar_table_version", f"online {ODD}"), 11),
        (("feldspar_newest_event_timestamp_seconds", "silver.payments"), 1793523600),
        (("feldspar_freshness_seconds", "silver.payments"), 7_200),
        (("feldspar_freshness_target_seconds", "silver.payments"), 3_600),
        (("feldspar_freshness_late", "silver.payments"), 1),
        (("feldspar_lag_rows", "gold.x", f"online {ODD}"), 40),
        (("feldspar_lag_versions", "bronze.payments", "silver.payments"), 2),
        (("feldspar_waiting_files", "source payments", "bronze.payments"), 2),
        (("feldspar_waiting_bytes", "source payments", "bronze.payments"), 10),
        (("feldspar_rows_in_total", "silver.payments"), 1_003),
        (("feldspar_rows_refused_total", "silver.payments"), 3),
        (("feldspar_step_seconds", "silver.payments", "refine"), 4.5),
        (("feldspar_step_rows_in", "silver.payments", "refine"), 100),
        (("feldspar_step_rows_out", "silver.payments", "refine"), 97),
        (("feldspar_step_rows_refused", "silver.payments", "refine"), 3),
        (("feldspar_step_failed", "silver.payments", "refine"), 1),
        (("feldspar_online_memory_bytes",), 4_096),
        (("feldspar_clock_timestamp_seconds", "environment"), 1793530800),
        (("feldspar_server_up", "redis"), 0),
    ],
)
def test_a_figure_is_read_back(sample: tuple[str, ...], value: float) -> None:
    assert samples(exposition(FOUND, servers={"redis": False}))[sample] == value


@pytest.mark.parametrize(
    "sample",
    [
        ("feldspar_table_rows", "bronze.payments"),
        ("feldspar_lag_rows", "bronze.payments", "silver.payments"),
        ("feldspar_freshness_seconds", f"online {ODD}"),
        ("feldspar_freshness_late", f"online {ODD}"),
    ],
)
def test_what_is_not_known_has_no_sample(sample: tuple[str, ...]) -> None:
    assert sample not in samples(exposition(FOUND))


def test_every_metric_says_what_it_is_and_of_which_namespace() -> None:
    families = list(text_string_to_metric_families(exposition(FOUND).decode()))
    lacking = [
        one.name
        for one in families
        if not one.documentation
        or one.type not in ("gauge", "counter")
        or any(sample.labels.get("namespace") != "tests" for sample in one.samples)
    ]

    assert lacking == []


def test_names_follow_the_conventions() -> None:
    names = {name for name, *_ in samples(exposition(FOUND, servers={"s3": True}))}

    assert [one for one in names if not re.fullmatch(r"feldspar_[a-z]+(_[a-z]+)*", one)] == []


def test_a_project_without_anything_has_its_clock_alone() -> None:
    empty = Standing("tests", NOW, None, (), (), None, ())

    assert list(samples(exposition(empty))) == [("feldspar_clock_timestamp_seconds", "wall")]


def test_a_reader_never_sees_a_part_of_the_file(tmp_path: Path) -> None:
    path, texts = tmp_path / "feldspar.prom", (b"a" * 300_000, b"b" * 200_000)
    write_exposition(path, texts[0])
    writer = threading.Thread(
        target=lambda: [write_exposition(path, texts[number % 2]) for number in range(200)]
    )

    writer.start()
    seen = set()
    while writer.is_alive():
        seen.add(path.read_bytes())

    assert (seen <= set(texts), [one.name for one in tmp_path.iterdir()]) == (True, [path.name])

"""The report of a run: page, summary and record, from plain values."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path

import pytest
from rich.console import Console

from feldspar.report.page import latest_report, render, write_report
from feldspar.report.record import (
    AsideRecord,
    BrokenExpectation,
    DailyVolume,
    Day,
    LearnerScore,
    Outcome,
    Place,
    Reason,
    RunRecord,
    StepRecord,
    TrainingSummary,
    as_json,
)
from feldspar.report.summary import WIDTH, print_summary

IDLE = RunRecord(
    started=datetime(2018, 10, 1, 12, tzinfo=UTC),
    seconds=9.8,
    environment="local",
    namespace="local_payments",
    clock=datetime(2018, 9, 30, 23, 59, 57, tzinfo=UTC),
    clock_rule="data",
    steps=(
        StepRecord("refine", "silver.transactions", Outcome.NOTHING, note="up to version 3"),
        StepRecord("train", "model payment_fraud", Outcome.NOT_DUE, note="due from 2018-10-07"),
    ),
)
TRAINING = TrainingSummary(
    model="payment_fraud",
    chosen="forest",
    optimised="average_precision",
    learners=(LearnerScore("forest", 0.63, 9), LearnerScore("logistic", 0.601, 4)),
    metrics={
        "auc": 0.871,
        "average_precision": 0.641,
        "brier": 0.0041,
        "prevalence": 0.0084,
        "positives": 7.0,
    },
    promoted=True,
    decision="average_precision 0.6410 beats a constant answer (0.0084)",
    version="4",
    run_id="5f2c",
    precision_recall=((0.0, 1.0), (1.0, 0.0084)),
    calibration=((0.1, 0.08, 10.0), (0.7, 0.75, 10.0)),
    importance=(("terminal_risk__risk_30d", 0.3), ("amount", 0.1)),
)
FULL = replace(
    IDLE,
    steps=(
        StepRecord(
            "ingest", "bronze.payments", Outcome.DONE, 1_005_123, 1_005_123, 14.12, "27 files"
        ),
        StepRecord("refine", "silver.transactions", Outcome.DONE, 1_005_123, 998_000, 31.04),
        StepRecord("quality", "expectations of silver.transactions", Outcome.DONE, seconds=5.0),
        StepRecord("online", "online customer_spend", Outcome.FAILED, seconds=0.4),
    ),
    failure="Redis does not answer at redis://127.0.0.1:1\n  make up",
    reasons=(
        Reason("silver.transactions", "amount: not a double", 310),
        Reason("silver.transactions", "customer_id: not_null", 12),
    ),
    set_aside=(AsideRecord("payments", "s3://in/empty.csv", "the file is empty (0 bytes)"),),
    broken_expectations=(BrokenExpectation("gold.terminal_risk", "unique", "_event_id", "3 rows"),),
    trainings=(TRAINING,),
    volumes=(
        DailyVolume(
            "silver.transactions",
            "is_fraud",
            tuple(Day(date(2018, 4, 1) + timedelta(day), 100 + day, 0.01) for day in range(9)),
        ),
    ),
    places=(Place("MLflow", "http://127.0.0.1:5000"),),
)


class _Tags(HTMLParser):
    """Collects tags and what they point to; an unclosed or unknown structure is not its matter."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.targets: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.targets += [value or "" for name, value in attrs if name in ("src", "href")]


def parsed(record: RunRecord) -> _Tags:
    tags = _Tags()
    tags.feed(render(record))
    return tags


def printed(record: RunRecord, *, width: int = WIDTH) -> str:
    target = io.StringIO()
    print_summary(record, Console(file=target, width=width, highlight=False, markup=False))
    return target.getvalue()


def test_the_page_carries_its_plots_and_names_no_other_file() -> None:
    page = parsed(FULL)
    assert len(page.targets) == 6
    assert all(target.startswith("data:image/svg+xml;base64,") for target in page.targets)
    assert not {"script", "link", "iframe"} & set(page.tags)


@pytest.mark.parametrize(
    "changed",
    [
        replace(FULL, reasons=(Reason("t", "<script>alert(1)</script>", 1),)),
        replace(FULL, failure="<script>alert(1)</script>"),
        replace(FULL, set_aside=(AsideRecord("s", "<script>.csv", "&"),)),
        replace(FULL, places=(Place("x", "<script>"),)),
        replace(FULL, trainings=(replace(TRAINING, decision="<script>"),)),
    ],
)
def test_text_from_data_cannot_become_markup(changed: RunRecord) -> None:
    assert "<script" not in render(changed)


def test_a_run_with_nothing_to_do_says_so_on_the_page() -> None:
    text = render(IDLE)
    assert "Nothing to do in local, namespace local_payments" in text
    assert "nothing was written" in text


def test_a_run_with_nothing_to_do_says_so_in_the_terminal() -> None:
    text = printed(IDLE)
    assert "Nothing to do" in text
    assert "not due" in text


def test_a_failed_run_shows_its_error_on_the_page_and_in_the_terminal() -> None:
    assert all("Redis does not answer" in text for text in (render(FULL), printed(FULL)))


def test_numbers_of_rows_are_whole_on_the_page() -> None:
    assert "positives<b>7</b>" in render(FULL)


def test_equal_records_give_equal_pages() -> None:
    assert render(FULL) == render(FULL)


@pytest.mark.parametrize("width", [100, 120])
def test_the_summary_fits_its_width_and_has_no_colours_in_a_file(width: int) -> None:
    lines = printed(FULL, width=width).splitlines()
    assert max(len(line.rstrip()) for line in lines) <= width
    assert "\x1b" not in "".join(lines)


def test_the_summary_keeps_names_and_figures_whole() -> None:
    text = printed(FULL)
    for expected in ("silver.transactions", "1,005,123", "payment_fraud", "0.641", "champion"):
        assert expected in text


def test_expectations_of_all_tables_are_one_line_of_the_summary() -> None:
    lines = [line for line in printed(FULL).splitlines() if "expectations of" in line]
    assert len(lines) == 1
    assert "not met in 1 of them" in lines[0]


def test_the_record_is_kept_as_json_beside_the_page(tmp_path: Path) -> None:
    page = write_report(FULL, tmp_path)
    kept = json.loads((page.parent / "record.json").read_text(encoding="utf-8"))
    assert (kept["run"], kept["steps"][0]["outcome"]) == ("20181001T120000Z", "done")
    assert kept["started"] == "2018-10-01T12:00:00+00:00"
    assert json.loads(as_json(FULL)) == kept


def test_latest_names_the_newest_run(tmp_path: Path) -> None:
    write_report(IDLE, tmp_path)
    later = write_report(replace(FULL, started=datetime(2018, 10, 2, tzinfo=UTC)), tmp_path)
    assert latest_report(tmp_path) == later


def test_before_the_first_run_there_is_no_latest_report(tmp_path: Path) -> None:
    assert latest_report(tmp_path) is None

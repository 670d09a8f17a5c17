"""A run as one HTML file that needs nothing beside it: styles and plots are inside.

Whatever comes from data or definitions is escaped by the template; the page runs no script and
names no other host.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from feldspar.report import plots, words
from feldspar.report.record import DailyVolume, RunRecord, TrainingSummary, as_json

PAGE = "report.html"
RECORD = "record.json"
LATEST = "latest"


@dataclass(frozen=True)
class Picture:
    """A plot as a data URI, and what it shows."""

    caption: str
    uri: str


def write_report(record: RunRecord, runs: Path) -> Path:
    """Writes ``<runs>/<start>/report.html`` and ``record.json``, and points ``latest`` at them.

    Args:
        record: the run.
        runs: the folder of all runs; ``latest`` in it holds the newest run's folder name.

    Returns:
        The page.
    """
    folder = runs / record.key
    folder.mkdir(parents=True, exist_ok=True)
    (folder / RECORD).write_text(as_json(record), encoding="utf-8")
    write_page(record, folder / PAGE)
    draft = runs / f".{LATEST}"
    draft.write_text(f"{record.key}\n", encoding="utf-8")
    draft.replace(runs / LATEST)
    return folder / PAGE


def latest_report(runs: Path) -> Path | None:
    """The page of the newest run; None before the first."""
    pointer = runs / LATEST
    if not pointer.is_file():
        return None
    page = runs / pointer.read_text(encoding="utf-8").strip() / PAGE
    return page if page.is_file() else None


def write_page(record: RunRecord, path: Path) -> None:
    """Writes the page alone."""
    path.write_text(render(record), encoding="utf-8")


def render(record: RunRecord) -> str:
    """The page's text."""
    environment = Environment(
        loader=PackageLoader("feldspar.report", package_path=""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "count": words.count,
        "seconds": words.seconds,
        "duration": words.duration,
        "figure": words.figure,
        "metric_name": words.metric_name,
    }
    return environment.get_template("page.html").render(
        record=record,
        headline=words.headline(record),
        metric_value=words.metric_value,
        volumes=[(daily, _daily_pictures(daily)) for daily in record.volumes if daily.days],
        trainings=[(training, _training_pictures(training)) for training in record.trainings],
        quarantine=_picture("Quarantined rows by reason", plots.quarantine(record.reasons))
        if record.reasons
        else None,
    )


def _daily_pictures(daily: DailyVolume) -> list[Picture]:
    pictures = [_picture(f"Rows of {daily.table} by day", plots.volume(daily))]
    if any(one.share is not None for one in daily.days):
        pictures.append(_picture(f"Share of {daily.label} by day", plots.share(daily)))
    return pictures


def _training_pictures(training: TrainingSummary) -> list[Picture]:
    pictures = []
    if training.precision_recall:
        caption = "Precision and recall on the test window"
        pictures.append(_picture(caption, plots.precision_recall(training)))
    if training.calibration:
        caption = "Calibration: what was said, what came true"
        pictures.append(_picture(caption, plots.calibration(training)))
    if training.importance:
        caption = "Features by what their loss costs"
        pictures.append(_picture(caption, plots.importance(training)))
    return pictures


def _picture(caption: str, svg: str) -> Picture:
    encoded = base64.b64encode(svg.encode()).decode()
    return Picture(caption, f"data:image/svg+xml;base64,{encoded}")

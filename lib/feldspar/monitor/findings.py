"""What somebody should look at in how a project is doing, worst first, with the next command."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from feldspar.monitor.standing import Lag, Line, Standing
from feldspar.times import rough_duration

Kind = Literal["unknown", "failed", "wrong", "late", "behind", "refused"]
_SOURCES = "feldspar show sources"
"""What is not behind and yet late gets nothing newer from its source."""
_ALARMS: tuple[Kind, ...] = ("unknown", "failed", "wrong", "late")


@dataclass(frozen=True)
class Finding:
    """One of them; ``name`` is that of a step, a table or a view in Redis."""

    kind: Kind
    name: str
    text: str
    next: str

    @property
    def alarms(self) -> bool:
        """Whether ``feldspar status --check`` fails for it: rows that wait are no failure."""
        return self.kind in _ALARMS


def findings(found: Standing) -> tuple[Finding, ...]:
    """All of them."""
    return (
        *_unknown(found),
        *_failed(found),
        *_wrong(found),
        *_late(found.lines),
        *_behind(found),
        *_refused(found.lines),
    )


def _unknown(found: Standing) -> Iterator[Finding]:
    for trouble in found.troubles:
        yield Finding("unknown", "", trouble, "feldspar doctor")


def _failed(found: Standing) -> Iterator[Finding]:
    for row in found.steps:
        if row.went_wrong:
            ago = rough_duration(found.at - row.started_at)
            what = "was stuck" if row.outcome == "stuck" else "failed"
            text = f"{row.step} {what} {ago} ago: {row.error}"
            yield Finding("failed", row.step, text, "feldspar apply")


def _wrong(found: Standing) -> Iterator[Finding]:
    for row in found.audits:
        if row.failed:
            text = f"{row.feature} of {row.service}: {row.different:,} of {row.compared:,} served "
            text += f"values differ from gold, {row.stale:,} were stale ({row.cause})"
            yield Finding("wrong", row.feature, text, f"feldspar audit --service {row.service}")


def _late(lines: Iterable[Line]) -> Iterator[Finding]:
    for line in lines:
        fresh = line.freshness
        if fresh.target is None or fresh.verdict == "ok":
            continue
        age = "unknown" if fresh.age is None else rough_duration(fresh.age)
        text = f"{line.name}: the age of its newest event is {age}, "
        text += f"at most {rough_duration(fresh.target)} is wanted"
        behind = line.lag is not None and line.lag.is_behind
        yield Finding("late", line.name, text, "feldspar apply" if behind else _SOURCES)


def _behind(found: Standing) -> Iterator[Finding]:
    if not found.troubles and all(line.version is None for line in found.lines):
        yield Finding("behind", "", "no table is there yet", "feldspar apply")
    for line in found.lines:
        if line.lag is not None and line.lag.is_behind:
            yield Finding("behind", line.name, lag_text(line.name, line.lag), "feldspar apply")


def _refused(lines: Iterable[Line]) -> Iterator[Finding]:
    for line in lines:
        if line.refused is not None and line.refused.recent_refused:
            refused, came = line.refused.recent_refused, line.refused.recent_in
            text = f"{line.name}: {refused:,} of {came:,} rows of the last day went to quarantine"
            yield Finding("refused", line.name, text, "feldspar quarantine list")


def lag_text(name: str, lag: Lag) -> str:
    """How far something is behind, in words.

    >>> lag_text("gold.spend", Lag("silver.payments", versions=2, rows=1_200))
    'gold.spend is 1,200 rows behind silver.payments (2 versions)'
    """
    if lag.of_files:
        files, size = counted(lag.files, "file"), lag.bytes / 1e6
        return f"{name} lacks {files} ({size:,.1f} MB) of {lag.source}"
    versions = counted(lag.versions, "version")
    if lag.rows is None:
        return f"{name} is {versions} behind {lag.source}"
    text = f"{name} is {counted(lag.rows, 'row')} behind {lag.source}"
    return f"{text} ({versions})" if lag.versions else text


def counted(number: int, what: str) -> str:
    """A number of things.

    >>> counted(1, "file"), counted(1_200, "row")
    ('1 file', '1,200 rows')
    """
    return f"{number:,} {what}{'' if number == 1 else 's'}"

"""``ops.audits``: what audits found, kept, and told to people and Prometheus."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from feldspar.monitor.exposition import exposition
from feldspar.monitor.findings import findings
from feldspar.monitor.standing import Standing
from feldspar.stores.tables import audits
from feldspar.stores.tables.audits import AuditRow
from feldspar.stores.tables.lake import Lake
from support.places import disk_environment

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def row(
    feature: str, *, at: datetime = NOW, service: str = "fraud", different: int = 0
) -> AuditRow:
    cause = "ttl" if different else ""
    return AuditRow(
        at, None, service, feature, "spend", 100, 90, different, 1, 60.0, cause, [], different > 0
    )


def standing_with(*rows: AuditRow) -> Standing:
    return Standing("tests", NOW, None, (), (), None, (), rows)


def test_the_newest_audit_of_each_service_is_found(tmp_path: Path) -> None:
    lake = Lake.of(disk_environment(tmp_path))
    audits.append(lake, [row("a", at=NOW - HOUR), row("b", at=NOW - HOUR)])
    audits.append(lake, [row("a")])
    audits.append(lake, [row("a", service="lending", at=NOW - 2 * HOUR)])

    assert sorted((one.service, one.feature, one.audited_at) for one in audits.newest(lake)) == [
        ("fraud", "a", NOW),
        ("lending", "a", NOW - 2 * HOUR),
    ]


def test_before_the_first_audit_there_is_none(tmp_path: Path) -> None:
    assert audits.newest(Lake.of(disk_environment(tmp_path))) == ()


def test_a_feature_that_differs_is_a_finding_that_alarms() -> None:
    found = findings(standing_with(row("a", different=3), row("b")))[0]

    assert (found.kind, found.alarms, found.next) == (
        "wrong",
        True,
        "feldspar audit --service fraud",
    )
    assert found.text == ("a of fraud: 3 of 90 served values differ from gold, 1 were stale (ttl)")


def test_prometheus_is_told_of_every_feature() -> None:
    text = exposition(standing_with(row("a", different=3))).decode()
    labels = '{feature="a",namespace="tests",service="fraud"}'

    assert [
        line.partition(" ")[2]
        for name in ("compared", "different", "stale")
        for line in text.splitlines()
        if line.startswith(f"feldspar_audit_values_{name}{labels}")
    ] == ["90.0", "3.0", "1.0"]

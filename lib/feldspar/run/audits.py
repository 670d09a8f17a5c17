"""Audits the served logs of a project, and enters what was found in ``ops.audits``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from feldspar.monitor.audit.findings import ServiceAudit
from feldspar.monitor.audit.run import Chosen, audit
from feldspar.run.warm import start_workers
from feldspar.run.workplace import Workplace
from feldspar.stores.tables import audits
from feldspar.stores.tables.audits import AuditRow
from feldspar.times import utc_now


def audit_services(
    work: Workplace, services: Sequence[str], *, chosen: Chosen
) -> tuple[ServiceAudit, ...]:
    """Replays what services answered.

    Args:
        work: graph, lake and session.
        services: names of conf/services.
        chosen: which answers.

    Raises:
        UsageError: nothing of a service's log was ingested yet.
        UnreachableError: the result could not be written.
    """
    start_workers(work.tables.spark)
    found = []
    for name in services:
        service = work.graph.service(name)
        one = audit(
            service,
            work.graph.event_of(service),
            work.tables,
            chosen=chosen,
            progress=work.say,
        )
        audits.append(work.tables.lake, list(_rows(one, since=chosen.since, at=utc_now())))
        found.append(one)
    return tuple(found)


def _rows(found: ServiceAudit, *, since: datetime | None, at: datetime) -> Iterator[AuditRow]:
    for one in found.features:
        yield AuditRow(
            audited_at=at,
            since=since,
            service=found.service,
            feature=one.feature,
            view=one.view,
            served=found.audited,
            compared=one.compared,
            different=one.different,
            stale=one.stale,
            late_seconds=None if one.late is None else one.late.total_seconds(),
            cause=one.cause,
            examples=one.examples,
            failed=one.fails,
        )

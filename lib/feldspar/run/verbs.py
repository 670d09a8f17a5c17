"""What each verb does in a Spark process: the plan, training sets, scores, Redis.

Every function returns plain values, which ``--json`` prints; ``failed`` among them makes the
process end with 1.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from threading import Event
from typing import Any

from feldspar.compute.windows.functions import AsOf
from feldspar.errors import UsageError
from feldspar.graph.plan import plan
from feldspar.monitor.audit.findings import lines as audit_lines
from feldspar.monitor.audit.run import Chosen as ChosenAnswers
from feldspar.names import served_table
from feldspar.online.rebuild import rebuild as rebuild_views
from feldspar.online.verify import verify as verify_views
from feldspar.refine.promote import promote as promote_values
from feldspar.refine.replay import Chosen, judge_again
from feldspar.refine.replay import replay as replay_rows
from feldspar.run.audits import audit_services
from feldspar.run.care import Beside
from feldspar.run.execute import execute
from feldspar.run.metrics import write_metrics
from feldspar.run.remember import remember
from feldspar.run.report import report_on
from feldspar.run.stream import stream as keep_up
from feldspar.run.warm import start_workers
from feldspar.run.workplace import Workplace
from feldspar.stores.deployed import observe
from feldspar.times import (
    from_micros,
    parse_duration,
    parse_instant,
    parse_since,
    to_micros,
    utc_now,
)
from feldspar.training.differences import difference
from feldspar.training.extend import extend_training_set
from feldspar.training.published import compare_with_published
from feldspar.training.score import score as score_rows
from feldspar.training.sets import training_set as build_training_set

Answer = dict[str, Any]
TOLD = "told"
"""The key of an answer's lines for people, which are its only form on stdout without --json."""


def apply(work: Workplace, *, accept: bool, only: str | None = None) -> Answer:
    """Makes the plan and carries it out, whole or the steps of one kind.

    Raises:
        PlanBlockedError: a breaking change waits for --accept; nothing was run.
        StoreError: the run could not be entered in ops.runs.
    """
    observed = observe(work.graph, work.environment, store=work.store, experiments=work.experiments)
    whole = plan(work.graph, observed, accept=accept)
    chosen = whole if only is None else whole.of(only)
    chosen.refuse_blocked()
    if not chosen.to_run:
        work.say("nothing to do: everything is up to date")
    else:
        work = work.in_epoch(verb=only or "apply")
    run = execute(chosen, work)
    remember(run, work)
    return report_on(run, work)


def stream(work: Workplace, *, every: str, stuck_after: str, metrics: Path | None = None) -> Answer:
    """Keeps tables and Redis up to date until the process is ended; what is committed stays.

    A round that takes longer than ``stuck_after`` ends the process (``run.watchdog``).

    Raises:
        UsageError: ``every`` or ``stuck_after`` is no duration.
        FeldsparError: a step failed, or a later run has taken over.
    """
    length, bound = parse_duration(every), parse_duration(stuck_after)
    work.say(f"a round every {every}; Ctrl-C ends it, and the next run goes on from there")
    with closing(Beside()) as care:
        rounds = keep_up(
            replace(work.in_epoch(verb="stream"), care=care),
            every=length,
            stop=Event(),
            told=lambda one: work.say(str(one)),
            stuck_after=bound,
            after_each=(lambda: None)
            if metrics is None
            else (lambda: write_metrics(work, metrics)),
        )
    return {"rounds": rounds}


def training_set(
    work: Workplace, service: str, *, spine: str, out: str, time: str | None, as_of: AsOf
) -> Answer:
    """Builds a training set for any spine."""
    start_workers(work.tables.spark)
    found = work.graph.service(service)
    event = work.graph.event_of(found)
    manifest = build_training_set(
        found, event, work.tables, spine=spine, out=out, time=time, as_of=as_of
    )
    work.say(f"{manifest.spine_rows} rows in {out}")
    return asdict(manifest)


def extend(
    work: Workplace, service: str, *, spine: str, out: str, time: str | None, as_of: AsOf
) -> Answer:
    """Adds to a training set the rows of a spine that it does not hold."""
    start_workers(work.tables.spark)
    found = work.graph.service(service)
    event = work.graph.event_of(found)
    done = extend_training_set(
        found, event, work.tables, spine=spine, out=out, time=time, as_of=as_of
    )
    work.say(f"{done.added} rows added to {out}, which held {done.held}")
    return {**asdict(done.manifest), "added": done.added, "held": done.held}


def compare_sets(work: Workplace, left: str, right: str) -> Answer:
    """What changed between two training sets, and why."""
    found = difference(left, right, work.tables)
    return {**asdict(found), "equal": found.equal, TOLD: tuple(found.lines())}


def score(work: Workplace, service: str, *, spine: str, out: str, time: str | None) -> Answer:
    """Scores any spine with the champion."""
    start_workers(work.tables.spark)
    model = work.graph.model_of(service)
    event = work.graph.event_of(model.service)
    scored = score_rows(
        model, event, work.tables, experiments=work.experiments, spine=spine, out=out, time=time
    )
    work.say(f"{scored.rows} rows in {out}, by version {scored.version}")
    return asdict(scored)


def rebuild(work: Workplace) -> Answer:
    """Restores Redis from gold."""
    views = tuple(work.graph.views.values())
    results = rebuild_views(
        views, tables=work.tables, store=work.store, clock=work.clock(), progress=work.say
    )
    return {"views": [asdict(one) for one in results]}


def verify(work: Workplace, *, at: str | None) -> Answer:
    """Compares Redis with gold at a time, every entity and value."""
    when = work.clock() if at is None else to_micros(parse_instant(at))
    pushed = work.store.cursors([view.online_name for view in work.graph.views.values()])
    views = [view for view in work.graph.views.values() if view.online_name in pushed]
    work.say(f"comparing {len(views)} views at {from_micros(when):%Y-%m-%d %H:%M:%S}Z")
    results = verify_views(views, tables=work.tables, store=work.store, at=when)
    for one in results:
        work.say(
            f"{one.view}: {one.entities} entities, {one.compared} values, "
            f"{one.different} differences"
        )
        for example in one.examples:
            work.say(f"  {example}")
    different = sum(one.different for one in results)
    return {"views": [asdict(one) for one in results], "failed": different > 0}


def audit(
    work: Workplace,
    *,
    service: str | None,
    since: str | None,
    until: str | None,
    sample: int | None,
) -> Answer:
    """Holds what services answered against gold: one of them, or all that answered anything."""
    logged = [
        name for name in work.graph.services if work.tables.exists("bronze", served_table(name))
    ]
    names = [service] if service is not None else logged
    if not names:
        text = "nothing of what services answered is in bronze yet"
        raise UsageError(text, hint="feldspar serve answers; feldspar ingest brings it to bronze")
    first, last = (None if one is None else parse_since(one, utc_now()) for one in (since, until))
    chosen = ChosenAnswers(first, last, sample)
    found = audit_services(work, names, chosen=chosen)
    return {
        "services": [asdict(one) for one in found],
        "failed": any(one.fails for one in found),
        TOLD: tuple(line for one in found for line in audit_lines(one)),
    }


def replay(
    work: Workplace, table: str, *, reason: str | None, since: str | None, is_trial: bool
) -> Answer:
    """Judges refused rows of a table again; a trial only says what would come of it."""
    found = work.graph.table(table)
    chosen = Chosen(reason, None if since is None else parse_since(since, utc_now()))
    if is_trial:
        result = judge_again(found, chosen, tables=work.tables, now=utc_now())
    else:
        tables = work.in_epoch(verb="quarantine replay").tables
        result = replay_rows(found, chosen, tables=tables, now=utc_now(), progress=work.say)
    next_line = ("next: feldspar apply",) if result.accepted and not is_trial else ()
    return {**asdict(result), TOLD: (*result.lines(), *next_line)}


def promote(work: Workplace, table: str, column: str) -> Answer:
    """Moves rescued values of a table to a column that it declares since."""
    found = work.graph.table(table)
    tables = work.in_epoch(verb="rescued promote").tables
    result = promote_values(found, column, tables=tables, progress=work.say)
    return {**asdict(result), TOLD: (*result.lines(), "next: feldspar plan")}


def handbook(work: Workplace) -> Answer:
    """The published model table beside ours; fails where ours is not near enough."""
    model = work.graph.model("payment_fraud")
    table = work.graph.table(model.spec.spine)
    compared = compare_with_published(model, table, work.tables, progress=work.say)
    return {
        "models": [asdict(one) for one in compared],
        "failed": any(one.holds is False for one in compared),
    }

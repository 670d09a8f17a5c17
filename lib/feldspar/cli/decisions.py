"""``feldspar explain trigger``: what was decided for ``trigger: auto``, why, and what was not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta

from feldspar.cli.arguments import DONE, Arguments
from feldspar.cli.output import print_json, say
from feldspar.cli.project import Project
from feldspar.errors import UsageError, nearest
from feldspar.monitor.auto.told import summary
from feldspar.monitor.auto.units import Unit, units
from feldspar.monitor.findings import counted
from feldspar.stores.tables import decisions
from feldspar.stores.tables.decisions import Decision
from feldspar.stores.tables.lake import Lake
from feldspar.times import format_duration, rough_duration, utc_now


def show_decisions(arguments: Arguments) -> int:
    """Prints the newest decision of one table or view, or of all.

    Raises:
        UsageError: there is no table and no view of that name.
    """
    project = Project.of(arguments)
    asked = _asked(units(project.graph()), arguments.name)
    found = {one.name: one for one in decisions.newest(Lake.of(project.environment()))}
    if arguments.json:
        print_json([asdict(found[unit.name]) for unit in asked if unit.name in found])
        return DONE
    if not asked:
        say("no table and no view of conf/ has 'trigger: auto'")
    now = utc_now()
    for unit in asked:
        for line in _lines(unit, found.get(unit.name), now=now):
            say(line)
    return DONE


def _asked(known: Sequence[Unit], name: str | None) -> tuple[Unit, ...]:
    """Those of a name, with or without its layer; all that are decided for where none is given."""
    if name is None:
        return tuple(unit for unit in known if unit.is_auto)
    found = tuple(unit for unit in known if name in (unit.name, unit.name.partition(".")[2]))
    if found:
        return found
    names = [unit.name.partition(".")[2] for unit in known]
    near = ", ".join(nearest(name, names)) or ", ".join(names)
    text = f"there is no table and no view {name!r}; nearest: {near}"
    raise UsageError(text, hint="see: feldspar show tables; feldspar show views")


def _lines(unit: Unit, decision: Decision | None, *, now: datetime) -> Iterator[str]:
    if not unit.is_auto:
        yield f"{unit.name}: trigger: {_stated(unit)}; nothing is decided for it"
    elif decision is None:
        yield f"{unit.name}: trigger: auto; nothing is decided yet, feldspar stream does"
    else:
        yield from _decided(decision, now=now)


def _stated(unit: Unit) -> str:
    if unit.trigger is None:
        return "each round"
    if isinstance(unit.trigger, str):
        return unit.trigger
    return f"every {format_duration(unit.trigger)}"


def _decided(decision: Decision, *, now: datetime) -> Iterator[str]:
    # another machine's clock may be ahead
    ago = rough_duration(max(now - decision.decided_at, timedelta(0)))
    yield f"{decision.name}: {summary(decision)} ({decision.mode}; decided {ago} ago)"
    for reason in decision.reasons:
        yield f"  {reason}"
    for other in decision.passed_over:
        yield f"  not {other}"
    if decision.came_loads:
        loads = counted(decision.came_loads, "load")
        predicted = decision.came_predicted / decision.came_loads
        taken = decision.came_seconds / decision.came_loads
        yield (
            f"  of the decision before came {loads}: {predicted:.2f} s were expected of each, "
            f"{taken:.2f} s it took"
        )

"""When a stream may bring tables and views up to date again, as their ``trigger`` says.

A table's trigger is that of its silver and history, a view's that of its gold and Redis. What rests
is not lost: the cursor says where it goes on. ``trigger: auto`` is in ``run.auto``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal

from feldspar.graph.graph import Graph
from feldspar.names import served_table
from feldspar.spec.definition import AUTO, BY_APPLY, Timing
from feldspar.times import format_duration, rough_duration

LOG_EVERY = timedelta(minutes=5)
"""How often a stream brings the logs of services to bronze at most."""
_Kind = timedelta | Literal["apply"]


@dataclass(frozen=True)
class _Rule:
    """The trigger of a table or a view, and the steps that it holds for."""

    trigger: _Kind
    steps: tuple[str, ...]


@dataclass
class Triggers:
    """What was brought up to date when, of what has a trigger; times are of a steady clock."""

    rules: tuple[_Rule, ...]
    ran: dict[_Rule, float] = field(default_factory=dict)

    @staticmethod
    def of(graph: Graph) -> Triggers:
        """Those that conf/ states, and of served logs; the first round takes all but ``apply``."""
        stated: list[tuple[Timing | None, tuple[str, ...]]] = [
            (table.spec.trigger, (f"silver.{name}", f"history.{name}"))
            for name, table in graph.tables.items()
        ]
        stated += [
            (view.trigger, (f"gold.{name}", f"online {name}")) for name, view in graph.views.items()
        ]
        # answers wait in the inbox: nothing in Redis comes of them
        stated += [(LOG_EVERY, (f"bronze.{served_table(name)}",)) for name in graph.services]
        kept = [(one, steps) for one, steps in stated if one is not None and one != AUTO]
        return Triggers(tuple(_Rule(one, steps) for one, steps in kept))

    def resting(self, now: float) -> Mapping[str, str]:
        """Names of the steps that are not due, and why."""
        reasons = [(rule, self._reason(rule, now)) for rule in self.rules]
        return {name: reason for rule, reason in reasons if reason for name in rule.steps}

    def _reason(self, rule: _Rule, now: float) -> str:
        if rule.trigger == BY_APPLY:
            return "trigger: apply; a stream leaves it alone"
        ran = self.ran.get(rule)
        if ran is None or now - ran >= rule.trigger.total_seconds():
            return ""
        left = timedelta(seconds=rule.trigger.total_seconds() - (now - ran))
        return f"trigger: every {format_duration(rule.trigger)}, due in {rough_duration(left)}"

    def note(self, steps: Iterable[str], now: float) -> None:
        """Steps that a round which began at a time has carried out."""
        done = {*steps}
        self.ran |= {rule: now for rule in self.rules if not done.isdisjoint(rule.steps)}

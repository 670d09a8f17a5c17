"""Random plans over packed cases: what stays the same for all cases of a job."""

from __future__ import annotations

import math
import random

from feldspar.compute.pit.plan import PitPlan
from feldspar.compute.windows.functions import LISTED, MERGED, AggregationPlan
from feldspar.compute.windows.plan import WindowPlan
from feldspar.compute.windows.rule import WindowRule
from property import frames

SPINE_KEYS, ROW_KEYS = ("number", "customer", "branch"), ("number", "who", "where")


def random_pit_plan(generator: random.Random, name: str, unit: int) -> PitPlan:
    """Lengths of time are multiples of ``unit`` microseconds; output columns begin with a name."""
    ttl = generator.choice((None, 0, 1, 3, 9))
    columns = ("place", "where", "amount", "_position", "risky")
    return PitPlan(
        spine_keys=SPINE_KEYS,
        row_keys=ROW_KEYS,
        spine_time="at",
        columns={one: f"{name}__{one}" for one in columns},
        ttl=None if ttl is None else ttl * unit,
        serving_delay=generator.choice((0, 0, 1, 3)) * unit,
        as_of=generator.choice(("known", "known", "event")),
        tombstone="_retracted",
    )


def random_window_plan(generator: random.Random, name: str, unit: int) -> WindowPlan:
    """As above; merged and listed functions, groups, and hops that divide what they must."""
    rule = WindowRule(
        generator.choice((0, 0, 1, 6)) * unit,
        generator.choice((0, 0, 1, 3)) * unit,
        generator.choice(("known", "known", "event")),
        generator.choice(("include", "exclude")),
    )
    items = [_item(generator, f"{name}__{number}", rule, unit) for number in range(6)]
    plan = frames.window_plan(items, rule)
    return WindowPlan(**{**vars(plan), "spine_keys": SPINE_KEYS, "event_keys": ROW_KEYS})


def _item(generator: random.Random, name: str, rule: WindowRule, unit: int) -> AggregationPlan:
    function = generator.choice((*MERGED, *LISTED))
    arguments = ["amount", "level", "risky"]
    if function in ("first", "last", "approx_distinct"):
        arguments.append("channel")
    grouped = function in MERGED and generator.random() < 0.25
    window = generator.choice((1, 2, 6, 40)) * unit
    widest = math.gcd(window, rule.delay)
    return AggregationPlan(
        name,
        function,
        generator.choice([*arguments, None] if function == "count" else arguments),
        window,
        default=None if grouped or function in LISTED else generator.choice((None, None, 0, -1.5)),
        hop_micros=generator.choice((0, 0, unit, widest)),
        place=generator.randint(1, 3),
        quantile=generator.choice((0.0, 0.3, 0.5, 0.95, 1.0)),
        by="channel" if grouped else None,
        gives=generator.choice(("value", "group")) if grouped else "value",
    )

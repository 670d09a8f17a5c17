"""Makes the plan: what takes the deployed state to what conf/ says, step by step, with reasons.

Pure: the same graph and the same observation give the same plan. Each kind of step is decided in
a module of ``graph.planning``.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from feldspar.graph.graph import Graph
from feldspar.graph.observed import Observed
from feldspar.graph.planning.draft import Draft
from feldspar.graph.planning.history import history_steps
from feldspar.graph.planning.models import train_steps
from feldspar.graph.planning.sources import generate_steps, ingest_steps
from feldspar.graph.planning.tables import quality_steps, refine_steps
from feldspar.graph.planning.views import features_steps, online_steps
from feldspar.graph.steps import Plan, Step

NOTHING_RESTS: Mapping[str, str] = MappingProxyType({})


def plan(
    graph: Graph,
    observed: Observed,
    *,
    accept: bool = False,
    resting: Mapping[str, str] = NOTHING_RESTS,
) -> Plan:
    """The list of steps, in order of execution.

    Args:
        graph: what conf/ says.
        observed: what is deployed.
        accept: breaking changes are carried out instead of blocking.
        resting: names of steps that are not due yet, each with the reason.
    """
    draft = Draft(graph, observed, accept, resting=resting)
    steps: list[Step] = []
    for steps_of in (
        generate_steps,
        ingest_steps,
        refine_steps,
        history_steps,
        features_steps,
        quality_steps,
        online_steps,
        train_steps,
    ):
        steps.extend(steps_of(draft))
    return Plan(tuple(steps))

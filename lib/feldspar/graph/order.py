"""Which steps of a plan must be done before another may start."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from feldspar.graph.graph import Graph
from feldspar.graph.steps import (
    FeaturesStep,
    HistoryStep,
    OnlineStep,
    QualityStep,
    RefineStep,
    Step,
    TrainStep,
)

# a clock that follows the data stands still only when all of silver does
_AFTER_EVERY = {"ingest": "generate", "online": "refine", "train": "refine"}


def needs(steps: Sequence[Step], graph: Graph) -> Mapping[Step, frozenset[Step]]:
    """For each step those before it that make what it reads, or what it goes on from.

    Args:
        steps: in the order of the plan.
        graph: says what each of them reads.
    """
    return {step: _before(step, steps[:place], graph) for place, step in enumerate(steps)}


def _before(step: Step, earlier: Sequence[Step], graph: Graph) -> frozenset[Step]:
    names = {step.name, *_reads(step, graph)}
    kind = _AFTER_EVERY.get(step.verb)
    return frozenset(one for one in earlier if one.name in names or one.verb == kind)


def _reads(step: Step, graph: Graph) -> set[str]:
    """Tables that a step reads, as ``layer.name``."""
    match step:
        case RefineStep(table=table):
            return {f"bronze.{graph.table(table).source_name}"}
        case HistoryStep(table=table):
            return {f"silver.{table}"}
        case FeaturesStep(view=view):
            return {f"silver.{graph.view(view).table}"}
        case QualityStep(layer=layer, table=table):
            return {f"{layer}.{table}"}
        case OnlineStep(view=view):
            return {f"gold.{view}"}
        case TrainStep(model=model):
            return {f"gold.{view.name}" for view in graph.model(model).service.views}
        case _:
            return set()

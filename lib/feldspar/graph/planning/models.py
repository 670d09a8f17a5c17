"""Steps that train models, each by its own ``retrain`` rule."""

from __future__ import annotations

from collections.abc import Iterator

from feldspar.graph.graph import Model
from feldspar.graph.planning.draft import Draft
from feldspar.graph.steps import Status, Step, TrainStep
from feldspar.names import fingerprint
from feldspar.times import duration_micros, from_micros


def train_steps(draft: Draft) -> Iterator[Step]:
    """One step for each model."""
    for model in draft.graph.models.values():
        status, reason, due_from = _train(draft, model)
        yield TrainStep(f"model {model.name}", status, reason, model=model.name, due_from=due_from)


def _train(draft: Draft, model: Model) -> tuple[Status, str, int | None]:
    missing = _missing_table(draft, model)
    if missing:
        return Status.OFF, f"{missing} has no rows", None
    state = draft.observed.models.get(model.name)
    if state is None:
        return Status.RUN, "never trained", None
    if state.definition != fingerprint(model.definition):
        return Status.RUN, "its definition changed", None
    due = state.cut + duration_micros(model.spec.retrain)
    text = f"last cut {from_micros(state.cut):%Y-%m-%d}, due from {from_micros(due):%Y-%m-%d}"
    if draft.observed.clock is not None and draft.observed.clock >= due:
        return Status.RUN, f"due: {text}", None
    if ("silver", model.spec.spine) in draft.dirty:
        return Status.RUN, f"if due once new rows are in: {text}", due
    return Status.NOTHING, f"not due: {text}", None


def _missing_table(draft: Draft, model: Model) -> str:
    """The first table that the model needs and that will not be there; empty if all will."""
    if not draft.exists("silver", model.spec.spine):
        return f"silver.{model.spec.spine}"
    for view in model.service.views:
        if not draft.exists("gold", view.name):
            return f"gold.{view.name}"
    return ""

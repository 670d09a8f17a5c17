"""The example project, run once by its jobs on real servers, for all system tests."""

from __future__ import annotations

import pytest

from support.places import LocalStack
from support.whole_project import STAGES, Finished, WholeProject


@pytest.fixture(scope="session")
def stages(stack: LocalStack) -> dict[str, Finished]:
    """Each stage's job by spark-submit, in order; from nothing to a champion."""
    project = WholeProject.make(stack.folder)
    outcomes: dict[str, Finished] = {}
    for stage in STAGES:
        words = ["push"] if stage == "online" else []
        outcomes[stage] = project.job(stage, *words)
        if outcomes[stage].code:
            break
    return outcomes


@pytest.fixture(scope="session")
def small_lake(stack: LocalStack, stages: dict[str, Finished]) -> WholeProject:
    """The project after all of its stages."""
    last = list(stages.values())[-1]
    assert last.code == 0, f"{list(stages)[-1]}: {last.out[-2000:]}\n{last.err[-4000:]}"
    return WholeProject.make(stack.folder)

"""The example project, run once by its jobs on real servers, for all system tests."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from feldspar.spec.environment import StorageSpec
from support.minio import minio
from support.places import LocalStack
from support.whole_project import STAGES, Finished, WholeProject

SERVERS = os.environ.get("SERVERS", "weed").split(",")
"""S3 servers that commits of several drivers are tested on: ``weed``, ``minio``, or both."""


@pytest.fixture(scope="module", params=SERVERS)
def s3_server(request: pytest.FixtureRequest) -> str:
    """The name of each of ``SERVERS``."""
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def s3(
    s3_server: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[StorageSpec]:
    """A bucket on the server; one that was asked for and cannot be had fails the test."""
    match s3_server:
        case "weed":
            yield request.getfixturevalue("stack").environment.storage
        case "minio":
            with minio(tmp_path_factory.mktemp("minio")) as storage:
                yield storage
        case other:
            pytest.fail(f"SERVERS={other!r}: there are weed and minio")


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

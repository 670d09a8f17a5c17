"""The fixtures that tests share; one Spark and one set of servers for a whole run.

``spark`` works on ``environment``'s lake, a folder of its own for each test. ``stack`` is the real
S3, Redis and MLflow; its project root is temporary, so it never meets a developer's own.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from pyspark.sql import SparkSession

from feldspar.launch.jars import CONNECTORS, fetch
from feldspar.run.session import open_session
from feldspar.spec.environment import Environment
from support.places import LocalStack, disk_environment, running_stack

# pytest-xdist's processes have a main module without a file; pyspark takes such a process for its
# own doctests, and ends it where Spark Connect's packages are missing
sys.modules["__main__"].__dict__.setdefault("__file__", str(Path(pytest.__file__)))

# benchmarks are programs; what they compare with is installed in an environment of its own
collect_ignore = ["bench"]

# a busy machine is no counterexample: tests assert no times
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

_TAKE_MINUTES = (
    *("test_whole_loop", "test_faults", "test_zombies"),
    *("test_push", "test_refine", "test_ingest"),
)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that take minutes go first, so that two processes end at about the same time."""
    items.sort(key=lambda item: item.path.stem not in _TAKE_MINUTES)


@pytest.fixture(scope="session")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """The environment of the session's Spark, which can read all sources; its lake is a folder."""
    for path in CONNECTORS.values():
        fetch(os.environ, path=path)
    environment = disk_environment(tmp_path_factory.mktemp("project"))
    return environment.model_copy(update={"connectors": tuple(CONNECTORS)})


@pytest.fixture(scope="session")
def spark(disk: Environment) -> Iterator[SparkSession]:
    """One Spark for all tests: local[2], two shuffle partitions, no server."""
    session = open_session(disk, app_name="tests")
    yield session
    session.stop()


@pytest.fixture
def environment(disk: Environment, request: pytest.FixtureRequest) -> Environment:
    """``disk`` with a namespace of the test's own."""
    name = hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:12]
    return disk.model_copy(update={"namespace": f"t_{name}"})


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """Real S3, Redis and MLflow servers, on ports of their own."""
    yield from running_stack(tmp_path_factory.mktemp("stack"))

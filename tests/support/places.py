"""Where tests keep what they write, and the environments that point there."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from feldspar.spec.environment import (
    Environment,
    MlflowSpec,
    RedisSpec,
    SparkSpec,
    StackSpec,
    StorageSpec,
    load_environment,
)
from feldspar.stack.lifecycle import down, up

REPOSITORY = Path(__file__).parents[2]

QUICK_JAVA = "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=512m -XX:+UseSerialGC"
"""Tests are short: the second compiler would cost more than it gives. Without it the JVM reserves
so little for code that Spark fills it within minutes."""
SMALL_SPARK = SparkSpec(
    master="local[2]",
    driver_memory="2g",
    conf={
        "spark.sql.shuffle.partitions": "2",
        "spark.default.parallelism": "2",
        "spark.driver.extraJavaOptions": QUICK_JAVA,
    },
)


@dataclass(frozen=True)
class LocalStack:
    """Servers of a project of their own: its root, its environment."""

    folder: Path
    environment: Environment


def silent(_: str) -> None:
    """Progress that nobody reads."""


def disk_environment(folder: Path) -> Environment:
    """An environment whose lake is a folder, with no server behind it."""
    return Environment(
        name="disk",
        folder=folder,
        namespace="tests",
        clock="data",
        storage=StorageSpec(root=str(folder / "lake")),
        redis=RedisSpec(url="redis://127.0.0.1:1/0"),
        mlflow=MlflowSpec(tracking_uri=f"sqlite:///{folder / 'mlflow.db'}"),
        spark=SMALL_SPARK,
    )


def new_project(folder: Path) -> Path:
    """A project root with the environments of this repository; returns its conf folder."""
    conf = folder / "conf"
    shutil.copytree(REPOSITORY / "conf" / "environments", conf / "environments")
    return conf


def running_stack(folder: Path) -> Iterator[LocalStack]:
    """Servers on free ports with data under ``folder``, stopped at the end."""
    conf = new_project(folder)
    try:
        up(folder, StackSpec(), progress=silent)
        environment = load_environment(conf, "local", {})
        yield LocalStack(folder, environment.model_copy(update={"spark": SMALL_SPARK}))
    finally:
        down(folder, progress=silent)

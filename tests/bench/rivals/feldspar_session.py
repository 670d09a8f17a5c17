"""Feldspar's own session, with the cores and the memory that every Spark here gets."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pyspark.sql import SparkSession

from bench.inputs import Inputs
from bench.rivals.spark_engine import SparkEngine, spark_conf
from feldspar.compute.answers import Answers
from feldspar.run.session import open_session
from feldspar.spec.environment import SparkSpec, StorageSpec
from feldspar.stores.parts import write_folder
from support.places import disk_environment

Data = TypeVar("Data", bound=Inputs)


class FeldsparEngine(SparkEngine[Data]):
    """A session as ``feldspar apply`` opens it, on a lake that is a folder."""

    def open(self) -> SparkSession:
        own = self.settings
        spec = SparkSpec(
            master=f"local[{own.cores}]", driver_memory=own.memory, conf=spark_conf(own)
        )
        environment = disk_environment(Path(own.folder)).model_copy(update={"spark": spec})
        return open_session(environment, app_name="bench")


def write_answers(answers: Answers, out: Path) -> None:
    """Writes a folder as ``feldspar training-set --out`` does."""
    write_folder(answers, str(out), storage=StorageSpec(root=str(out.parent)))

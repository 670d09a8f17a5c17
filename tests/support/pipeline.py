"""Drives the stages that need storage alone (no Redis, no MLflow), step by step of a real plan."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession

from feldspar.features.gold import build_view
from feldspar.graph.compile import compile_graph
from feldspar.graph.graph import Graph
from feldspar.graph.observed import WaitingFile
from feldspar.graph.plan import plan
from feldspar.graph.steps import (
    FeaturesStep,
    HistoryStep,
    IngestStep,
    Plan,
    QualityStep,
    RefineStep,
    Step,
)
from feldspar.monitor.quality import check_table
from feldspar.refine.history import keep_history
from feldspar.refine.table import refine_table
from feldspar.run.care import care_for
from feldspar.run.loads import Loader
from feldspar.spec.environment import Environment
from feldspar.spec.loading import load_definitions
from feldspar.spec.source import FilesSource
from feldspar.stores import deployed
from feldspar.stores.tables import arrow, log
from feldspar.stores.tables.lake import Lake
from feldspar.stores.tables.spark import SparkTables
from support.places import REPOSITORY, silent
from support.small_project import write_project

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
PASSWORDS = {"SHOP_PASSWORD": "a word, and = another"}
"""Variables that definitions of tests may name."""
TO_GOLD = ("ingest", "refine", "features")
HEADER = "transaction_id,tx_datetime,customer_id,terminal_id,amount,is_fraud\n"


@dataclass(frozen=True)
class Pipeline:
    """A project, its lake, and the stages over it."""

    graph: Graph
    environment: Environment
    tables: SparkTables

    @property
    def lake(self) -> Lake:
        return self.tables.lake

    @property
    def inbox(self) -> Path:
        """Where the small project's source looks for files."""
        return self.environment.folder / "data" / "payments"

    def plan(self, *, accept: bool = False) -> Plan:
        return plan(self.graph, deployed.observe_lake(self.graph, self.environment), accept=accept)

    def run(self, *verbs: str, accept: bool = False) -> dict[str, Any]:
        """Carries out the steps of these kinds that are to run; results by name of step."""
        found = self.plan(accept=accept)
        return {step.name: self.carry_out(step) for step in found.to_run if step.verb in verbs}

    def carry_out(self, step: Step) -> Any:
        result = self._carried_out(step)
        care_for(step, self.graph, self.tables, progress=silent)
        return result

    def _carried_out(self, step: Step) -> Any:
        match step:
            case IngestStep():
                loader = Loader(self.environment, self.tables, NOW, silent)
                result, _ = loader.load(step, self.graph.sources[step.source])
                return result
            case RefineStep():
                table = self.graph.table(step.table)
                return refine_table(step, table, tables=self.tables, now=NOW, progress=silent)
            case HistoryStep():
                table = self.graph.table(step.table)
                return keep_history(step, table, tables=self.tables, progress=silent)
            case FeaturesStep():
                view = self.graph.view(step.view)
                table = self.graph.table(view.table)
                return build_view(step, view, table, tables=self.tables, progress=silent)
            case QualityStep():
                return check_table(
                    step,
                    self.graph,
                    tables=self.tables,
                    folder=self.environment.folder / "quality",
                    now=NOW,
                    progress=silent,
                )
        raise TypeError(step)

    def put(self, name: str, *lines: str, header: str = HEADER) -> Path:
        """A CSV file in the inbox."""
        path = self.inbox / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(header + "".join(f"{line}\n" for line in lines), encoding="utf-8")
        return path

    def rows(self, layer: str, name: str, *columns: str) -> list[tuple[Any, ...]]:
        """A table's rows as tuples, sorted by their text."""
        table = arrow.read(self.lake, layer, name, columns=columns)
        found = [tuple(row[column] for column in columns) for row in table.to_pylist()]
        return sorted(found, key=str)

    def version(self, layer: str, name: str) -> int:
        return log.open_table(self.lake, layer, name).version()

    def with_files(self, files: Mapping[str, str]) -> Pipeline:
        """The same lake under changed definitions."""
        return replace(self, graph=_graph(self.environment.folder, files))

    def waiting(self, source: str = "payments") -> tuple[WaitingFile, ...]:
        """Files that no load has taken."""
        spec = self.graph.sources[source]
        assert isinstance(spec, FilesSource)
        files, _ = deployed.waiting_files(source, spec, environment=self.environment)
        return files


def open_pipeline(
    spark: SparkSession,
    disk: Environment,
    folder: Path,
    files: Mapping[str, str] | None = None,
    *,
    without: Collection[str] = (),
) -> Pipeline:
    """The small project below ``folder``, with a namespace of its own in the tests' lake.

    Args:
        spark: the session.
        disk: its environment.
        folder: an empty one.
        files: files in place of, or beside, those of the small project.
        without: files of the small project that are left out.
    """
    pipeline = _pipeline(spark, disk, folder, _graph(folder, files or {}, without))
    pipeline.inbox.mkdir(parents=True)
    return pipeline


def open_project_pipeline(
    spark: SparkSession, disk: Environment, folder: Path, variables: Mapping[str, str]
) -> Pipeline:
    """This repository's own definitions, read with these variables, over a lake of their own."""
    graph = compile_graph(load_definitions(REPOSITORY / "conf", variables))
    return _pipeline(spark, disk, folder, graph)


def _pipeline(spark: SparkSession, disk: Environment, folder: Path, graph: Graph) -> Pipeline:
    name = hashlib.sha256(str(folder).encode()).hexdigest()[:12]
    environment = disk.model_copy(update={"namespace": f"t_{name}", "folder": folder})
    return Pipeline(graph, environment, SparkTables(spark, Lake.of(environment)))


def _graph(folder: Path, files: Mapping[str, str], without: Collection[str] = ()) -> Graph:
    conf = write_project(folder, dict(files))
    for name in without:
        (conf / name).unlink()
    return compile_graph(load_definitions(conf, PASSWORDS))

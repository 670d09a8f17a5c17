"""Everything a Spark process works with, opened once: graph, session, tables, stores, clock."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from feldspar.graph.compile import compile_graph
from feldspar.graph.graph import Graph
from feldspar.run.care import AtOnce, Care
from feldspar.run.running import Running
from feldspar.run.session import open_session
from feldspar.spec.environment import Environment, load_environment
from feldspar.spec.loading import load_definitions
from feldspar.stores import deployed
from feldspar.stores.experiments import Experiments
from feldspar.stores.online import OnlineStore
from feldspar.stores.tables.lake import Lake
from feldspar.stores.tables.runs import take_epoch
from feldspar.stores.tables.spark import SparkTables
from feldspar.times import utc_now

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Workplace:
    """What stages are handed; ``say`` takes one line of progress, ``running`` knows the steps,
    ``care`` when small files are merged.
    """

    graph: Graph
    environment: Environment
    tables: SparkTables
    store: OnlineStore
    experiments: Experiments
    say: Progress
    running: Running = field(default_factory=Running)
    care: Care = field(default_factory=AtOnce)

    @property
    def log(self) -> Path:
        """Spark's own log."""
        return self.environment.state_folder / "logs" / "spark.log"

    def in_epoch(self, *, verb: str) -> Workplace:
        """The same for a run that writes: runs before it find that they may no longer.

        Raises:
            StoreError: the run could not be entered in ops.runs.
        """
        epoch = take_epoch(self.tables.lake, verb=verb, now=utc_now())
        return replace(self, tables=replace(self.tables, epoch=epoch))

    def clock(self) -> int:
        """Now in microseconds; with a data clock and no data yet, the epoch."""
        return deployed.clock(self.graph, self.environment) or 0


def open_workplace(conf: Path, env: str, *, app_name: str, say: Progress) -> Workplace:
    """Reads the project, probes its servers and opens the Spark session.

    Raises:
        DefinitionError: conf/ is wrong.
        UnreachableError: a server does not answer.
    """
    graph = compile_graph(load_definitions(conf, os.environ))
    environment = load_environment(conf, env, os.environ)
    store = OnlineStore.of(environment)
    experiments = Experiments.of(environment)
    experiments.probe()
    # generators and hooks may live beside the project
    sys.path.insert(0, str(environment.folder / "lib"))
    say(f"starting Spark for {environment.name}, namespace {environment.namespace}")
    session = open_session(environment, app_name=app_name)
    tables = SparkTables(session, Lake.of(environment))
    return Workplace(graph, environment, tables, store, experiments, say)

"""A small project whose whole plan is run by real spark-submit processes that can be killed."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from feldspar.graph.compile import compile_graph
from feldspar.graph.graph import Graph
from feldspar.graph.view import PlainView
from feldspar.launch.submit import submit_command, submit_variables
from feldspar.spec.environment import Environment, load_environment
from feldspar.spec.loading import load_definitions
from feldspar.stores.events import unpack_events
from feldspar.stores.online import OnlineStore
from feldspar.stores.rows import layout_of, unpack_rows
from feldspar.stores.tables import arrow
from feldspar.stores.tables.lake import Lake
from support.places import QUICK_JAVA, REPOSITORY
from support.small_project import write_project

ENVIRONMENT = """\
namespace: killed
clock: data
storage: {{root: lake}}
redis: {{url: "{redis}"}}
mlflow: {{tracking_uri: "sqlite:///{folder}/mlflow.db"}}
spark:
  master: local[2]
  driver_memory: 1g
  conf:
    spark.sql.shuffle.partitions: "2"
    spark.driver.extraJavaOptions: {java}
"""
NOT_COMPARED = {"_ingested_at", "_batch", "recorded_at", "finished_at", "checked_at", "modified"}
START = datetime(2018, 4, 1, tzinfo=UTC)
POLL_SECONDS = 0.002
MOST_SECONDS = 300
DUMP_SECONDS = 10
LOG_CHARACTERS = 20_000


def write_payments(file: Path, *, first: int, rows: int) -> None:
    """A CSV of payments with some copies, some corrections and some broken lines."""
    draw = random.Random(first)
    lines = ["transaction_id,tx_datetime,customer_id,terminal_id,amount,is_fraud"]
    for number in range(first, first + rows):
        when = START + timedelta(minutes=7 * number)
        amount = "abc" if number % 53 == 0 else f"{draw.uniform(1, 500):.2f}"
        line = f"{number},{when:%Y-%m-%dT%H:%M:%SZ},{number % 17},{number % 5},{amount},0"
        lines += [line] * (2 if number % 41 == 0 else 1)
        if number % 67 == 0:
            lines.append(f"{number},{when:%Y-%m-%dT%H:%M:%SZ},{number % 17},{number % 5},7.5,0")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")


@dataclass(frozen=True)
class Project:
    """A project folder with a lake of its own and a server for Redis."""

    folder: Path
    redis: str

    @staticmethod
    def make(folder: Path, redis: str) -> Project:
        """Writes definitions, jobs and one file of payments; there is no model to train."""
        conf = write_project(folder)
        shutil.rmtree(conf / "models")
        (conf / "environments").mkdir()
        text = ENVIRONMENT.format(redis=redis, folder=folder, java=QUICK_JAVA)
        (conf / "environments" / "disk.yaml").write_text(text, encoding="utf-8")
        shutil.copytree(REPOSITORY / "jobs", folder / "jobs")
        write_payments(folder / "data" / "payments" / "first.csv", first=0, rows=600)
        return Project(folder, redis)

    @property
    def environment(self) -> Environment:
        """conf/environments/disk.yaml."""
        return load_environment(self.folder / "conf", "disk", {})

    @property
    def graph(self) -> Graph:
        """The compiled definitions."""
        return compile_graph(load_definitions(self.folder / "conf", {}))

    def table(self, layer: str, name: str) -> Path:
        """The folder of a table."""
        return self.folder / "lake" / "killed" / layer / name

    def log(self, layer: str, name: str) -> list[Path]:
        """The commits of a table."""
        return list((self.table(layer, name) / "_delta_log").glob("*.json"))

    def commits(self, layer: str, name: str) -> int:
        """How many versions a table has."""
        return len(self.log(layer, name))

    def data_files(self, layer: str, name: str) -> int:
        """How many files of rows lie in a table's folder, committed or not."""
        return len(list(self.table(layer, name).glob("*.parquet")))

    def start(self) -> subprocess.Popen[bytes]:
        """``jobs/apply.py`` by spark-submit, leading a process group of its own."""
        command = submit_command(
            self.environment,
            self.folder / "jobs" / "apply.py",
            ["--conf", str(self.folder / "conf"), "--env", "disk"],
            variables=dict(os.environ),
        )
        with (self.folder / "apply.log").open("ab") as log:
            return subprocess.Popen(
                command,
                env=submit_variables(self.environment, os.environ),
                stdout=log,
                stderr=log,
                process_group=0,
                cwd=self.folder,
            )

    def apply(self) -> None:
        """Runs the plan to its end."""
        process = self.start()
        try:
            assert process.wait(MOST_SECONDS) == 0, self._log_end()
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGQUIT)
            # the JVM goes on after it has written what its threads do: time to write, no more
            with suppress(subprocess.TimeoutExpired):
                process.wait(DUMP_SECONDS)
            _kill(process)
            pytest.fail(f"the run does not end\n{self._log_end()}")

    def _log_end(self) -> str:
        return (self.folder / "apply.log").read_text(encoding="utf-8")[-LOG_CHARACTERS:]

    def kill_when(self, reached: Callable[[], bool]) -> None:
        """Runs the plan and kills every process of it, -9, as soon as ``reached`` is true.

        The group is stopped first: the state that was seen is the state that is left.
        """
        process = self.start()
        until = time.monotonic() + MOST_SECONDS
        pause = threading.Event()
        try:
            while not reached():
                assert process.poll() is None, "the run ended before it reached the point"
                assert time.monotonic() < until, "the run never reached the point"
                pause.wait(POLL_SECONDS)
            os.killpg(process.pid, signal.SIGSTOP)
            assert reached(), "the point was passed before the processes stopped"
        finally:
            _kill(process)

    def contents(self) -> dict[str, list[dict[str, Any]]]:
        """Rows of every table, sorted; without the columns that say when and in which try."""
        lake = Lake.of(self.environment)
        found = {}
        for path in sorted((self.folder / "lake" / "killed").glob("*/*")):
            rows: pa.Table = arrow.read(lake, path.parent.name, path.name)
            kept = [name for name in rows.column_names if name not in NOT_COMPARED]
            dicts = [_plain(row, self.folder) for row in rows.select(kept).to_pylist()]
            found[f"{path.parent.name}.{path.name}"] = sorted(dicts, key=repr)
        return found

    def online(self) -> dict[str, Any]:
        """Every value in Redis, decoded; without batch numbers."""
        store = OnlineStore.of(self.environment)
        values: dict[str, Any] = {}
        for view in self.graph.views.values():
            layout = layout_of(view)
            unpack = unpack_rows if isinstance(view, PlainView) else unpack_events
            for customer in range(17):
                key = store.key(view.entity, [customer], view.name)
                (value,) = store.get([key])
                values[key] = None if value is None else unpack(layout, value)
        return values


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Ends a run and all processes of its group; those that have ended already are no matter."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(30)


def _plain(row: dict[str, Any], folder: Path) -> dict[str, Any]:
    return {key: str(value).replace(str(folder), "") for key, value in row.items()}

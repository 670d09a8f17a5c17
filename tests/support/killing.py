"""A small project whose whole plan is run by real spark-submit processes that can be killed."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow.fs import FileSelector

from feldspar.graph.compile import compile_graph
from feldspar.graph.graph import Graph
from feldspar.graph.observed import PushState
from feldspar.graph.plan import plan
from feldspar.graph.view import PlainView, View
from feldspar.launch.submit import submit_command, submit_variables
from feldspar.run.stream import STREAMED
from feldspar.spec.environment import Environment, StorageSpec, load_environment
from feldspar.spec.loading import load_definitions
from feldspar.stores import objects
from feldspar.stores.deployed import observe_data
from feldspar.stores.events import unpack_events
from feldspar.stores.online import OnlineStore, Patience
from feldspar.stores.rows import layout_of, unpack_rows
from feldspar.stores.tables import arrow
from feldspar.stores.tables.lake import Lake
from feldspar.stores.tables.log import FENCE
from support.places import QUICK_JAVA, REPOSITORY
from support.small_project import write_project

ENVIRONMENT = """\
namespace: killed
clock: data
storage: {storage}
redis: {{url: "{redis}"}}
mlflow: {{tracking_uri: "sqlite:///{folder}/mlflow.db"}}
spark:
  master: local[2]
  driver_memory: 1g
  conf:
    spark.sql.shuffle.partitions: "2"
    spark.driver.extraJavaOptions: {java}
"""
# versions of a source count the marks of runs too, and columns that say when and in which try
NOT_COMPARED = {
    "after_version",
    "upto_version",
    "_ingested_at",
    "_batch",
    "recorded_at",
    "finished_at",
    "checked_at",
    "modified",
}
CUSTOMERS = 17
START = datetime(2018, 4, 1, tzinfo=UTC)
POLL_SECONDS = 0.002
MOST_SECONDS = 600
DUMP_SECONDS = 10
LOG_CHARACTERS = 20_000


def write_payments(file: Path, *, first: int, rows: int) -> None:
    """A CSV of payments with some copies, some corrections and some broken lines."""
    draw = random.Random(first)
    lines = ["transaction_id,tx_datetime,customer_id,terminal_id,amount,is_fraud"]
    for number in range(first, first + rows):
        when = START + timedelta(minutes=7 * number)
        amount = "abc" if number % 53 == 0 else f"{draw.uniform(1, 500):.2f}"
        line = f"{number},{when:%Y-%m-%dT%H:%M:%SZ},{number % CUSTOMERS},{number % 5},{amount},0"
        lines += [line] * (2 if number % 41 == 0 else 1)
        if number % 67 == 0:
            lines.append(
                f"{number},{when:%Y-%m-%dT%H:%M:%SZ},{number % CUSTOMERS},{number % 5},7.5,0"
            )
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")


ON_S3 = (
    "{{root: '{root}', endpoint: '{endpoint}', access_key: '${{KEY}}', secret_key: '${{WORD}}'}}"
)


@dataclass(frozen=True)
class Project:
    """A project folder with a lake of its own and a server for Redis.

    ``variables``: what its processes are given beside this one's. ``seen_at``: where the test
    looks at the lake, if not where the processes do.
    """

    folder: Path
    redis: str
    variables: Mapping[str, str] = field(default_factory=dict)
    seen_at: str | None = None

    @staticmethod
    def make(
        folder: Path,
        redis: str,
        s3: StorageSpec | None = None,
        *,
        through: str | None = None,
        files: Mapping[str, str] | None = None,
    ) -> Project:
        """Writes definitions and jobs; there is no model to train, and no file of payments.

        Args:
            folder: an empty one.
            redis: URL of a server of its own.
            s3: where its lake is to be; None: in the folder.
            through: the endpoint by which its processes, not the test, get there.
            files: definitions in place of those of the small project.
        """
        conf = write_project(folder, dict(files or {}))
        shutil.rmtree(conf / "models")
        (conf / "environments").mkdir()
        storage, variables = "{root: lake}", dict[str, str]()
        if s3 is not None:
            endpoint = through or s3.endpoint
            storage = ON_S3.format(root=f"{s3.root}/{folder.name}", endpoint=endpoint)
            variables = {"KEY": s3.access_key or "", "WORD": s3.secret_key or ""}
        text = ENVIRONMENT.format(redis=redis, folder=folder, java=QUICK_JAVA, storage=storage)
        (conf / "environments" / "disk.yaml").write_text(text, encoding="utf-8")
        shutil.copytree(REPOSITORY / "jobs", folder / "jobs")
        return Project(folder, redis, variables, s3.endpoint if s3 else None)

    @cached_property
    def given(self) -> Environment:
        """conf/environments/disk.yaml, as its processes read it."""
        return load_environment(self.folder / "conf", "disk", self.variables)

    @cached_property
    def environment(self) -> Environment:
        """The same as the test sees it."""
        storage = self.given.storage.model_copy(update={"endpoint": self.seen_at})
        return self.given.model_copy(update={"storage": storage})

    @property
    def lake(self) -> Lake:
        """Its tables."""
        return Lake.of(self.environment)

    @property
    def graph(self) -> Graph:
        """The compiled definitions."""
        return compile_graph(load_definitions(self.folder / "conf", {}))

    def commits(self, layer: str, name: str) -> list[str]:
        """The texts of a table's commits, but for those that only shut out earlier runs."""
        texts = [self._text(uri) for uri in self._log(layer, name)]
        return [text for text in texts if FENCE not in text]

    def data_files(self, layer: str, name: str) -> int:
        """How many files of rows lie in a table's folder, committed or not."""
        uri = self.lake.uri(layer, name)
        filesystem, path = objects.filesystem(self.environment.storage, uri)
        below = FileSelector(path, allow_not_found=True, recursive=True)
        found = [one.path for one in filesystem.get_file_info(below)]
        return sum(one.endswith(".parquet") and "_delta_log" not in one for one in found)

    def _log(self, layer: str, name: str) -> list[str]:
        uri = f"{self.lake.uri(layer, name)}/_delta_log"
        filesystem, path = objects.filesystem(self.environment.storage, uri)
        found = filesystem.get_file_info(FileSelector(path, allow_not_found=True))
        return sorted(f"{uri}/{one.base_name}" for one in found if one.extension == "json")

    def _text(self, uri: str) -> str:
        # a commit never changes: S3 is asked once
        if uri not in self._texts:
            self._texts[uri] = objects.read_bytes(uri, storage=self.environment.storage).decode()
        return self._texts[uri]

    @cached_property
    def _texts(self) -> dict[str, str]:
        return {}

    def start(self, job: str = "apply", *words: str) -> subprocess.Popen[bytes]:
        """A job by spark-submit, leading a process group of its own."""
        return self.launch(
            submit_command(
                self.given,
                self.folder / "jobs" / f"{job}.py",
                [*words, "--conf", str(self.folder / "conf"), "--env", "disk"],
                variables=self._variables,
            )
        )

    def launch(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        """A command in the project's folder, with all that a job is given."""
        with (self.folder / "run.log").open("ab") as log:
            return subprocess.Popen(
                command,
                env=submit_variables(self.given, self._variables),
                stdout=log,
                stderr=log,
                process_group=0,
                cwd=self.folder,
            )

    @property
    def _variables(self) -> dict[str, str]:
        return {**os.environ, **self.variables}

    def apply(self) -> None:
        """Runs the plan to its end."""
        assert self.code_of(self.start()) == 0, self.log_end()

    def code_of(self, process: subprocess.Popen[bytes]) -> int:
        """The exit code of a run that is let go on to its end."""
        try:
            return process.wait(MOST_SECONDS)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGQUIT)
            # the JVM goes on after it has written what its threads do: time to write, no more
            with suppress(subprocess.TimeoutExpired):
                process.wait(DUMP_SECONDS)
            _kill(process)
            pytest.fail(f"the run does not end\n{self.log_end()}")

    def log_end(self) -> str:
        """The last words of its runs."""
        return (self.folder / "run.log").read_text(encoding="utf-8")[-LOG_CHARACTERS:]

    def killed_at(self, reached: Callable[[], bool], process: subprocess.Popen[bytes]) -> bool:
        """Kills every process of a run, -9, at a point; False where the run came to its end, the
        point being too short to be seen.
        """
        try:
            while process.poll() is None:
                if reached():
                    os.killpg(process.pid, signal.SIGSTOP)
                    # the state that was seen must be the state that is left
                    if reached():
                        return True
                    os.killpg(process.pid, signal.SIGCONT)
                threading.Event().wait(POLL_SECONDS)
            assert process.returncode == 0, self.log_end()
            return False
        finally:
            _kill(process)

    @contextmanager
    def streaming(self, *words: str) -> Iterator[subprocess.Popen[bytes]]:
        """``jobs/stream.py`` beside the caller; killed at the end."""
        process = self.start("stream", "--every", "1s", *words)
        try:
            yield process
        finally:
            _kill(process)

    def nothing_waits(self) -> bool:
        """Whether a stream has brought everything to its end."""
        store = OnlineStore.of(self.environment)
        observed = observe_data(self.graph, self.environment, store=store)
        return not plan(self.graph, observed).of(*STREAMED).to_run

    def wait_for(self, reached: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
        """Waits for a state that a run is to come to."""
        until = time.monotonic() + MOST_SECONDS
        pause = threading.Event()
        while not reached():
            ended = process.poll() is not None
            assert not ended or reached(), f"the run ended before that\n{self.log_end()}"
            assert time.monotonic() < until, f"the run never came to that\n{self.log_end()}"
            pause.wait(POLL_SECONDS)

    def raw_contents(self) -> dict[str, list[dict[str, Any]]]:
        """Rows of every table as they are."""
        return {
            f"{layer}.{name}": arrow.read(self.lake, layer, name).to_pylist()
            for layer, name in self._tables()
        }

    def contents(self) -> dict[str, list[dict[str, Any]]]:
        """Rows of every table, sorted; without the columns that say when and in which try."""
        found = {}
        for layer, name in self._tables():
            rows: pa.Table = arrow.read(self.lake, layer, name)
            kept = [name for name in rows.column_names if name not in NOT_COMPARED]
            dicts = [_plain(row, self.folder) for row in rows.select(kept).to_pylist()]
            found[f"{layer}.{name}"] = sorted(dicts, key=repr)
        return found

    def _tables(self) -> list[tuple[str, str]]:
        graph = self.graph
        wanted = {
            "bronze": graph.sources,
            "silver": graph.tables,
            "quarantine": graph.tables,
            "gold": graph.views,
            "ops": ("files", "ledger", "runs", "validations"),
        }
        tables = [(layer, name) for layer, names in wanted.items() for name in names]
        return [one for one in tables if self.commits(*one)]

    def pushed(self, view: str) -> PushState | None:
        """How far a view has come in Redis."""
        with OnlineStore.of(self.environment) as store:
            return store.pushed({view: self.graph.view(view)}).get(view)

    def online(self) -> dict[str, Any]:
        """Every value in Redis, decoded; without batch numbers."""
        store = OnlineStore.of(self.environment)
        return {
            store.key(view.entity, [customer], view.online_name): self._value(store, view, customer)
            for view in self.graph.views.values()
            for customer in range(CUSTOMERS)
        }

    def online_values(self, view: str) -> dict[int, Any]:
        """What Redis has of a view, decoded, by customer."""
        with OnlineStore.of(self.environment) as store:
            found = {
                customer: self._value(store, self.graph.view(view), customer)
                for customer in range(CUSTOMERS)
            }
        return {customer: one for customer, one in found.items() if one is not None}

    def online_value(self, view: str, customer: int) -> Any:
        """What Redis has of a view and a customer, decoded."""
        with OnlineStore.of(self.environment) as given:
            settings = given.settings
        with OnlineStore(settings, Patience.JOB) as store:
            return self._value(store, self.graph.view(view), customer)

    def _value(self, store: OnlineStore, view: View, customer: int) -> Any:
        (value,) = store.get([store.key(view.entity, [customer], view.online_name)])
        unpack = unpack_rows if isinstance(view, PlainView) else unpack_events
        return None if value is None else unpack(layout_of(view), value)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Ends a run and all processes of its group; those that have ended already are no matter."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(30)


def _plain(row: dict[str, Any], folder: Path) -> dict[str, Any]:
    return {key: str(value).replace(str(folder), "") for key, value in row.items()}

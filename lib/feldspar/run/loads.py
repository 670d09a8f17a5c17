"""Carries out a load: hands the step to the part of ``ingest`` that reads its kind of source."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from feldspar.errors import FeldsparError, InputError, OvertakenError, StoreError
from feldspar.graph.planning.relations import next_range
from feldspar.graph.planning.topics import next_load
from feldspar.graph.steps import IngestStep, Status
from feldspar.ingest.files import ingest_files
from feldspar.ingest.pages import pull_pages
from feldspar.ingest.relations import ingest_relation
from feldspar.ingest.result import IngestResult
from feldspar.ingest.topics import ingest_topic
from feldspar.spec.environment import Environment
from feldspar.spec.source import AnySource, FilesSource, HttpSource, JdbcSource, KafkaSource
from feldspar.stores import deployed
from feldspar.stores.http import open_server
from feldspar.stores.tables.spark import SparkTables

Outcome = tuple[IngestResult | None, str]
"""What a load did; or None, and why it did nothing."""


@dataclass(frozen=True)
class Loader:
    """Where loads go, and who is told."""

    environment: Environment
    tables: SparkTables
    now: datetime
    progress: Callable[[str], None]

    def load(self, step: IngestStep, source: AnySource) -> Outcome:
        """Carries out one step. One that names nothing comes after a step of the same run, and
        takes what waits now.

        Raises:
            FeldsparError: the source has no bronze, or the load failed.
        """
        match source:
            case FilesSource():
                return self._files(step, source)
            case KafkaSource():
                return self._messages(step, source)
            case JdbcSource():
                return self._rows(step, source)
            case HttpSource():
                return self._pages(step, source)
            case _:
                raise FeldsparError(f"{step.source} is {type(source).__name__}: it has no bronze")

    def _files(self, step: IngestStep, source: FilesSource) -> Outcome:
        if not step.files and not step.resume:
            files, _ = deployed.waiting_files(step.source, source, environment=self.environment)
            if not files:
                return None, "no files were made"
            step = replace(step, files=files)
        return self._taken(step), ""

    def _messages(self, step: IngestStep, source: KafkaSource) -> Outcome:
        if step.messages is None and not step.resume:
            topic = deployed.topic_state(step.source, source, environment=self.environment)
            found = next_load(topic, source, accept=False)
            if found.status is not Status.RUN:
                return None, found.reason
            step = replace(step, messages=found.messages)
        return ingest_topic(step, source, self.tables, now=self.now, progress=self.progress), ""

    def _rows(self, step: IngestStep, source: JdbcSource) -> Outcome:
        if step.range is None and not step.resume:
            state = deployed.relation_state(step.source, source, environment=self.environment)
            found = next_range(state, source, accept=False)
            if found.status is not Status.RUN:
                return None, found.reason
            step = replace(step, range=found.range)
        return ingest_relation(step, source, self.tables, now=self.now, progress=self.progress), ""

    def _pages(self, step: IngestStep, source: HttpSource) -> Outcome:
        if step.resume:
            return self._taken(step), ""
        problem = self._pulled(step, source) if step.asking else None
        # pages that came before the server failed are there, and are not asked for again
        files = deployed.pages_state(step.source, self.tables.lake).waiting
        result = self._taken(replace(step, files=files)) if files else None
        if problem is not None:
            raise problem
        return result, "" if files else "no new items"

    def _pulled(self, step: IngestStep, source: HttpSource) -> FeldsparError | None:
        """What ended the requests before their time."""
        try:
            with open_server(source, step.source) as server:
                pull_pages(
                    step,
                    server,
                    self.tables.lake,
                    epoch=self.tables.epoch,
                    now=self.now,
                    progress=self.progress,
                )
        except OvertakenError:
            raise
        except (StoreError, InputError) as error:
            return error
        return None

    def _taken(self, step: IngestStep) -> IngestResult:
        return ingest_files(step, self.tables, now=self.now, progress=self.progress)

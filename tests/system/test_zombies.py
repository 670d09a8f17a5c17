"""Drivers that were stopped, and go on after another one took over and finished, publish nothing.

``ZOMBIES=20 SERVERS=weed,minio`` stops one twenty times at each point, on both S3 servers; what
came of it is under out/zombies. A zombie that was told takes a new epoch and is the next victim;
the last one is a stream, and its process ends. Seeds after each other go through all that a point
may be: ``SEED=1``, 2, 3, 4 with ``ZOMBIES=5`` are the twenty times in parts.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import pytest

from feldspar.spec.environment import StorageSpec
from support.faults.deliveries import Delivery, deliveries
from support.faults.oracle import expected
from support.faults.seeded import DEFINITIONS, online_differs, tables_differ
from support.killing import Project
from support.places import REPOSITORY
from support.relay import Relay, relay
from support.s3_faults import FaultyS3, faulty_s3
from support.valkey import valkey
from support.zombies import COMMITTED, POINTS, Driver, Held, before_redis, driver

pytestmark = pytest.mark.stack
OUT = REPOSITORY / "out" / "zombies"
SEED = int(os.environ.get("SEED", "1"))
TIMES = int(os.environ.get("ZOMBIES", "1"))
CASES = [(point, (SEED - 1) * TIMES + time) for time in range(TIMES) for point in POINTS]
ROWS = 60
TOLD = re.compile(
    "a later run has taken over|another run has meanwhile come|another push ended while this one"
)
TABLES = (*COMMITTED, "ops/schemas")
VIEWS = ("last_payment", "customer_spend")
ENVIRONMENT, DIRECT = "disk", "direct"


@dataclass(frozen=True)
class Ended:
    """What came of a zombie: what it said, its exit code, and what had changed when it ended."""

    point: str
    time: int
    said: str
    code: int
    published: tuple[str, ...]


@dataclass(frozen=True)
class Scene:
    """A project with two drivers; what the first one sends goes through gates."""

    project: Project
    zombie: Driver
    other: Driver
    s3: FaultyS3
    redis: Relay
    feed: Iterator[Delivery]
    sent: list[Delivery] = field(default_factory=list)

    def deliver(self) -> None:
        """The next file comes."""
        one = next(self.feed)
        inbox = self.project.folder / "data" / "payments"
        inbox.mkdir(parents=True, exist_ok=True)
        (inbox / one.name).write_text(one.text, encoding="utf-8")
        self.sent.append(one)

    def finish(self) -> None:
        """The other driver takes over and carries out all that waits."""
        steps = 1
        while steps:
            self.other.tell("round")
            answer = self.other.answer()
            assert "steps" in answer, f"{answer}\n{self.other.said()}"
            steps = answer["steps"]

    def state(self) -> dict[str, Any]:
        """Commits of each table, fences aside, and what Redis has of each view."""
        commits = {table: self.project.commits(*table.split("/")) for table in TABLES}
        redis = {
            view: (self.project.pushed(view), self.project.online_values(view)) for view in VIEWS
        }
        return {**commits, **redis}

    def differences(self) -> list[str]:
        """What tables and Redis have otherwise than the oracle."""
        wanted = expected(self.sent)
        return [
            *tables_differ(self.project, wanted),
            *online_differs(self.project, wanted),
        ]


@pytest.fixture(scope="module")
def scene(s3: StorageSpec, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with ExitStack() as running:
        server = running.enter_context(valkey(tmp_path_factory.mktemp("valkey")))
        name = running.enter_context(relay(server.port))
        proxy = running.enter_context(faulty_s3(str(s3.endpoint)))
        folder = tmp_path_factory.mktemp("zombies")
        project = Project.make(folder, name.url, s3, through=proxy.endpoint, files=DEFINITIONS)
        _add_direct(project, {proxy.endpoint: str(s3.endpoint), name.url: server.url})
        zombie, other = (
            running.enter_context(driver(project, one)) for one in (ENVIRONMENT, DIRECT)
        )
        assert all("ready" in one.answer() for one in (zombie, other))
        feed = iter(deliveries(Random(SEED), files=2 * len(CASES) + 1, rows=ROWS))
        yield Scene(project, zombie, other, proxy, name, feed)


def _add_direct(project: Project, places: dict[str, str]) -> None:
    """An environment that differs in the way to the same servers."""
    given = project.folder / "conf" / "environments" / f"{ENVIRONMENT}.yaml"
    text = given.read_text(encoding="utf-8")
    for through, place in places.items():
        text = text.replace(through, place)
    given.with_stem(DIRECT).write_text(text, encoding="utf-8")


@pytest.fixture(scope="module")
def ended(scene: Scene, s3_server: str) -> list[Ended]:
    scene.deliver()
    scene.finish()
    found = list[Ended]()
    for point, time in CASES:
        found.append(_stopped(scene, point, time))
        _report(OUT / f"{s3_server}-{SEED}.json", found)
    return found


def _stopped(scene: Scene, point: str, time: int) -> Ended:
    """A driver that is stopped at a point and goes on when the other one has finished."""
    scene.deliver()
    held = Held(POINTS[point](time))
    with held.over(scene.s3, scene.redis):
        scene.zombie.tell("stream" if (point, time) == CASES[-1] else "round")
        scene.zombie.wait_for(held)
        scene.zombie.stop()
        if point == before_redis.__name__:
            # more is in Redis then than the zombie has to bring
            scene.deliver()
        scene.finish()
        before = scene.state()
        scene.zombie.let_go()
    answer = scene.zombie.answer()
    after = scene.state()
    changed = [f"{one} was changed" for one in before if before[one] != after[one]]
    published = (*changed, *scene.differences())
    said = answer.get("error") or scene.zombie.said()
    return Ended(point, time, said, answer.get("code", 0), published)


def _report(path: Path, found: list[Ended]) -> None:
    """How often a zombie was stopped at each point, and how often it published."""
    points = {
        point: {
            "times": sum(one.point == point for one in found),
            "published": sum(one.point == point and bool(one.published) for one in found),
        }
        for point in POINTS
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"seed": SEED, "points": points}, indent=2), encoding="utf-8")


def test_no_zombie_publishes(ended: list[Ended]) -> None:
    assert [one for one in ended if one.published] == []


def test_every_zombie_is_told_that_it_was_overtaken(ended: list[Ended]) -> None:
    assert [one for one in ended if not TOLD.search(one.said)] == []


def test_a_zombie_ends_as_a_run_that_failed(ended: list[Ended]) -> None:
    assert [one.code for one in ended] == [1] * len(CASES)

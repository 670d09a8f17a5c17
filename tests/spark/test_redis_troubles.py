"""A serving process is asked all the time while Redis is killed, wiped, failed over and filled.

``ROUNDS=5`` goes on for so many rounds, from the second one on in an order that ``SEED`` draws;
what callers were answered in each phase is printed.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pandas as pd
import pytest
from pyspark.sql import SparkSession
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from feldspar.errors import StoreError
from feldspar.online.rebuild import rebuild
from feldspar.run.failures import told_clearly
from feldspar.spec.environment import Environment
from feldspar.stack.processes import ProcessId, is_alive
from feldspar.times import to_micros
from support.callers import CALM, Answer, Callers
from support.payments_served import CUSTOMERS, WITH_FALLBACK, ServedPayments
from support.redis_pair import Pair, redis_pair
from support.scoring import crown_champion, environment_with
from support.serving_process import running_process, served_project
from support.shop import NOON, Shop, opened_shop

ROUNDS = int(os.environ.get("ROUNDS", "1"))
SEED = int(os.environ.get("SEED", "6"))
CALLERS = 3


@dataclass
class Served:
    """A shop whose serving process is asked all the time, and its Redis."""

    folder: Path
    shop: Shop
    servers: Pair
    payments: ServedPayments
    callers: Callers
    process: ProcessId

    def load(self) -> None:
        """More payments into gold, which Redis does not have yet."""
        self.shop.load(*self.payments.more())
        self.payments.loaded(self.shop.tables)

    def push(self, progress: Callable[[str], None] | None = None) -> None:
        """``feldspar online push``."""
        found = self.shop.store.pushed(self.shop.graph.views).values()
        after = min((one.version for one in found), default=None)
        with told_clearly("online", log=self.folder):
            self.shop.push(after=after, progress=progress)

    def rebuild(self) -> None:
        """``feldspar online rebuild``."""
        shop = self.shop
        rebuild(
            shop.views,
            tables=shop.tables,
            store=shop.store,
            clock=to_micros(NOON),
            progress=shop.said.append,
        )

    def lost(self) -> set[str]:
        """Why a push would not go on from its cursors."""
        return {one.lost for one in self.shop.store.pushed(self.shop.graph.views).values()}


def _killed(served: Served) -> None:
    served.load()
    with served.callers.during("killed"):
        served.servers.kill()
        served.callers.reached(_is_degraded)
        served.servers.restart()
        served.callers.reached(served.payments.is_older)
        lost = served.lost()
        served.push()
        served.callers.reached(served.payments.is_newest)

    assert all("restarted or failed over since the last push" in one for one in lost)


def _wiped(served: Served) -> None:
    with served.callers.during("wiped"):
        served.servers.wipe()
        served.callers.reached(_is_degraded)
        served.rebuild()
        served.callers.reached(served.payments.is_newest)


def _failed_over(served: Served) -> None:
    """The last push was acknowledged, and the promoted replica never had it."""
    served.servers.cut()
    served.load()
    served.push()
    served.callers.reached(served.payments.is_newest)
    with served.callers.during("failed over"):
        served.servers.kill()
        served.callers.reached(_is_degraded)
        served.servers.promote()
        served.callers.reached(served.payments.is_older)
        served.push()
        served.callers.reached(served.payments.is_newest)
    served.servers.rejoin()


def _full(served: Served) -> None:
    served.load()
    filled: list[str] = []

    def fill(said: str) -> None:
        if not filled:
            served.servers.fill()
        filled.append(said)

    with served.callers.during("full"):
        with pytest.raises(StoreError, match=r"Redis at .* is full .*online push"):
            served.push(fill)
        served.callers.reached(served.payments.is_older)
        served.servers.make_room()
        served.push()
        served.callers.reached(served.payments.is_newest)


TROUBLES = {"killed": _killed, "wiped": _wiped, "failed over": _failed_over, "full": _full}
DEGRADES = {"killed", "wiped", "failed over"}


@pytest.fixture
def served(spark: SparkSession, environment: Environment, tmp_path: Path) -> Iterator[Served]:
    with redis_pair(tmp_path) as servers, _opened(spark, environment, servers, tmp_path) as opened:
        yield opened


@contextmanager
def _opened(
    spark: SparkSession, place: Environment, servers: Pair, folder: Path
) -> Iterator[Served]:
    with opened_shop(spark, place, servers.url, folder, WITH_FALLBACK) as shop:
        serving = environment_with(folder, servers.url, place.namespace)
        estimator = make_pipeline(SimpleImputer(), LogisticRegression(C=1e-4))
        crown_champion(shop.graph, serving, "fraud", estimator=estimator)

        def predict(row: pd.DataFrame) -> float:
            return float(estimator.predict_proba(row)[0, 1])

        payments = ServedPayments(shop.graph, predict, seed=SEED)
        variables = served_project(folder, place.namespace, servers.url)
        log = folder / "serving.log"
        with running_process(Path(sys.executable), variables, log=log) as running:
            url = str(running.client.base_url)
            callers = Callers(url, payments.calls(), size=CALLERS, seed=SEED)
            yield Served(folder, shop, servers, payments, callers, running.process)


def _is_degraded(answer: Answer) -> bool:
    return bool(answer["degraded"])


def _orders() -> Iterator[list[str]]:
    """The troubles of each round, in their order."""
    random, names = Random(SEED), list(TROUBLES)
    for _ in range(ROUNDS):
        yield list(names)
        random.shuffle(names)


def test_answers_go_on_and_come_right_again_whatever_befalls_redis(served: Served) -> None:
    served.load()
    served.push()
    callers, verified = served.callers, []
    with callers:
        callers.reached(served.payments.is_newest)
        for order in _orders():
            for trouble in order:
                TROUBLES[trouble](served)
            verified += served.shop.verify()

    sys.stdout.write(f"seed {SEED}, {ROUNDS} rounds: {dict(callers.answered)}\n")
    phases = {phase for phase, _ in callers.answered}
    degraded = {phase for phase, is_degraded in callers.answered if is_degraded}
    assert (callers.wrong, is_alive(served.process)) == ([], True)
    assert (phases, degraded) == ({CALM, *TROUBLES}, DEGRADES)
    assert len(verified) == ROUNDS * len(served.shop.views)
    assert {(one.entities, one.different) for one in verified} == {(len(CUSTOMERS), 0)}

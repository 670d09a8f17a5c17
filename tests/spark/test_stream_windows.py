"""Gold streamed into a real server in micro-batches: equal to gold after each of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from feldspar.graph.view import WindowedView
from feldspar.online.push import PushResult
from feldspar.online.stream import PushBatch, start_stream
from feldspar.spec.environment import Environment
from feldspar.stores.online import Cursor
from feldspar.times import to_micros
from support.shop import DAY, NOON, TILED, Payment, Shop, history, opened_shop
from support.valkey import Valkey, valkey

# a correction in time, one of the customer, one that is known late, and a version older than it
CORRECTED = (
    Payment(20, 6, 21.5, 43, known=0.3),
    Payment(1, 2, 7.5, 37, known=0.2),
    Payment(37, 2, 46.0, 0.1, known=-0.5),
    Payment(37, 2, 45.0, 69.1, known=0.6),
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    with valkey(tmp_path_factory.mktemp("valkey")) as running:
        yield running


@pytest.fixture
def shop(
    spark: SparkSession, environment: Environment, server: Valkey, tmp_path: Path
) -> Iterator[Shop]:
    """A shop of the test's own, with a view of events and one of tiles."""
    with opened_shop(spark, environment, server.url, tmp_path, TILED) as opened:
        yield opened


@dataclass
class Replay:
    """Streams of all windowed views of a shop, and what they did."""

    shop: Shop
    folder: Path
    now: list[int] = field(default_factory=lambda: [to_micros(NOON)])
    done: list[PushResult] = field(default_factory=list)

    @property
    def views(self) -> list[WindowedView]:
        return [view for view in self.shop.views if isinstance(view, WindowedView)]

    def run(self) -> None:
        """Streams what is there, and ends."""
        shop = self.shop
        for view in self.views:
            batch = PushBatch(
                view, shop.tables, shop.store, lambda: self.now[0], self.done.append, len
            )
            start_stream(batch, checkpoint=str(self.folder / view.name)).awaitTermination()

    def cursors(self) -> dict[str, Cursor]:
        return dict(self.shop.store.cursors([view.online_name for view in self.views]))


def test_a_stream_equals_gold_after_every_micro_batch(shop: Shop, tmp_path: Path) -> None:
    replay = Replay(shop, tmp_path / "checkpoints")
    payments = [*history(), *CORRECTED]
    before, wrong = {}, []
    for part in range(3):
        shop.load(*payments[part * 48 : (part + 1) * 48])
        replay.now[0] = to_micros(NOON + part * DAY / 3)
        replay.run()
        if part == 1:
            # as if stopped before its end: values are newer than what the cursor says
            for name, cursor in before.items():
                shop.store.set_cursor(name, cursor, before=shop.store.cursor(name))
        else:
            shop.push(NOON + part * DAY / 3, after=part)
            wrong += shop.differences(NOON + part * DAY / 3, NOON + (part + 2.3) * DAY)
        before = replay.cursors()

    assert wrong == []
    assert [one.reread for one in replay.done[:2]] == [0, 0]
    assert all(one.reread > 0 for one in replay.done[4:6])


def test_a_new_row_is_put_into_the_value_without_its_history(shop: Shop, tmp_path: Path) -> None:
    replay = Replay(shop, tmp_path / "checkpoints")
    shop.load(*history())
    replay.run()
    shop.load(Payment(900, 3, 5.0, 0.1))
    replay.run()

    assert [(one.entities, one.written, one.reread) for one in replay.done[2:]] == [(1, 1, 0)] * 2
    assert shop.push(after=1)
    assert shop.differences(NOON, NOON + 3 * DAY) == []


def test_a_running_stream_brings_what_is_appended_later(shop: Shop, tmp_path: Path) -> None:
    shop.load(*history())
    view = shop.graph.view("customer_spend")
    done: list[PushResult] = []
    batch = PushBatch(view, shop.tables, shop.store, lambda: to_micros(NOON), done.append, len)
    with ExitStack() as stack:
        query = start_stream(batch, checkpoint=str(tmp_path / "c"), every=timedelta(0))
        stack.callback(query.stop)
        query.processAllAvailable()
        shop.load(Payment(900, 3, 5.0, 0.1))
        query.processAllAvailable()

    assert [(one.version, one.written) for one in done] == [(0, 7), (1, 1)]

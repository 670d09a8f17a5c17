"""Thousands of answers while gold changes and servers restart: what was served is what gold says.

Payments come late, are corrected, refused and replayed, or miss their delivery; Redis comes back
older, whole or empty. ``make audited`` is the long form; figures are printed, and kept in ``out/``.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from pyspark.sql import SparkSession

from feldspar.compute.services.served import DEGRADED, REQUEST_ID, version_column
from feldspar.monitor.audit.findings import MOST_STALE, FeatureFindings, ServiceAudit, lines
from feldspar.names import served_table
from feldspar.spec.environment import Environment
from feldspar.stores.tables import arrow
from support.deliveries import Sizes
from support.disturbed import SERVICES, Disturbed, disturbed_lake
from support.places import REPOSITORY
from support.recomputed import Recomputing

ANSWERS = int(os.environ.get("ANSWERS", "1000"))
ORACLE = int(os.environ.get("ORACLE", "200"))
SEED = int(os.environ.get("SEED", "1"))
DELIVERIES = max(4, min(13, ANSWERS // 5_000))
AGGREGATES = ("count", "avg_amount", "largest")
COUNTED = ("served", "audited", "degraded", "other")
STORED = (
    *(f"customer_spend__{name}_{size}" for name in AGGREGATES for size in ("1d", "7d")),
    "last_payment__last_amount",
)
AGAIN = f"once more: SEED={SEED} ANSWERS={ANSWERS} ORACLE={ORACLE}"


@dataclass(frozen=True)
class Audited:
    """A lake after all its deliveries, what the audit says of its answers, and the oracle."""

    lake: Disturbed
    found: dict[str, ServiceAudit]

    @property
    def features(self) -> list[FeatureFindings]:
        return [feature for one in self.found.values() for feature in one.features]

    @property
    def told(self) -> str:
        """All that the audit says, and how to see it again."""
        return "\n".join([AGAIN, *[line for one in self.found.values() for line in lines(one)]])

    @cached_property
    def recomputed(self) -> list[list[str]]:
        """What the oracle says against each row of a sample."""
        return [self.oracle.differences(row) for row in self.sample]

    @cached_property
    def oracle(self) -> Recomputing:
        lake = self.lake
        return Recomputing(lake.pipeline.graph, lake.delivered.arrivals, lake.versions)

    @cached_property
    def sample(self) -> list[dict[str, Any]]:
        """Answers that the oracle is asked about."""
        return [row for name in SERVICES for row in self._sample(name)]

    def log(self, service: str) -> pa.Table:
        """What bronze has of a service's answers."""
        return arrow.read(self.lake.pipeline.lake, "bronze", served_table(service))

    def versions(self, view: str) -> set[int]:
        """Those of gold that answers were given from, by their cursors."""
        found = [pc.unique(self.log(name)[version_column(view)]) for name in SERVICES]
        return {one for each in found for one in each.to_pylist() if one is not None}

    def _sample(self, service: str) -> list[dict[str, Any]]:
        log = self.log(service)
        rows = log.filter(pc.invert(log[DEGRADED])).sort_by(REQUEST_ID)
        size = min(ORACLE // len(SERVICES), rows.num_rows)
        places = Random(SEED).sample(range(rows.num_rows), size)
        found: list[dict[str, Any]] = rows.take(places).to_pylist()
        return found


@pytest.fixture(scope="module")
def audited(
    spark: SparkSession, disk: Environment, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Audited]:
    folder, begun = tmp_path_factory.mktemp("disturbed"), time.monotonic()
    with disturbed_lake(spark, disk, folder, sizes=Sizes(ANSWERS, DELIVERIES), seed=SEED) as lake:
        lake.run()
        served = time.monotonic()
        one = Audited(lake, lake.audits())
        report(one, serving=served - begun, auditing=time.monotonic() - served)
        yield one


def report(one: Audited, **seconds: float) -> None:
    begun = time.monotonic()
    wrong = sum(1 for found in one.recomputed if found)
    figures = {
        "seed": SEED,
        "answers": one.lake.given,
        "different": sum(each.different for each in one.features),
        "stale": max(each.stale for each in one.features),
        "stale_share": round(max(each.stale_share for each in one.features), 5),
        "oracle": len(one.recomputed),
        "oracle_different": wrong,
        "degraded": one.lake.degraded,
        "refused": one.lake.refused,
        "in_flight": {name: dict(each.in_flight) for name, each in one.found.items()},
        "versions": {name: len(each) for name, each in one.lake.versions.items()},
        "seconds": {**seconds, "oracle": time.monotonic() - begun},
    }
    text = json.dumps(figures, indent=2)
    sys.stdout.write(f"{text}\n")
    path = REPOSITORY / "out" / f"audited-{ANSWERS}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text + "\n", encoding="utf-8")


def test_every_answer_is_in_the_log_and_audited(audited: Audited) -> None:
    found = [sum(getattr(one, name) for one in audited.found.values()) for name in COUNTED]

    assert found == [ANSWERS + audited.lake.degraded, ANSWERS, audited.lake.degraded, 0], AGAIN


def test_nothing_differs_at_the_cursor_that_was_served(audited: Audited) -> None:
    assert [one.feature for one in audited.features if one.different] == [], audited.told


def test_every_answer_is_compared_in_every_feature(audited: Audited) -> None:
    stored = [one for found in audited.found.values() for one in found.features if one.view]
    by_service = {found.audited for found in audited.found.values()}

    assert {one.compared for one in stored if one.view != "request"} == by_service, AGAIN


def test_stale_are_the_answers_about_stragglers_alone(audited: Audited) -> None:
    sizes = audited.lake.delivered.sizes
    asked = sum(sizes.stale(one) for one in range(sizes.deliveries))
    stale = {
        name: max(one.stale for one in found.features) for name, found in audited.found.items()
    }

    assert stale == {"fraud": 0, "lending": asked}, audited.told


def test_few_are_stale(audited: Audited) -> None:
    assert max(one.stale_share for one in audited.features) <= MOST_STALE, audited.told


def test_the_oracle_says_the_same_of_a_sample(audited: Audited) -> None:
    wrong = [text for found in audited.recomputed for text in found]

    assert (len(audited.recomputed), wrong[:10]) == (min(ORACLE, ANSWERS), []), AGAIN


def test_answers_are_of_every_version_that_was_pushed(audited: Audited) -> None:
    served = {view: audited.versions(view) for view in audited.lake.versions}

    assert served == {view: set(one) for view, one in audited.lake.versions.items()}, AGAIN


@pytest.mark.parametrize("feature", STORED)
def test_the_oracle_finds_a_value_that_was_not_gold_s(audited: Audited, feature: str) -> None:
    row = next(row for row in audited.sample if row[feature] is not None)

    assert audited.oracle.differences({**row, feature: row[feature] + 1}) != [], AGAIN

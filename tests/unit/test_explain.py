"""``feldspar explain``: the engines and amounts of a training set, from the logs alone."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from feldspar.compute.services.choice import choose
from feldspar.graph.compile import compile_graph
from feldspar.spec.loading import load_definitions
from support.console import feldspar
from support.small_project import write_project

ENVIRONMENT = """\
namespace: test
storage: {{root: lake, direct_reads: {direct}}}
redis: {{url: "redis://127.0.0.1:1/0"}}
mlflow: {{tracking_uri: "sqlite:///mlflow.db"}}
"""


def project(folder: Path, direct: str = "true") -> Path:
    """Gold of one view in two buckets, of the other in none."""
    write_project(folder, {"environments/local.yaml": ENVIRONMENT.format(direct=direct)})
    times = pa.array([datetime(2018, 4, 1, tzinfo=UTC)] * 6, pa.timestamp("us", "UTC"))
    rows = pa.table({"_bucket": pa.array([0, 1] * 3, pa.int32()), "_event_time": times})
    gold = folder / "lake" / "test" / "gold"
    write_deltalake(gold / "customer_spend", rows, partition_by=["_bucket"])
    DeltaTable(gold / "customer_spend").alter.set_table_properties(
        {"feldspar.buckets": "2"}, raise_if_not_exists=False
    )
    write_deltalake(gold / "last_payment", rows)
    return folder


def explained(folder: Path) -> dict[str, dict[str, object]]:
    done = feldspar(folder, "explain", "training-set", "fraud", "--json")
    assert done.returncode == 0, done.stderr
    return {one["view"]: one for one in json.loads(done.stdout)["views"]}


def test_each_view_has_its_engine_and_what_there_is_to_read(tmp_path: Path) -> None:
    views = explained(project(tmp_path))
    facts = ("engine", "rows", "files", "buckets", "runs")
    assert {name: tuple(one[fact] for fact in facts) for name, one in views.items()} == {
        "customer_spend": ("bucketed", 6, 2, 2, 1),
        "last_payment": ("union", 6, 1, None, None),
    }


def test_where_a_catalogue_guards_the_files_spark_moves_the_rows(tmp_path: Path) -> None:
    views = explained(project(tmp_path, direct="false"))
    assert {one["engine"] for one in views.values()} == {"cogroup", "union"}


def test_the_reason_stands_below_the_table(tmp_path: Path) -> None:
    done = feldspar(project(tmp_path), "explain", "training-set", "fraud")
    assert "bucketed: tasks read their buckets' files, only the spine moves" in done.stdout


@pytest.mark.parametrize(
    ("view", "direct", "in_buckets", "engine"),
    [
        ("last_payment", True, True, "bucketed"),
        ("last_payment", True, False, "union"),
        ("last_payment", False, True, "union"),
        ("customer_spend", True, False, "cogroup"),
    ],
)
def test_the_choice(tmp_path: Path, view: str, direct: bool, in_buckets: bool, engine: str) -> None:
    graph = compile_graph(load_definitions(write_project(tmp_path), {}))
    assert choose(graph.view(view), direct=direct, in_buckets=in_buckets).engine == engine

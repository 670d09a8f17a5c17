"""The served log of a process: typed objects, bounded memory, nothing lost in silence."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from feldspar.graph.compile import compile_graph
from feldspar.graph.graph import Graph
from feldspar.serving.served import ServedLog, is_sampled
from feldspar.spec.environment import Environment
from feldspar.spec.loading import load_definitions
from support.places import disk_environment
from support.scoring import FILES
from support.served import T, record
from support.small_project import write_project

LENDING = FILES["services/lending.yaml"]


def project(folder: Path, served_log: str = "{}") -> tuple[Graph, Environment]:
    files = {**FILES, "services/lending.yaml": f"{LENDING}served_log: {served_log}\n"}
    graph = compile_graph(load_definitions(write_project(folder, files), {}))
    return graph, disk_environment(folder)


def inbox(environment: Environment) -> Path:
    return Path(environment.storage.root) / environment.namespace / "inbox" / "served"


def objects(environment: Environment) -> list[Path]:
    """Those that ingest would see: a name that begins with a dot is a draft."""
    return sorted(inbox(environment).rglob("[!.]*.parquet"))


def written(environment: Environment) -> pa.Table:
    return pa.concat_tables([pq.read_table(file) for file in objects(environment)])


def wait_until_written(log: ServedLog, rows: int) -> None:
    """Adds nothing, and looks until the thread has come round."""
    while log.figures()["lending"].written < rows:
        pass


@pytest.fixture
def logged(tmp_path: Path) -> pa.Table:
    """Three answers, one of them a score, one without Redis."""
    graph, environment = project(tmp_path)
    log = ServedLog(graph, environment)
    scored = record(2)._replace(
        model="lending", model_version="3", answer={"probability": 0.25, "credit_score": 437}
    )
    log.add([record(1), scored, record(3)._replace(degraded=True, newest={}, versions={})])
    log.close()
    return written(environment).sort_by("_request_id")


def test_rows_have_the_request_and_the_features_in_their_declared_types(logged: pa.Table) -> None:
    row = logged.to_pylist()[0]

    assert (row["customer_id"], row["customer_spend__count_1d"], row["last_payment__ratio"]) == (
        1,
        2,
        0.5,
    )
    assert logged.schema.field("customer_spend__count_1d").type == pa.int64()


def test_rows_say_when_by_which_versions_and_how_new_it_was(logged: pa.Table) -> None:
    row = logged.to_pylist()[0]
    names = ("_at", "_version_customer_spend", "_stamp_customer_spend", "_newest_last_payment")

    assert [row[name] for name in names] == [T, 7, 6, None]


def test_rows_of_scores_say_the_model_and_its_answer(logged: pa.Table) -> None:
    names = ("_model", "_model_version", "_probability", "_answer")

    assert [logged.to_pylist()[1][name] for name in names] == [
        "lending",
        "3",
        0.25,
        '{"probability": 0.25, "credit_score": 437}',
    ]


def test_an_answer_without_redis_is_marked(logged: pa.Table) -> None:
    assert logged["_degraded"].to_pylist() == [False, False, True]


def test_a_clean_stop_loses_nothing(tmp_path: Path) -> None:
    graph, environment = project(tmp_path, "{flush: 1h}")
    log = ServedLog(graph, environment)
    log.add(record(number) for number in range(45_000))

    log.close()

    assert sorted(written(environment)["_request_id"].to_pylist()) == sorted(
        str(number) for number in range(45_000)
    )


def test_objects_are_named_by_day_time_and_process(tmp_path: Path) -> None:
    graph, environment = project(tmp_path)
    log = ServedLog(graph, environment)
    log.add([record(1)])
    log.close()

    [file] = objects(environment)
    day, name = file.parts[-2:]

    assert (file.parts[-3], len(day), name.split("-")[-2]) == ("lending", 10, str(os.getpid()))


def test_a_share_of_the_requests_is_logged_and_always_the_same(tmp_path: Path) -> None:
    graph, environment = project(tmp_path, "{sample: 0.25}")
    log = ServedLog(graph, environment)
    log.add(record(number) for number in range(2_000))
    log.close()
    found = written(environment)["_request_id"].to_pylist()

    assert found == [str(number) for number in range(2_000) if is_sampled(str(number), 0.25)]
    assert 400 < len(found) < 600


def test_sample_zero_logs_nothing(tmp_path: Path) -> None:
    graph, environment = project(tmp_path, "{sample: 0}")
    log = ServedLog(graph, environment)
    log.add([record(1)])
    log.close()

    assert not inbox(environment).exists()


def test_answers_wait_while_the_store_is_away(tmp_path: Path) -> None:
    graph, environment = project(tmp_path, "{flush: 1s}")
    blocked = Path(environment.storage.root)
    blocked.write_text("no folder", encoding="utf-8")
    log = ServedLog(graph, environment)
    log.add([record(1), record(2)])
    while not log.figures()["lending"].failures:
        pass
    blocked.unlink()

    wait_until_written(log, 2)
    log.close()

    assert written(environment)["_request_id"].to_pylist() == ["1", "2"]


def test_the_oldest_answers_go_and_are_counted_when_there_is_no_room(tmp_path: Path) -> None:
    graph, environment = project(tmp_path, "{flush: 1h, most: 10}")
    log = ServedLog(graph, environment)
    log.add(record(number) for number in range(25))

    assert log.figures()["lending"][1:3] == (15, 10)

    log.close()

    assert written(environment)["_request_id"].to_pylist() == [str(one) for one in range(15, 25)]


def test_the_oldest_go_too_when_they_are_columns_already(tmp_path: Path) -> None:
    graph, environment = project(tmp_path, "{flush: 1s, most: 10}")
    blocked = Path(environment.storage.root)
    blocked.write_text("no folder", encoding="utf-8")
    log = ServedLog(graph, environment)
    log.add(record(number) for number in range(8))
    while not log.figures()["lending"].failures:
        pass
    log.add(record(number) for number in range(8, 15))
    blocked.unlink()
    log.close()

    assert log.figures()["lending"][:3] == (10, 5, 0)
    assert sorted(written(environment)["_request_id"].to_pylist(), key=int) == [
        str(one) for one in range(5, 15)
    ]


def test_an_answer_that_is_no_row_stops_no_other(tmp_path: Path) -> None:
    graph, environment = project(tmp_path)
    log = ServedLog(graph, environment)
    wrong = record(2)._replace(features={"customer_spend__count_1d": "many"})
    log.add([record(1), wrong, record(3)])

    log.close()

    assert written(environment)["_request_id"].to_pylist() == ["1", "3"]
    assert log.figures()["lending"][:2] == (2, 1)


PROGRAM = """
import sys
from itertools import count
from pathlib import Path

from feldspar.serving.served import ServedLog
from feldspar.times import to_micros, utc_now
from support.served import record
from unit.test_served_log import project

graph, environment = project(Path(sys.argv[1]), "{flush: 1s}")
log = ServedLog(graph, environment)
for number in count():
    now = to_micros(utc_now())
    log.add([record(number)._replace(served_at=now)])
    print(to_micros(utc_now()), flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def killed(tmp_path: Path) -> tuple[list[int], list[int], int]:
    """When a process that was killed took in each answer, which ones it left, and when it began to
    write the last object; microseconds.
    """
    command = [sys.executable, "-c", PROGRAM, str(tmp_path)]
    environment = disk_environment(tmp_path)
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    taken: list[int] = []
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=variables, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        while len(objects(environment)) < 2:
            taken.append(int(process.stdout.readline()))
            process.stdin.write("\n")
            process.stdin.flush()
        process.send_signal(signal.SIGKILL)
    begun = max(int(file.name.partition("-")[0]) for file in objects(environment))
    left = [int(one) for one in written(environment)["_request_id"].to_pylist()]
    return taken, sorted(left), begun * 1_000


def test_a_kill_loses_what_came_after_the_last_write_and_nothing_else(
    killed: tuple[list[int], list[int], int],
) -> None:
    taken, left, begun = killed
    older = [number for number, at in enumerate(taken) if at < begun]

    assert left == list(range(len(left)))
    assert set(older) <= set(left)

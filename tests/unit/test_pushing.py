"""How pushed rows wait for one another, and what a project may not say of them."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from feldspar.compute.json_texts import split_many
from feldspar.errors import DefinitionError, StoreError, UsageError
from feldspar.graph.compile import compile_graph
from feldspar.serving.inbox import GroupCommit
from feldspar.serving.push_tables import push_tables
from feldspar.spec.loading import load_definitions
from support.small_project import FILES as SMALL
from support.small_project import write_project
from support.visits import FILES

SCORES = {
    "sources/scores.yaml": "kind: files\npush: true\nevent_time: at\nknown_time: ingested\n",
    "tables/scores.yaml": """\
from: scores
key: [customer_id, at]
columns: {customer_id: bigint, at: timestamp, score: double}
""",
    "views/last_score.yaml": "entity: customer\nfrom: scores\nfeatures: [score]\n",
}


class Held:
    """A commit that waits until it is let go, and notes its groups."""

    def __init__(self) -> None:
        self.began = threading.Event()
        self.go = threading.Event()
        self.groups: list[list[int]] = []

    def __call__(self, group: Sequence[int]) -> list[int]:
        self.groups.append(list(group))
        self.began.set()
        self.go.wait()
        return [-one for one in group]


def message_of(folder: Path, files: dict[str, str]) -> str:
    with pytest.raises(DefinitionError) as caught:
        compile_graph(load_definitions(write_project(folder, files), {}))
    return str(caught.value)


def test_what_comes_while_a_group_is_written_is_the_next_group() -> None:
    held = Held()
    queue: GroupCommit[int, int] = GroupCommit(held, most=1_000)
    first = queue.submit(lambda: 0, rows=1)
    assert held.began.wait(10)
    rest = [queue.submit(lambda number=number: number, rows=1) for number in range(1, 51)]  # type: ignore[misc]
    held.go.set()

    assert [one.result(10) for one in (first, *rest)] == [-number for number in range(51)]
    assert held.groups == [[0], list(range(1, 51))]
    queue.close()


def test_what_waits_has_its_outcome_when_the_process_ends() -> None:
    held = Held()
    queue: GroupCommit[int, int] = GroupCommit(held, most=1_000)
    asked = [queue.submit(lambda: 1, rows=1) for _ in range(5)]
    held.go.set()
    queue.close()

    assert [one.done() for one in asked] == [True] * 5
    with pytest.raises(StoreError, match="takes no more rows"):
        queue.submit(lambda: 1, rows=1)


def test_more_rows_than_may_wait_are_refused() -> None:
    held = Held()
    queue: GroupCommit[int, int] = GroupCommit(held, most=10)
    queue.submit(lambda: 0, rows=1)
    assert held.began.wait(10)
    queue.submit(lambda: 1, rows=8)

    with pytest.raises(StoreError, match="no room for 3 more"):
        queue.submit(lambda: 2, rows=3)
    with pytest.raises(StoreError, match="no room for 1 more"):
        queue.submit(lambda: 2, rows=1, leave=5)
    held.go.set()
    queue.close()


def test_an_error_of_ours_keeps_nobody_waiting(caplog: pytest.LogCaptureFixture) -> None:
    def broken(group: Sequence[int]) -> list[int]:
        return [1 // one for one in group]

    queue: GroupCommit[int, int] = GroupCommit(broken, most=10)
    with pytest.raises(StoreError, match="could not be taken"):
        queue.submit(lambda: 0, rows=1).result(10)

    assert queue.submit(lambda: 1, rows=1).result(10) == 1
    queue.close()
    assert "taking pushed rows failed" in caplog.text


def test_lists_of_rows_are_split_as_they_were_written() -> None:
    text = '[ {"a": 2.50, "b": [1, {"c": "x]"}]} , {"a": "\\u00e9"} ]'

    assert split_many(text, most=2) == [{"a": "2.50", "b": '[1, {"c": "x]"}]'}, {"a": "é"}]
    assert split_many(text, most=1) is None
    assert split_many(f"{text} 1", most=2) is None
    assert split_many('[{"a": NaN}]', most=2) is None


def test_a_source_without_a_path_takes_pushed_rows_at_least(tmp_path: Path) -> None:
    source = FILES["sources/visits.yaml"].replace("push: true\n", "")

    assert "'path' is missing; only a source with 'push: true' needs none" in message_of(
        tmp_path, {**FILES, "sources/visits.yaml": source}
    )


def test_change_events_are_not_pushed(tmp_path: Path) -> None:
    source = FILES["sources/visits.yaml"] + "envelope: debezium\n"

    assert "cannot say 'push: true'" in message_of(
        tmp_path, {**FILES, "sources/visits.yaml": source}
    )


def test_pushed_rows_are_of_one_table(tmp_path: Path) -> None:
    other = {"tables/others.yaml": FILES["tables/visits.yaml"]}

    assert "has one table that reads it; found others, visits" in message_of(
        tmp_path, {**FILES, **other}
    )


def test_taking_pushed_rows_changes_nothing_of_a_table(tmp_path: Path) -> None:
    source = SMALL["sources/payments.yaml"]
    definitions = [
        compile_graph(
            load_definitions(write_project(tmp_path / name, {"sources/payments.yaml": text}), {})
        )
        .table("transactions")
        .definition
        for name, text in (("before", source), ("after", f"{source}push: true\n"))
    ]

    assert definitions[0] == definitions[1]


def test_scores_do_not_come_back_to_their_model(tmp_path: Path) -> None:
    files = {
        **SCORES,
        "models/fraud.yaml": SMALL["models/fraud.yaml"] + "write_back: scores\n",
        "services/fraud.yaml": SMALL["services/fraud.yaml"].replace(
            "last_payment]", "last_payment, last_score]"
        ),
    }

    assert "conf/models/fraud.yaml:9  fraud reads last_score, which is made of these scores: " in (
        message_of(tmp_path, files)
    )


def test_scores_go_to_a_source_that_takes_rows(tmp_path: Path) -> None:
    files = {"models/fraud.yaml": SMALL["models/fraud.yaml"] + "write_back: payments\n"}

    assert "source payments takes no rows: it lacks 'push: true'" in message_of(tmp_path, files)


def test_a_pattern_that_python_cannot_read_is_told_at_start(tmp_path: Path) -> None:
    table = FILES["tables/visits.yaml"].replace("{in: [phone, web]}", r"{matches: '\p{L}+'}")
    conf = write_project(tmp_path, {**FILES, "tables/visits.yaml": table})

    with pytest.raises(UsageError, match=r"conf/tables/visits.yaml: device matches"):
        push_tables(compile_graph(load_definitions(conf, {})))

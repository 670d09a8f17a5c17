"""The local servers: up, up again, ports, down, and what a wrong address or key says."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from feldspar.cli.main import main
from feldspar.errors import InputError, StoreError, UnreachableError, UsageError
from feldspar.spec.environment import STATE_FILE, StackSpec, StorageSpec, load_environment
from feldspar.stack.lifecycle import down, status, up
from feldspar.stack.ports import HOST, free_port
from feldspar.stack.processes import ProcessId, is_alive, stop
from feldspar.stack.servers import refuse_full_disk
from feldspar.stack.state import StackState, load_state, save_state
from feldspar.stores.objects import (
    delete_folder,
    ensure_bucket,
    exists,
    filesystem,
    list_files,
    make_folder,
    opened_writer,
    probe,
    read_bytes,
    write_bytes,
)
from feldspar.stores.parts import PartWriter
from support.places import LocalStack, new_project, silent

SECONDS = 10.0


def sleeper() -> subprocess.Popen[bytes]:
    """A stranger's process that lives until it is killed."""
    return subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])


def seconds_since(begun: float) -> float:
    return time.monotonic() - begun


@pytest.mark.stack
def test_all_servers_are_well_after_up(stack: LocalStack) -> None:
    assert [server.condition for server in status(stack.folder)] == ["well", "well", "well"]


@pytest.mark.stack
def test_second_up_starts_nothing(stack: LocalStack) -> None:
    before = load_state(stack.folder).processes
    begun = time.monotonic()
    result = up(stack.folder, StackSpec(), progress=silent)
    assert (result.started, result.found) == ((), ("s3", "redis", "mlflow"))
    assert load_state(stack.folder).processes == before
    assert seconds_since(begun) < SECONDS


@pytest.mark.stack
def test_up_starts_only_what_is_missing(stack: LocalStack) -> None:
    before = load_state(stack.folder)
    stop([before.processes["redis"]])
    result = up(stack.folder, StackSpec(), progress=silent)
    assert result.started == ("redis",)
    assert load_state(stack.folder).ports == before.ports


@pytest.mark.stack
def test_state_file_is_for_its_owner_alone(stack: LocalStack) -> None:
    assert stat.S_IMODE((stack.folder / STATE_FILE).stat().st_mode) == 0o600


@pytest.mark.stack
def test_moved_port_of_a_running_server_says_down_then_up(stack: LocalStack) -> None:
    with pytest.raises(UsageError, match="make down, then make up"):
        up(stack.folder, StackSpec(redis_port=free_port(())), progress=silent)


@pytest.mark.stack
def test_doctor_finds_a_running_stack_well(
    stack: LocalStack, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["doctor", "--conf", str(stack.folder / "conf")])
    assert (code, "FAIL" in capsys.readouterr().out) == (0, False)


def test_doctor_says_make_up_when_nothing_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["doctor", "--conf", str(new_project(tmp_path))])
    assert code == 1
    assert "make up" in capsys.readouterr().out


def test_configured_port_in_use_is_named_at_once(tmp_path: Path) -> None:
    begun = time.monotonic()
    with socket.create_server((HOST, 0)) as stranger:
        port = stranger.getsockname()[1]
        with pytest.raises(UsageError, match=f"port {port} for s3 is in use by another program"):
            up(tmp_path, StackSpec(s3_port=port), progress=silent)
    assert load_state(tmp_path).processes == {}
    assert seconds_since(begun) < SECONDS


def test_a_full_disk_is_said_with_what_is_free_and_what_is_needed(tmp_path: Path) -> None:
    more_than_any_disk = 1 << 40
    with pytest.raises(StoreError, match=rf"{tmp_path} has [\d,]+ MiB free; .* need 1,099,511"):
        refuse_full_disk(tmp_path, least_mib=more_than_any_disk)


@pytest.mark.stack
def test_volumes_of_the_s3_server_do_not_hang_on_the_free_disk(stack: LocalStack) -> None:
    port = load_state(stack.folder).ports["master"]
    with urllib.request.urlopen(f"http://{HOST}:{port}/dir/status", timeout=SECONDS) as answer:
        assert json.load(answer)["Topology"]["Max"] == 4_096


def test_down_leaves_a_stranger_with_a_reused_pid_alone(tmp_path: Path) -> None:
    with sleeper() as stranger:
        reused = ProcessId(stranger.pid, started=1.0)
        save_state(tmp_path, StackState(processes={"redis": reused}))
        stopped = down(tmp_path, progress=silent)
        still_there = stranger.poll() is None
        stranger.kill()
    assert (stopped, still_there) == ((), True)


def test_down_without_a_stack_has_nothing_to_do(tmp_path: Path) -> None:
    assert down(tmp_path, progress=silent) == ()


def test_stack_comes_down_and_environment_says_so(tmp_path: Path) -> None:
    conf = new_project(tmp_path)
    up(tmp_path, StackSpec(), progress=silent)
    try:
        processes = load_state(tmp_path).processes.values()
        write_bytes(
            "s3a://feldspar/kept", b"1", storage=load_environment(conf, "local", {}).storage
        )
    finally:
        stopped = down(tmp_path, progress=silent)
    assert stopped == ("s3", "redis", "mlflow")
    assert not any(is_alive(process) for process in processes)
    with pytest.raises(UsageError, match="make up"):
        load_environment(conf, "local", dict(os.environ))


def test_damaged_state_is_named(tmp_path: Path) -> None:
    (tmp_path / STATE_FILE).parent.mkdir(parents=True)
    (tmp_path / STATE_FILE).write_text("{", encoding="utf-8")
    with pytest.raises(StoreError, match=r"state\.json cannot be read"):
        status(tmp_path)


@pytest.mark.stack
def test_probe_passes_with_the_right_keys(stack: LocalStack) -> None:
    probe(stack.environment.storage)


def test_wrong_endpoint_is_said_within_seconds() -> None:
    nobody = f"http://{HOST}:{free_port(())}"
    storage = StorageSpec(root="s3a://b/x", endpoint=nobody, access_key="a", secret_key="b")
    begun = time.monotonic()
    with pytest.raises(UnreachableError, match=f"nothing answers at {nobody}"):
        probe(storage)
    assert seconds_since(begun) < SECONDS


@pytest.mark.stack
@pytest.mark.parametrize(
    ("field", "code"),
    [("access_key", "InvalidAccessKeyId"), ("secret_key", "SignatureDoesNotMatch")],
)
def test_wrong_credentials_are_said_within_seconds(
    stack: LocalStack, field: str, code: str
) -> None:
    storage = stack.environment.storage.model_copy(update={field: "wrong"})
    begun = time.monotonic()
    with pytest.raises(StoreError, match=rf"refuses the credentials \({code}\)") as caught:
        probe(storage)
    assert not isinstance(caught.value, UnreachableError)
    assert seconds_since(begun) < SECONDS


@pytest.mark.stack
def test_files_written_one_after_another_are_in_the_bucket(stack: LocalStack) -> None:
    storage = stack.environment.storage
    write = opened_writer(storage)
    for number in range(3):
        write(f"{storage.root}/written/day/{number}.jsonl", b"%d" % number)

    found = list_files(f"{storage.root}/written", storage)
    assert [read_bytes(one.uri, storage) for one in found] == [b"0", b"1", b"2"]


def test_a_writer_says_within_seconds_that_its_server_is_away() -> None:
    nobody = f"http://{HOST}:{free_port(())}"
    storage = StorageSpec(root="s3a://b/x", endpoint=nobody, access_key="a", secret_key="b")
    begun = time.monotonic()
    with pytest.raises(UnreachableError, match=f"nothing answers at {nobody}"):
        opened_writer(storage)("s3a://b/x/1.jsonl", b"1")
    assert seconds_since(begun) < SECONDS


@pytest.mark.stack
def test_missing_bucket_is_named(stack: LocalStack) -> None:
    storage = stack.environment.storage.model_copy(update={"root": "s3a://nowhere/lake"})
    with pytest.raises(StoreError, match="has no bucket 'nowhere'"):
        probe(storage)


@pytest.mark.stack
def test_bucket_is_made_once(stack: LocalStack) -> None:
    storage = stack.environment.storage.model_copy(update={"root": "s3a://second/lake"})
    ensure_bucket(storage)
    ensure_bucket(storage)
    probe(storage)


@pytest.fixture(params=["folder", "bucket"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, StorageSpec]:
    """A folder and a bucket: whatever holds for files holds in both."""
    if request.param == "folder":
        return str(tmp_path / "files"), StorageSpec(root=str(tmp_path))
    stack: LocalStack = request.getfixturevalue("stack")
    return f"s3a://feldspar/{tmp_path.name}", stack.environment.storage


@pytest.mark.stack
def test_files_are_listed_below_a_prefix_without_what_is_hidden(
    place: tuple[str, StorageSpec],
) -> None:
    root, storage = place
    for name in ("a/2.csv", "a/1.csv", "a/_log/0.json", "a/.part", "ab/3.csv"):
        write_bytes(f"{root}/{name}", b"rows", storage=storage)
    found = list_files(f"{root}/a", storage)
    assert [(file.uri, file.size) for file in found] == [
        (f"{root}/a/1.csv", 4),
        (f"{root}/a/2.csv", 4),
    ]


@pytest.mark.stack
def test_one_file_is_listed_by_its_name(place: tuple[str, StorageSpec]) -> None:
    root, storage = place
    write_bytes(f"{root}/one.csv", b"rows", storage=storage)
    assert [file.uri for file in list_files(f"{root}/one.csv", storage)] == [f"{root}/one.csv"]


@pytest.mark.stack
def test_bytes_are_read_back_and_replaced(place: tuple[str, StorageSpec]) -> None:
    root, storage = place
    for content in (b"old", b"new"):
        write_bytes(f"{root}/x", content, storage=storage)
    assert read_bytes(f"{root}/x", storage) == b"new"


@pytest.mark.stack
def test_file_that_is_not_there_is_named(place: tuple[str, StorageSpec]) -> None:
    root, storage = place
    with pytest.raises(InputError, match="there is no such file"):
        read_bytes(f"{root}/none", storage)


@pytest.mark.stack
def test_arrow_reads_what_was_written(place: tuple[str, StorageSpec]) -> None:
    root, storage = place
    write_bytes(f"{root}/x", b"rows", storage=storage)
    files, path = filesystem(storage, f"{root}/x")
    with files.open_input_stream(path) as stream:
        assert stream.read() == b"rows"


@pytest.mark.stack
def test_a_task_that_is_run_again_replaces_its_part(place: tuple[str, StorageSpec]) -> None:
    root, storage = place
    schema = pa.schema([("id", pa.int64())])
    writer = PartWriter(f"{root}/out", storage, schema)
    batch = pa.RecordBatch.from_pydict({"id": [1, 2, 3]}, schema=schema)

    def torn() -> Iterator[pa.RecordBatch]:
        yield batch
        raise EOFError("the JVM is gone")

    make_folder(f"{root}/out")
    for _ in range(2):
        assert writer.write(iter([batch]), part=4) == 3
        with pytest.raises(EOFError):
            writer.write(torn(), part=4)
    [part] = list_files(f"{root}/out", storage)
    assert part.uri == f"{root}/out/part-00004.parquet"
    files, path = filesystem(storage, part.uri)
    assert pq.read_table(path, filesystem=files).column("id").to_pylist() == [1, 2, 3]


def test_a_task_that_outlives_its_job_writes_no_part(tmp_path: Path) -> None:
    folder, schema = str(tmp_path / "out"), pa.schema([("id", pa.int64())])
    storage = StorageSpec(root=str(tmp_path))
    writer = PartWriter(folder, storage, schema)
    batch = pa.RecordBatch.from_pydict({"id": [1]}, schema=schema)

    def late() -> Iterator[pa.RecordBatch]:
        delete_folder(folder, storage)
        yield batch

    make_folder(folder)
    with pytest.raises(FileNotFoundError):
        writer.write(late(), part=1)
    with pytest.raises(FileNotFoundError):
        writer.write(iter([batch]), part=1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.stack
def test_a_folder_is_deleted_with_all_that_is_below_it(place: tuple[str, StorageSpec]) -> None:
    root, storage = place
    for name in ("a/b/1", "a/2", "ab/3"):
        write_bytes(f"{root}/{name}", b"rows", storage=storage)
    for _ in range(2):
        delete_folder(f"{root}/a", storage)
    assert not exists(storage, f"{root}/a")
    assert [file.uri for file in list_files(root, storage)] == [f"{root}/ab/3"]

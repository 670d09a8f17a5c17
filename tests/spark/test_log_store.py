"""Commits of several drivers to one Delta log on S3, and answers that are lost on the way."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any

import pytest
from py4j.protocol import Py4JJavaError
from pyspark.sql import SparkSession

from feldspar.errors import UsageError
from feldspar.launch.log_store import CLASS, JAR, SETTING, compiled
from feldspar.run.session import open_session
from feldspar.spec.environment import StorageSpec
from feldspar.spec.storage_options import fs_s3a_conf
from feldspar.stores.objects import creates_once, exists, list_files, read_bytes
from support.places import LocalStack
from support.s3_faults import Fault, FaultyS3, faulty_s3

pytestmark = pytest.mark.stack
ALWAYS = 100
TAKEN = "java.nio.file.FileAlreadyExistsException"


class LogStore:
    """The log store in a JVM, for the S3 server at an endpoint.

    Args:
        spark: whose JVM it is.
        storage: of the server.
        tries: how often the client sends a request before it gives up.
    """

    def __init__(self, spark: SparkSession, storage: StorageSpec, *, tries: int = 3) -> None:
        jvm: Any = spark._jvm  # noqa: SLF001 pyspark has no public way to a class of the JVM
        conf = jvm.org.apache.hadoop.conf.Configuration()
        for key, value in fs_s3a_conf(storage).items():
            conf.set(key, value)
        # a client of its own: another's address and patience would be kept
        conf.set("fs.s3a.impl.disable.cache", "true")
        conf.set("fs.s3a.attempts.maximum", "1")
        conf.set("fs.s3a.retry.limit", str(tries - 1))
        conf.set("fs.s3a.retry.interval", "10ms")
        self._jvm, self._conf = jvm, conf
        self._store = jvm.feldspar.ConditionalLogStore(conf)

    def write(self, uri: str, *lines: str, overwrite: bool = False) -> str:
        """Writes a commit; returns the class of what was thrown, or nothing."""
        actions = self._jvm.java.util.ArrayList()
        for line in lines:
            actions.add(line)
        path = self._jvm.org.apache.hadoop.fs.Path(uri)
        try:
            self._store.write(path, actions.iterator(), overwrite, self._conf)
        except Py4JJavaError as error:
            thrown: str = error.java_exception.getClass().getName()
            return thrown
        return ""


@pytest.fixture(scope="module")
def storage(stack: LocalStack) -> StorageSpec:
    return stack.environment.storage


@pytest.fixture(scope="module")
def proxy(storage: StorageSpec) -> Iterator[FaultyS3]:
    assert storage.endpoint
    with faulty_s3(storage.endpoint) as running:
        yield running


@pytest.fixture(scope="module")
def direct(spark: SparkSession, storage: StorageSpec) -> LogStore:
    return LogStore(spark, storage)


@pytest.fixture(scope="module")
def disturbed(spark: SparkSession, storage: StorageSpec, proxy: FaultyS3) -> LogStore:
    return LogStore(spark, storage.model_copy(update={"endpoint": proxy.endpoint}))


@pytest.fixture
def commit(request: pytest.FixtureRequest) -> str:
    """The address of a commit that nobody wrote yet."""
    return f"s3a://feldspar/logs/{request.node.name}/_delta_log/{0:020d}.json"


def puts_meet(proxy: FaultyS3, *faults: Fault) -> None:
    """The next requests that write a commit meet these faults, in turn; the others none."""
    turn = count()

    def choose(method: str, path: str) -> Fault:
        if method != "PUT" or "_delta_log" not in path:
            return Fault.NONE
        number = next(turn)
        return faults[number] if number < len(faults) else Fault.NONE

    proxy.met.clear()
    proxy.chooser = choose


def test_the_jar_is_what_the_source_compiles_to() -> None:
    assert compiled(os.environ) == JAR.read_bytes()


def test_sessions_write_delta_logs_with_it(spark: SparkSession) -> None:
    assert spark.conf.get(SETTING) == CLASS


def test_a_session_with_another_store_than_is_asked_for_is_refused(
    spark: SparkSession, stack: LocalStack
) -> None:
    environment = stack.environment
    other = environment.spark.model_copy(update={"conf": {SETTING: "other.Store"}})
    with pytest.raises(UsageError, match=rf"on S3 by {CLASS}, not by other\.Store"):
        open_session(environment.model_copy(update={"spark": other}), app_name="other")
    assert spark.conf.get(SETTING) == CLASS


def test_a_commit_is_written_once(direct: LogStore, storage: StorageSpec, commit: str) -> None:
    assert direct.write(commit, "one", "two") == ""
    assert direct.write(commit, "three") == TAKEN
    assert read_bytes(commit, storage=storage) == b"one\ntwo\n"


def test_what_may_be_replaced_is(direct: LogStore, storage: StorageSpec, commit: str) -> None:
    assert direct.write(commit, "one") == ""
    assert direct.write(commit, "two", overwrite=True) == ""
    assert read_bytes(commit, storage=storage) == b"two\n"


def test_of_writers_at_the_same_time_one_wins(
    spark: SparkSession, storage: StorageSpec, commit: str
) -> None:
    writers = [LogStore(spark, storage) for _ in range(8)]
    with ThreadPoolExecutor(len(writers)) as pool:
        thrown = list(
            pool.map(lambda at: writers[at].write(commit, f"of {at}"), range(len(writers)))
        )
    assert sorted(thrown) == ["", *[TAKEN] * 7]
    assert read_bytes(commit, storage=storage) == f"of {thrown.index('')}\n".encode()


@pytest.mark.parametrize(
    "faults",
    [
        (Fault.LOST_ANSWER,),
        (Fault.WRONG_ANSWER,),
        (Fault.REFUSED, Fault.LOST_ANSWER),
        (Fault.WRONG_ANSWER, Fault.REFUSED, Fault.REFUSED),
    ],
    ids=lambda faults: "-".join(fault.name.lower() for fault in faults),
)
def test_a_commit_whose_answer_was_lost_is_known_as_ones_own(
    disturbed: LogStore,
    proxy: FaultyS3,
    storage: StorageSpec,
    commit: str,
    faults: tuple[Fault, ...],
) -> None:
    puts_meet(proxy, *faults)
    assert disturbed.write(commit, "mine") == ""
    assert [fault for fault, *_ in proxy.met] == list(faults)
    assert read_bytes(commit, storage=storage) == b"mine\n"


@pytest.mark.parametrize("fault", [Fault.LOST_ANSWER, Fault.WRONG_ANSWER, Fault.REFUSED])
def test_another_drivers_commit_is_not_taken_for_ones_own(
    direct: LogStore,
    disturbed: LogStore,
    proxy: FaultyS3,
    storage: StorageSpec,
    commit: str,
    fault: Fault,
) -> None:
    assert direct.write(commit, "another's") == ""
    puts_meet(proxy, *[fault] * ALWAYS)
    assert disturbed.write(commit, "mine") == TAKEN
    assert read_bytes(commit, storage=storage) == b"another's\n"


def test_a_commit_that_the_server_never_saw_is_an_error_and_no_conflict(
    disturbed: LogStore, proxy: FaultyS3, storage: StorageSpec, commit: str
) -> None:
    puts_meet(proxy, *[Fault.REFUSED] * ALWAYS)
    assert disturbed.write(commit, "mine") not in ("", TAKEN)
    assert not exists(storage, commit)


def test_a_server_that_creates_twice_is_found(storage: StorageSpec, proxy: FaultyS3) -> None:
    assert creates_once(storage)
    proxy.chooser = lambda method, _: Fault.PRAISED if method == "PUT" else Fault.NONE
    assert not creates_once(storage.model_copy(update={"endpoint": proxy.endpoint}))
    assert not [one for one in list_files("s3a://feldspar", storage) if "probe" in one.uri]

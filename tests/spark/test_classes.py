"""The archive of Spark's classes: made, mapped by the JVM, and never in the way."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from feldspar.launch.classes import archive_path, use_option
from feldspar.launch.jars import cache_folder, jar_paths, read_lock
from feldspar.launch.java import find_java, java_home
from feldspar.launch.submit import spark_conf
from feldspar.spec.environment import Environment
from support.places import disk_environment

MAPS = Path("/proc/self/maps")
OTHER_JAVA = "#!/bin/sh\necho 'openjdk version \"17.0.1\"' >&2\n"


@pytest.fixture
def variables(tmp_path: Path) -> dict[str, str]:
    """The process environment with a cache of its own, which holds the jars and no archive."""
    own = {**os.environ, "FELDSPAR_CACHE": str(tmp_path / "cache")}
    folder = cache_folder(read_lock(), own)
    folder.mkdir(parents=True)
    for jar in jar_paths(os.environ):
        (folder / jar.name).symlink_to(jar)
    return own


@pytest.mark.skipif(not MAPS.exists(), reason="this system does not list what a process maps")
def test_archive_of_setup_is_mapped(spark: SparkSession, disk: Environment) -> None:
    archive = archive_path(java_home(disk.state_folder, os.environ) / "bin" / "java", os.environ)
    if not archive.is_file() and os.environ.get("CI") != "true":
        pytest.skip("no archive of Spark's classes: python -m feldspar.launch.archive")
    # pyspark has no public name for the JVM
    jvm = spark.sparkContext._jvm  # noqa: SLF001
    assert jvm is not None
    pid = jvm.java.lang.ProcessHandle.current().pid()
    assert str(archive) in Path(f"/proc/{pid}/maps").read_text(encoding="utf-8")


def test_without_an_archive_spark_is_asked_for_none(
    variables: dict[str, str], tmp_path: Path
) -> None:
    conf = spark_conf(disk_environment(tmp_path), variables)
    assert "SharedArchiveFile" not in conf["spark.driver.extraJavaOptions"]


def test_archive_of_another_java_is_not_used(variables: dict[str, str], tmp_path: Path) -> None:
    java = find_java(variables)
    archive_path(java, variables).write_bytes(b"of this Java")
    other = tmp_path / "java"
    other.write_text(OTHER_JAVA, encoding="utf-8")
    other.chmod(0o755)
    assert "SharedArchiveFile" in use_option(java, variables)
    assert use_option(other, variables) == ""


def test_archive_of_other_jars_is_not_used(variables: dict[str, str]) -> None:
    java = find_java(variables)
    archive_path(java, variables).write_bytes(b"of these jars")
    jar = jar_paths(variables)[0]
    jar.unlink()
    jar.write_bytes(b"another")
    assert use_option(java, variables) == ""


def test_unusable_archive_is_passed_over_without_a_word(variables: dict[str, str]) -> None:
    java = find_java(variables)
    archive_path(java, variables).write_bytes(b"half an archive")
    words = [str(java), *shlex.split(use_option(java, variables)), "-version"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    plain = subprocess.run([str(java), "-version"], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stdout == ""
    # the last word is how the JVM runs, "sharing" where it maps an archive
    assert done.stderr.splitlines()[:2] == plain.stderr.splitlines()[:2]

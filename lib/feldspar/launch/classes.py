"""An archive of Spark's and Delta's classes that the JVM maps, where it would load and check them.

The JVM itself refuses an archive of another build or of other jars, and starts as it does without.
``feldspar.launch.archive`` makes the archive.
"""

from __future__ import annotations

import hashlib
import os
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path

from feldspar.launch.jars import cache_folder, jar_paths, read_lock, spark_home
from feldspar.launch.java import java_build

# a refused archive is no news to the user: the start is slower, nothing else
QUIET = "-Xlog:cds*=off"


def class_path(variables: Mapping[str, str]) -> str:
    """The jars of the list for the class path of the JVM: only what stands there is archived.

    Raises:
        UsageError: some are missing.
    """
    return os.pathsep.join(str(path) for path in jar_paths(variables))


def archive_path(java: Path, variables: Mapping[str, str]) -> Path:
    """The archive for this Java, this Spark and these jars, beside the jars; it may not be there.

    The name ends with what the files are, after where they are: archives of an earlier
    installation in the same place are told by the first part.

    Raises:
        UsageError: Spark is not installed, or jars are missing.
    """
    lock = read_lock()
    spark = spark_home() / "jars"
    where = _digest([java_build(java), str(spark)])
    # unsorted: the JVM, too, takes Spark's jars in the order in which the folder lists them
    jars = [*(Path(entry) for entry in os.scandir(spark)), *jar_paths(variables)]
    what = _digest(f"{jar.name} {jar.stat().st_size} {jar.stat().st_mtime_ns}" for jar in jars)
    return cache_folder(lock, variables) / f"classes-{where}-{what}.jsa"


def use_option(java: Path, variables: Mapping[str, str]) -> str:
    """The options with which a JVM maps the archive, for a shell's ears; none where it is not.

    Raises:
        UsageError: Spark is not installed, or jars are missing.
    """
    archive = archive_path(java, variables)
    if not archive.is_file():
        return ""
    return f"{shlex.quote(f'-XX:SharedArchiveFile={archive}')} {QUIET}"


def _digest(words: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(words).encode()).hexdigest()[:12]

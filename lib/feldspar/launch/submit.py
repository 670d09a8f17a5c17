"""How Spark is started: its settings as a private properties file, and the command for a job.

Nothing here loads Spark. Settings travel in a file that only its owner can read, because a
command line, with the keys on it, can be read by every user of the machine.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import feldspar
from feldspar.launch.classes import class_path, use_option
from feldspar.launch.jars import connector_paths, jar_paths, spark_home
from feldspar.launch.java import java_home
from feldspar.launch.log_store import CLASS as LOG_STORE
from feldspar.launch.log_store import JAR as LOG_STORE_JAR
from feldspar.launch.log_store import SETTING
from feldspar.spec.environment import Environment
from feldspar.spec.storage_options import fs_s3a_conf

_WORKERS = "feldspar.run.workers"
_OPTIONS = ("spark.driver.extraJavaOptions", "spark.executor.extraJavaOptions")

_SESSION = {
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.adaptive.enabled": "true",
    "spark.sql.shuffle.partitions": "4",
    "spark.sql.execution.arrow.pyspark.enabled": "true",
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    # times in nanoseconds (pandas writes them) are an error otherwise; ingest makes times of them
    "spark.sql.legacy.parquet.nanosAsLong": "true",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.databricks.delta.snapshotPartitions": "2",
    # a method of more than 8,000 bytes is never compiled by the JVM: where a table has many checks,
    # Spark's generated code for a stage is one, and each row would be interpreted. Past this limit
    # Spark makes many small methods (100 checks take half the time)
    "spark.sql.codegen.hugeMethodLimit": "8000",
    # rows that are kept are read once or twice and dropped: looking for a way to compress each
    # column costs nearly as much as writing them to a table
    "spark.sql.inMemoryColumnarStorage.compressed": "false",
    # or each function of a column asks the JVM several times where in the code it is called: a
    # table's checks are hundreds of them, in every round of a stream
    "spark.python.sql.dataFrameDebugging.enabled": "false",
}
# Spark deals files out to tasks by their bytes and what opening one costs, by default as much as
# reading 4 MiB. On S3 it does; on a disk, of a table with a few large and some small files, one of
# two tasks got 94 % of the bytes (docs/decisions/0028)
_ON_DISK = {"spark.sql.files.openCostInBytes": str(512 * 2**10)}
_LOG_STORE = {SETTING: LOG_STORE, SETTING.replace("s3a", "s3"): LOG_STORE}
# Python workers keep the memory of one bucket's arrays for the next. Given back and asked for
# again each time, as the allocator does of itself, it cost a fifth of the time of windows over
# 20 M payments.
_WORKER_MEMORY = {
    "spark.executorEnv.MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "spark.executorEnv.MALLOC_TRIM_THRESHOLD_": str(256 << 20),
}
# An executor inside the driver's own process needs no sign of life. A computer that slept for two
# minutes would take it for lost, and the run with it.
_LOCAL = {
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.storage.blockManagerHeartbeatTimeoutMs": "8760h",
    "spark.pyspark.python": sys.executable,
    "spark.python.daemon.module": _WORKERS,
}
# Most jobs of one machine end before code that the second compiler made pays for the time it took:
# code must run four times as often as the JVM asks for (a first join of 1 M with 3 x 10 M rows in a
# session: 18.0 -> 15.9 s on 2 cores, the second 8.7 -> 9.2 s).
_LOCAL_JAVA = (
    "-XX:Tier4InvocationThreshold=20000 -XX:Tier4MinInvocationThreshold=2400"
    " -XX:Tier4CompileThreshold=60000 -XX:Tier4BackEdgeThreshold=160000"
)
_LOGGING = """# Written at each start: Spark's own words go to a file, the terminal is for results.
rootLogger.level = warn
rootLogger.appenderRef.file.ref = file
appender.file.type = RollingFile
appender.file.name = file
appender.file.fileName = {folder}/spark.log
appender.file.filePattern = {folder}/spark-%i.log
appender.file.layout.type = PatternLayout
appender.file.layout.pattern = %d{{yyyy-MM-dd'T'HH:mm:ss.SSS}} %pid %p %c{{1}}: %m%n%ex
appender.file.policies.type = Policies
appender.file.policies.size.type = SizeBasedTriggeringPolicy
appender.file.policies.size.size = 20MB
appender.file.strategy.type = DefaultRolloverStrategy
appender.file.strategy.max = 3
"""


def spark_conf(environment: Environment, variables: Mapping[str, str]) -> dict[str, str]:
    """Every setting that Spark is started with, secrets included.

    Args:
        environment: what it says under ``spark.conf`` wins over the defaults here.
        variables: usually the process environment; says where jars are cached.

    Raises:
        UsageError: jars are missing.
    """
    return {**_launch_conf(environment, variables), **session_conf(environment)}


def session_conf(environment: Environment) -> dict[str, str]:
    """The part that may also be set once Spark's JVM runs: SQL, Delta and storage."""
    scans = {} if environment.storage.on_s3 else _ON_DISK
    hadoop = {f"spark.hadoop.{k}": v for k, v in fs_s3a_conf(environment.storage).items()}
    own = {k: v for k, v in environment.spark.conf.items() if k not in _OPTIONS}
    warehouse = str(environment.state_folder / "warehouse")
    return {**_SESSION, "spark.sql.warehouse.dir": warehouse, **scans, **hadoop, **own}


def write_properties(environment: Environment, variables: Mapping[str, str]) -> Path:
    """Writes the settings to .feldspar/spark/<environment>.conf, for its owner alone."""
    path = environment.state_folder / "spark" / f"{environment.name}.conf"
    conf = spark_conf(environment, variables)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(f".{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        file.writelines(f"{key} {_escaped(value)}\n" for key, value in sorted(conf.items()))
    draft.replace(path)
    return path


def submit_command(
    environment: Environment,
    job: Path,
    arguments: Sequence[str],
    *,
    variables: Mapping[str, str],
) -> list[str]:
    """The real ``spark-submit`` command line of a job; run it with ``submit_variables``.

    Raises:
        UsageError: Spark is not installed, or jars are missing.
    """
    return [
        str(spark_home() / "bin" / "spark-submit"),
        *("--properties-file", str(write_properties(environment, variables))),
        *("--driver-memory", environment.spark.driver_memory),
        str(job),
        *arguments,
    ]


def submit_variables(environment: Environment, variables: Mapping[str, str]) -> dict[str, str]:
    """The variables a started Spark needs: ``variables`` with Java, Spark and Python named.

    Raises:
        UsageError: there is no Java that runs Spark.
    """
    library = str(Path(feldspar.__path__[0]).parent)
    paths = [library, *(p for p in variables.get("PYTHONPATH", "").split(os.pathsep) if p)]
    return {
        **variables,
        "JAVA_HOME": str(java_home(environment.state_folder, variables)),
        "SPARK_HOME": str(spark_home()),
        # stands on the class path, where an archive of classes allows no folder with files
        "SPARK_CONF_DIR": str(environment.state_folder / "spark" / "no-conf"),
        "PYSPARK_PYTHON": sys.executable,
        "PYSPARK_DRIVER_PYTHON": sys.executable,
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths)),
    }


def _launch_conf(environment: Environment, variables: Mapping[str, str]) -> dict[str, str]:
    """What only counts before the JVM starts."""
    local = environment.spark.master.startswith("local")
    options = ""
    if local:
        java = java_home(environment.state_folder, variables) / "bin" / "java"
        options = f"{use_option(java, variables)} {_LOCAL_JAVA}"
    jars = (*jar_paths(variables), *connector_paths(environment.connectors, variables))
    conf = {
        "spark.master": environment.spark.master,
        "spark.driver.memory": environment.spark.driver_memory,
        # the log store and connectors are not on the class path of the JVM: its archive of classes
        # knows only jars of the list
        "spark.jars": ",".join(map(str, (*jars, LOG_STORE_JAR))),
        **_LOG_STORE,
        **_WORKER_MEMORY,
        **_java_options(environment, options),
    }
    if local:
        conf |= {"spark.driver.extraClassPath": class_path(variables), **_LOCAL}
    return conf


def _java_options(environment: Environment, options: str) -> dict[str, str]:
    driver, executor = _OPTIONS
    logging = shlex.quote(f"-Dlog4j2.configurationFile={_logging(environment).as_uri()}")
    utc = "-Duser.timezone=UTC"
    own = environment.spark.conf
    return {
        driver: f"{utc} {logging} {options} {own.get(driver, '')}".strip(),
        executor: f"{utc} {own.get(executor, '')}".strip(),
    }


def _logging(environment: Environment) -> Path:
    folder = environment.state_folder / "logs"
    folder.mkdir(parents=True, exist_ok=True)
    path = environment.state_folder / "spark" / "log4j2.properties"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_LOGGING.format(folder=folder.as_posix()), encoding="utf-8")
    return path


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\")

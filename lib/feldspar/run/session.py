"""Opens the Spark session of an environment; the only place that builds one.

Stages get the session handed in. The command line of a job is made in ``launch.submit``.
"""

from __future__ import annotations

import os
import shlex

from py4j.protocol import Py4JJavaError
from pyspark import SparkConf, SparkContext
from pyspark.errors import AnalysisException
from pyspark.sql import SparkSession

from feldspar.errors import UsageError
from feldspar.launch.log_store import CLASS as LOG_STORE
from feldspar.launch.log_store import SETTING as LOG_STORE_SETTING
from feldspar.launch.submit import session_conf, submit_variables, write_properties
from feldspar.spec.environment import Environment
from feldspar.stores.objects import probe


def open_session(environment: Environment, *, app_name: str) -> SparkSession:
    """A session with Delta, the environment's storage, and UTC everywhere.

    Storage is probed first, so that a wrong endpoint costs seconds and not minutes. In a job
    under ``spark-submit`` master, memory and jars are what that command line says.

    Raises:
        UnreachableError: the storage does not answer.
        StoreError: it refuses the credentials, or there is no such bucket.
        UsageError: no Java, missing jars, or a Spark that was started without Delta, or with a log
            store that the environment does not ask for.
    """
    probe(environment.storage)
    if not _jvm_runs():
        _prepare_launch(environment)
        return SparkSession.builder.appName(app_name).getOrCreate()
    settings = session_conf(environment)
    conf = SparkConf().setAppName(app_name).setAll(list(settings.items()))
    # before a running session takes the settings: who is refused must leave it as it was
    _refuse_other_log_store(SparkContext.getOrCreate(conf), environment)
    return _with_delta(SparkSession.builder.config(map={**settings}).getOrCreate(), environment)


def _jvm_runs() -> bool:
    """Whether Spark's JVM is there: under ``spark-submit``, or from an earlier session."""
    # pyspark has no public name for this; settings given to a builder before the JVM runs
    # would stand on its command line for all to read
    return "PYSPARK_GATEWAY_PORT" in os.environ or SparkContext._gateway is not None  # noqa: SLF001


def _prepare_launch(environment: Environment) -> None:
    properties = write_properties(environment, os.environ)
    os.environ.update(submit_variables(environment, os.environ))
    arguments = ["--properties-file", str(properties), "pyspark-shell"]
    os.environ["PYSPARK_SUBMIT_ARGS"] = shlex.join(arguments)


def _with_delta(session: SparkSession, environment: Environment) -> SparkSession:
    nowhere = environment.state_folder / "spark" / "no-such-table"
    try:
        session.read.format("delta").load(nowhere.as_uri())
    except (AnalysisException, Py4JJavaError) as error:
        # without the class this is an error of the JVM, with it one of the missing table
        if "DATA_SOURCE_NOT_FOUND" in str(error):
            properties = f".feldspar/spark/{environment.name}.conf"
            raise UsageError(
                "this Spark was started without the Delta jars",
                hint=f"spark-submit --properties-file {properties} jobs/<job>.py, or make the job",
            ) from error
    return session


def _refuse_other_log_store(context: SparkContext, environment: Environment) -> None:
    """Delta's own store for S3 loses commits of two drivers without a word."""
    key = LOG_STORE_SETTING
    wanted = environment.spark.conf.get(key, LOG_STORE)
    found = context.getConf().get(key, "Delta's own")
    if environment.storage.on_s3 and found != wanted:
        properties = f".feldspar/spark/{environment.name}.conf"
        raise UsageError(
            f"this Spark writes Delta's log on S3 by {found}, not by {wanted}",
            hint=f"spark-submit --properties-file {properties} jobs/<job>.py, or name the store"
            f" that is meant in spark.conf: {key}",
        )

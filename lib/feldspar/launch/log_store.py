"""The jar of our log store for S3, and how it is compiled from the one Java source beside it.

The jar is a part of the repository: only who changes the source needs to compile it, by
``python -m feldspar.launch.log_store``. A test compiles the source and compares.
"""

from __future__ import annotations

import io
import os
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

from feldspar.errors import FeldsparError, StoreError
from feldspar.launch.classes import class_path
from feldspar.launch.jars import spark_home
from feldspar.launch.java import java_home
from feldspar.launch.programs import last_lines, run

CLASS = "feldspar.ConditionalLogStore"
SETTING = "spark.delta.logStore.s3a.impl"
SOURCE = Path(__file__).with_name("ConditionalLogStore.java")
JAR = Path(__file__).with_name("feldspar-log-store.jar")
_SECONDS = 60
# Janino, the compiler of expressions that Spark brings: a Java without javac will do
_COMPILER = "org.codehaus.commons.compiler.samples.CompilerDemo"
_LONG_AGO = (1980, 1, 1, 0, 0, 0)


def compiled(variables: Mapping[str, str]) -> bytes:
    """The jar that the source is compiled to; the same bytes each time.

    Raises:
        UsageError: Spark is not installed, or jars are missing.
        StoreError: the source does not compile.
    """
    with tempfile.TemporaryDirectory(prefix="feldspar-") as folder:
        java = java_home(Path(folder), variables) / "bin" / "java"
        classes = Path(folder, "classes")
        spark = sorted((spark_home() / "jars").glob("*.jar"))
        path = os.pathsep.join([*map(str, spark), class_path(variables)])
        command = [str(java), "-cp", path, _COMPILER, "-g:none", "-d", str(classes)]
        command += ["-classpath", path, str(SOURCE)]
        done = run(command, variables, seconds=_SECONDS)
        if done.returncode or not classes.is_dir():
            raise StoreError(f"{SOURCE.name} does not compile:\n{last_lines(done)}")
        return _jar(classes)


def _jar(classes: Path) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as jar:
        for file in sorted(classes.rglob("*.class")):
            name = file.relative_to(classes).as_posix()
            jar.writestr(zipfile.ZipInfo(name, _LONG_AGO), file.read_bytes())
    return content.getvalue()


def main() -> int:
    """Compiles the source and puts the jar beside it."""
    JAR.write_bytes(compiled(os.environ))
    print(f"{JAR.name}: {JAR.stat().st_size:,} bytes")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except FeldsparError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)

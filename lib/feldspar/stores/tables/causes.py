"""Why Spark failed, in one line: a Java stack trace alone helps nobody."""

from __future__ import annotations

import re

_LONGEST = 400
_RAISED = re.compile(r"^(\w+\.)*\w*(Error|Exception): ")


def cause(error: Exception) -> str:
    """The line that says why: the innermost cause in Java, or the last line of a Python worker.

    Args:
        error: what py4j or pyspark raised.
    """
    java = getattr(error, "java_exception", None)
    while java is not None and java.getCause() is not None:
        java = java.getCause()
    text = str(error if java is None else java.toString())
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if any(line.startswith("Traceback") for line in lines):
        # a Python worker's traceback: its end names the error; ours have a hint on a further line
        lines = [line for line in lines if not line.startswith(("at ", "JVM stacktrace"))]
        last = max((at for at, line in enumerate(lines) if _RAISED.match(line)), default=-1)
        return "; ".join(lines[last:]).removeprefix("feldspar.errors.")[:_LONGEST]
    return lines[0][:_LONGEST] if lines else type(error).__name__

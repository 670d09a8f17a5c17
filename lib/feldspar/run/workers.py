"""The process that a local Spark forks its Python workers from, with loaded what they all use.

Spark ends a worker that was idle for a minute. The next task forks another, which would load
Arrow, numpy and the kernels again: seconds of CPU time where tasks are a minute apart.
"""

from __future__ import annotations

import pyspark.worker  # noqa: F401 loaded for those that are forked
from pyspark.daemon import manager

import feldspar.compute.services.bucketed
import feldspar.compute.windows.batch
import feldspar.online.added
import feldspar.online.plain
import feldspar.stores.parts
import feldspar.stores.tables.small  # noqa: F401 loaded for those that are forked

if __name__ == "__main__":
    manager()

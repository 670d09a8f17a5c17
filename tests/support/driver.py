"""A Spark driver of its own that appends to a Delta table, one commit after the other.

``python -m support.driver <conf> <table> <name> <commits>``: says ``ready``, waits for a line,
and then says each commit's number once Delta acknowledged it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from feldspar.run.session import open_session
from feldspar.spec.environment import load_environment

ROWS = 3
COLUMNS = "driver string, commit bigint, row bigint"


def main() -> None:
    """Appends ``ROWS`` rows a commit."""
    conf, table, name, commits = sys.argv[1:]
    spark = open_session(load_environment(Path(conf), "disk", os.environ), app_name=name)
    # what the first write has to load would keep the drivers apart
    spark.read.format("delta").load(table).count()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    for commit in range(int(commits)):
        rows = spark.createDataFrame([(name, commit, row) for row in range(ROWS)], COLUMNS)
        rows.coalesce(1).write.format("delta").mode("append").save(table)
        sys.stdout.write(f"{commit}\n")
        sys.stdout.flush()
    spark.stop()


if __name__ == "__main__":
    main()

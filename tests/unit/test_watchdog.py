"""A round that hangs ends its process, and says which steps were running; others go on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event

from feldspar.graph.steps import Mode, RefineStep, Status
from feldspar.run.running import Begun, Running
from feldspar.run.watchdog import UNDER_A_JVM, Watchdog, told
from feldspar.stores.tables import steps
from feldspar.stores.tables.lake import Lake
from support.places import REPOSITORY, disk_environment

STARTED = datetime(2026, 11, 1, 12, tzinfo=UTC)
REFINE = RefineStep(
    "silver.transactions", Status.RUN, "new rows", table="transactions", after=None, upto=3,
    mode=Mode.APPEND, generation=0,
)  # fmt: skip
PROGRAM = """\
import sys
from datetime import timedelta
from pathlib import Path
from threading import Event, Thread

from feldspar.run.watchdog import Watchdog
from feldspar.run.running import Running
from feldspar.stores.tables.lake import Lake
from feldspar.times import utc_now
from support.places import disk_environment
from unit.test_watchdog import REFINE

running, lake = Running(), Lake.of(disk_environment(Path(sys.argv[1])))
# not a daemon: an ordinary exit would wait for it
Thread(target=Event().wait).start()
with Watchdog(running, lake, 5, timedelta(milliseconds=300)).over(7):
    with running.step(REFINE, started=utc_now()):
        Event().wait()
"""


def variables() -> dict[str, str]:
    path = os.pathsep.join([str(REPOSITORY / "lib"), str(REPOSITORY / "tests")])
    return {**os.environ, "PYTHONPATH": path}


LAUNCHER = """\
import subprocess, sys
subprocess.run([sys.executable, "-c", *sys.argv[1:]])
print("the driver has ended", flush=True)
sys.stdin.readline()
"""


def hanging(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder)],
        env=variables(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_process_that_hangs_ends_and_says_what_was_running(tmp_path: Path) -> None:
    done = hanging(tmp_path)

    first, second, *_ = done.stderr.splitlines()
    assert (done.returncode, first) == (
        1, "round 7 is stuck: not done after 0s; the process ends",
    )  # fmt: skip
    assert second.startswith("  refine silver.transactions runs since 20")


def test_what_was_stuck_is_entered_in_ops_steps(tmp_path: Path) -> None:
    hanging(tmp_path)

    (row,) = steps.newest(Lake.of(disk_environment(tmp_path))).values()
    assert (row.run, row.round, row.step, row.outcome) == (5, 7, "silver.transactions", "stuck")


def test_a_launcher_that_hangs_too_is_killed_after_a_while(tmp_path: Path) -> None:
    program = PROGRAM.replace("milliseconds=300)", "milliseconds=300), timedelta(seconds=1)")
    with subprocess.Popen(
        [sys.executable, "-c", LAUNCHER, program, str(tmp_path)],
        env={**variables(), UNDER_A_JVM: "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as launcher:
        assert launcher.stdout is not None
        said = launcher.stdout.readline()
        code = launcher.wait(120)

    assert (said, code) == ("the driver has ended\n", -signal.SIGKILL)


def test_a_round_in_time_is_left_alone(tmp_path: Path) -> None:
    lake = Lake.of(disk_environment(tmp_path))
    watchdog = Watchdog(Running(), lake, 1, timedelta(milliseconds=50))
    with watchdog.over(1):
        pass

    # the process would be gone by then
    assert not Event().wait(0.2)


def test_steps_are_told_with_their_beginning() -> None:
    now = STARTED + timedelta(minutes=31)

    lines = told([Begun(REFINE, STARTED)], bound=timedelta(minutes=30), number=3, now=now)

    assert lines == [
        "round 3 is stuck: not done after 30m; the process ends",
        "  refine silver.transactions runs since 2026-11-01 12:00:00Z (1,860 s)",
        "  what was committed stays; see: feldspar doctor; go on with: feldspar stream",
        "  a first round over much data may need longer: --stuck-after 6h, or feldspar apply",
    ]


def test_a_look_that_hangs_is_told_without_steps() -> None:
    lines = told([], bound=timedelta(minutes=30), number=1, now=STARTED)

    assert lines[1] == "  no step was running: a store that was asked what waits did not answer"


def test_a_step_runs_until_it_ends_however_that_is() -> None:
    running = Running()
    with running.step(REFINE, started=STARTED):
        during = running.now()

    assert (during, running.now()) == ((Begun(REFINE, STARTED),), ())

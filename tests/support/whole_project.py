"""The example project on real servers, made by its jobs one after the other: what users run."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from feldspar.launch.submit import submit_command, submit_variables
from feldspar.spec.environment import Environment, load_environment
from support.places import QUICK_JAVA, REPOSITORY

NAMESPACE = "whole"
PATIENCE = 600
STAGES = ("generate", "ingest", "refine", "features", "quality", "online", "train")


@dataclass(frozen=True)
class Finished:
    """A process that ended."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class WholeProject:
    """A copy of this repository's definitions and jobs, and the variables it runs with."""

    folder: Path
    environ: Mapping[str, str]

    @staticmethod
    def make(folder: Path) -> WholeProject:
        """Puts definitions and jobs beside the servers of ``folder``; searches are kept short."""
        for part in ("conf", "jobs"):
            shutil.copytree(REPOSITORY / part, folder / part, dirs_exist_ok=True)
        for path in (folder / "conf" / "models").glob("*.yaml"):
            text = path.read_text(encoding="utf-8")
            short = re.sub(r"search: \{.*\}", "search: {budget: 2s, max_trials: 3}", text)
            path.write_text(short, encoding="utf-8")
        settings = folder / "conf" / "environments" / "local.yaml"
        text = settings.read_text(encoding="utf-8")
        short = text.replace("-XX:+UseParallelGC", QUICK_JAVA)
        settings.write_text(short, encoding="utf-8")
        library = os.pathsep.join([str(REPOSITORY / "lib"), os.environ.get("PYTHONPATH", "")])
        return WholeProject(
            folder,
            {
                **os.environ,
                "PYTHONPATH": library,
                "FELDSPAR_CONF": str(folder / "conf"),
                "FELDSPAR_ENV": "local",
                "FELDSPAR_NAMESPACE": NAMESPACE,
                "FELDSPAR_DRIVER_MEMORY": "1g",
                "PAYMENTS": "40000",
            },
        )

    @property
    def environment(self) -> Environment:
        """conf/environments/local.yaml, with the servers of this project."""
        return load_environment(self.folder / "conf", "local", self.environ)

    def job(self, name: str, *words: str) -> Finished:
        """``jobs/<name>.py`` by the real spark-submit."""
        command = submit_command(
            self.environment,
            self.folder / "jobs" / f"{name}.py",
            [*words, "--conf", str(self.folder / "conf"), "--env", "local"],
            variables=self.environ,
        )
        return self._run(command, submit_variables(self.environment, self.environ))

    def console(self, *words: str) -> Finished:
        """``feldspar <words>``."""
        return self._run([sys.executable, "-m", "feldspar.cli.main", *words], self.environ)

    def python(self, *files: Path) -> Finished:
        """Files as plain Python, one after the other, e.g. notebooks."""
        # a file of its own: pyspark takes a main module without one for its own tests
        runner = self.folder / "one_after_the_other.py"
        runner.write_text("import runpy, sys\nfor file in sys.argv[1:]: runpy.run_path(file)\n")
        return self._run([sys.executable, str(runner), *map(str, files)], self.environ)

    def answer(self, *words: str) -> Any:
        """What ``feldspar <words> --json`` answers."""
        finished = self.console(*words, "--json")
        assert finished.code == 0, finished.err
        return json.loads(finished.out)

    def _run(self, command: list[str], variables: Mapping[str, str]) -> Finished:
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=dict(variables),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        return Finished(done.returncode, done.stdout, done.stderr)

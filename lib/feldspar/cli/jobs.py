"""Verbs that need Spark: each starts ``spark-submit jobs/<verb>.py`` with the same arguments.

What can be known without Spark is checked first: a typo must not cost the start of a JVM. The
jobs themselves are in ``run``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from feldspar.cli.arguments import DONE, Arguments, Subparsers, add_verb
from feldspar.cli.child import run_child
from feldspar.cli.output import print_json, say
from feldspar.cli.planning import make_plan
from feldspar.cli.project import Project
from feldspar.errors import UsageError
from feldspar.graph.steps import VERBS as STEP_VERBS
from feldspar.launch.submit import submit_command, submit_variables
from feldspar.names import set_name
from feldspar.times import parse_duration, parse_instant, parse_since, utc_now


@dataclass(frozen=True)
class Option:
    """One argument of a job: ``name`` begins with ``--`` unless it is told by its place."""

    name: str
    help: str
    metavar: str = ""
    choices: tuple[str, ...] = ()
    required: bool = False
    flag: bool = False

    @property
    def key(self) -> str:
        """Its name in the parsed arguments."""
        return self.name.lstrip("-").replace("-", "_")

    def settings(self) -> dict[str, Any]:
        """What argparse is told of it."""
        if self.flag:
            return {"help": self.help, "action": "store_true"}
        named = {"required": self.required} if self.name.startswith("--") else {}
        choices, metavar = self.choices or None, self.metavar or None
        return {"help": self.help, "metavar": metavar, "choices": choices, **named}

    def words(self, arguments: Arguments) -> list[str]:
        """The words that say the same to the job."""
        value = getattr(arguments, self.key)
        if value is None or value is False:
            return []
        if self.flag:
            return [self.name]
        return [self.name, str(value)] if self.name.startswith("--") else [str(value)]


_ACCEPT = Option("--accept", "carry out what is blocked too, as feldspar plan lists it", flag=True)
_SERVICE = Option("service", "a service of conf/services", metavar="SERVICE")
_SPINE = Option(
    "--spine",
    "rows to answer for: a table (layer.name) or Parquet file",
    "TABLE|FILE",
    required=True,
)
_OUT = Option(
    "--out", "where to: a table (training.name) or Parquet file", "TABLE|FILE", required=True
)
_TIME = Option("--time", "the spine's time column (default: the event time of its table)", "COLUMN")
_AS_OF = Option(
    "--as-of",
    "known: what had arrived by each moment (default); event: what is known today",
    choices=("known", "event"),
)
_EXTEND = Option(
    "--extend",
    "add only the rows that the table does not hold yet; equals one built whole, or is refused",
    flag=True,
)
_EVERY = Option("--every", "from one round to the next, e.g. 5s or 10m (default: 30s)", "DURATION")
_STUCK_AFTER = Option(
    "--stuck-after", "end the process when a round takes longer (default: 30m)", "DURATION"
)
_METRICS = Option("--metrics", "write Prometheus' text to this file after each round", "FILE")
_AT = Option("--at", "the time T, e.g. 2018-09-30T23:59:59Z (default: the clock)", "TIME")

OPTIONS: Mapping[str, tuple[Option, ...]] = {
    "apply": (_ACCEPT, Option("--only", "only steps of one kind", choices=STEP_VERBS)),
    "stream": (_EVERY, _STUCK_AFTER, _METRICS),
    "ingest": (_ACCEPT,),
    "refine": (_ACCEPT,),
    "history": (_ACCEPT,),
    "features": (_ACCEPT,),
    "quality": (),
    "train": (),
    "online": (
        Option("action", "what to do with Redis", choices=("push", "rebuild", "verify")),
        _AT,
    ),
    "training-set": (_SERVICE, _SPINE, _OUT, _TIME, _AS_OF, _EXTEND),
    "training-set diff": (
        Option("left", "a table, training.NAME, or a version of it, training.NAME@3", metavar="A"),
        Option("right", "the same", metavar="B"),
    ),
    "score": (_SERVICE, _SPINE, _OUT, _TIME),
    "quarantine replay": (
        Option("table", "a table of conf/tables", metavar="TABLE"),
        Option("--rule", "only rows with this reason, e.g. amount:between", "RULE"),
        Option("--since", "only rows that came since then: 24h, 2026-01-31T00:00:00Z", "TIME"),
        Option("--dry-run", "only say what would be accepted", flag=True),
    ),
    "audit": (
        Option("--service", "a service of conf/services (default: all that answered)", "SERVICE"),
        Option("--since", "only answers given since then: 24h, 2026-01-31T00:00:00Z", "TIME"),
        Option("--until", "only answers given before then", "TIME"),
        Option("--sample", "at most so many answers, chosen by their ids", "N"),
    ),
    "handbook": (),
}

PLANNED: Mapping[str, str | None] = {
    "apply": None,
    **{verb: verb for verb in ("ingest", "refine", "history", "features", "quality", "train")},
}
"""Verbs that carry out steps of the plan, and the kind of step where it is one."""

EXAMPLES: Mapping[str, str] = {
    "apply": "feldspar apply\nfeldspar apply --only features --accept",
    "stream": "feldspar stream\nfeldspar stream --every 5s\n"
    "feldspar stream --stuck-after 10m --metrics /var/lib/node_exporter/feldspar.prom",
    "ingest": "feldspar ingest --json",
    "refine": "feldspar refine",
    "history": "feldspar history",
    "features": "feldspar features",
    "quality": "feldspar quality",
    "train": "feldspar train",
    "online": "feldspar online push\nfeldspar online rebuild\n"
    "feldspar online verify --at 2018-09-30T23:59:59Z",
    "training-set": "feldspar training-set payment_fraud_service "
    "--spine silver.transactions --out training.payments\n"
    "feldspar training-set payment_fraud_service "
    "--spine silver.transactions --out training.payments --extend\n"
    "feldspar training-set payment_fraud_service --spine spine.parquet --out set.parquet",
    "training-set diff": "feldspar training-set diff training.payments@3 training.payments\n"
    "feldspar training-set diff training.payments training.other --json",
    "score": "feldspar score credit_scoring_service --spine customers.parquet --out scores.parquet",
    "quarantine replay": "feldspar quarantine replay transactions --dry-run\n"
    "feldspar quarantine replay transactions --rule amount:between",
    "audit": "feldspar audit\n"
    "feldspar audit --service payment_fraud_service --since 2026-01-31T00:00:00Z\n"
    "feldspar audit --sample 10000 --json",
    "handbook": "feldspar handbook",
}


def add_parser(subparsers: Subparsers) -> None:
    """Adds every verb that is a job."""
    for verb, options in OPTIONS.items():
        parser = add_verb(subparsers, verb, example=EXAMPLES[verb], handler=submit)
        for option in options:
            parser.add_argument(option.name, **option.settings())


def submit(arguments: Arguments) -> int:
    """Runs the verb's job; its exit code is the verb's.

    Raises:
        UsageError: the definitions, the arguments or the installation are not good.
    """
    project = Project.of(arguments)
    _check(arguments, project)
    if arguments.verb in PLANNED and _is_done(arguments, project):
        return DONE
    return start_job(arguments, project, OPTIONS[arguments.verb])


def start_job(arguments: Arguments, project: Project, options: Sequence[Option]) -> int:
    """Runs the verb's job with these of its arguments; its exit code is the verb's.

    Raises:
        UsageError: the environment or the installation is not good.
    """
    environment = project.environment()
    words = job_words(arguments, options)
    command = submit_command(
        environment, job_file(project, arguments.verb), words, variables=project.variables
    )
    variables = submit_variables(environment, project.variables)
    return run_child(command, variables, answers_json=arguments.json)


def _is_done(arguments: Arguments, project: Project) -> bool:
    """Whether the plan has nothing to run: then no JVM is started, and it is said why.

    Raises:
        PlanBlockedError: a breaking change waits for --accept.
    """
    verb = PLANNED[arguments.verb] or getattr(arguments, "only", None)
    whole = make_plan(project, accept=getattr(arguments, "accept", False))
    chosen = whole if verb is None else whole.of(verb)
    chosen.refuse_blocked()
    if chosen.to_run:
        return False
    if arguments.json:
        print_json({"run": None, "steps": [step.name for step in chosen.steps]})
        return True
    for step in chosen.steps:
        say(f"{step.verb} {step.name}: {step.reason}")
    say("nothing to do: everything is up to date")
    return True


def job_words(arguments: Arguments, options: Sequence[Option]) -> list[str]:
    """The job's command line: the verb's own arguments, as they were given."""
    words = ["--conf", arguments.conf, "--env", arguments.env]
    words += ["--json"] if arguments.json else []
    return [*words, *(word for option in options for word in option.words(arguments))]


def job_file(project: Project, verb: str) -> Path:
    """The file that spark-submit runs.

    Raises:
        UsageError: the project has no such job.
    """
    path = project.folder / "jobs" / f"{verb.replace('-', '_').replace(' ', '_')}.py"
    if not path.is_file():
        text = f"{path} is not there: {verb} is a Spark job of the project"
        raise UsageError(text, hint="run in the project's folder, or say --conf FOLDER")
    return path


def _check_bound(text: str) -> None:
    if not parse_duration(text):
        raise UsageError(f"--stuck-after {text} would end every round", hint="write e.g. 30m")


def _check_number(text: str) -> None:
    if not text.isdecimal() or not int(text):
        raise UsageError(f"--sample {text} is no number of answers", hint="write e.g. 10000")


def _check_folder(file: str) -> None:
    """A file is written after each round: better told now than then."""
    folder = Path(file).absolute().parent
    if not folder.is_dir():
        raise UsageError(f"{folder} is not there: {file} cannot be written", hint="make the folder")


def _check_since(text: str) -> None:
    parse_since(text, utc_now())


def _check(arguments: Arguments, project: Project) -> None:
    """Whatever can be wrong without Spark."""
    graph = project.graph()
    checks = {
        "service": graph.service,
        "table": graph.table,
        "at": parse_instant,
        "since": _check_since,
        "until": _check_since,
        "sample": _check_number,
        "every": parse_duration,
        "stuck_after": _check_bound,
        "metrics": _check_folder,
        "left": set_name,
        "right": set_name,
    }
    for name, check in checks.items():
        if getattr(arguments, name, None) is not None:
            check(getattr(arguments, name))
    if getattr(arguments, "extend", False) and set_name(arguments.out)[1] is not None:
        text = f"--extend adds to the newest version of a table, not to {arguments.out}"
        raise UsageError(text, hint=f"--out {arguments.out.partition('@')[0]}")

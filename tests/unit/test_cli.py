"""The console as a program: exit codes, where text goes, JSON, no traceback, no JVM."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake
from pyarrow import csv

from feldspar.cli.verbs import VERBS
from support.console import Ran, feldspar
from support.small_project import broken_project, write_project

LIBRARY = str(Path(__file__).parents[2] / "lib")
ENVIRONMENT = """\
namespace: test
storage: {root: lake}
redis: {url: "redis://127.0.0.1:1/0"}
mlflow: {tracking_uri: "sqlite:///mlflow.db"}
"""
ROWS = 60


def command(words: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "feldspar.cli.main", *words]


def variables() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FELDSPAR")}
    return {**kept, "PYTHONPATH": LIBRARY, "COLUMNS": "200"}


def as_a_program(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(words), cwd=folder, env=variables(), capture_output=True, text=True, check=False
    )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project whose lake is a folder with two small tables."""
    write_project(tmp_path, {"environments/local.yaml": ENVIRONMENT})
    rows = pa.table(
        {
            "customer_id": pa.array([index % 3 for index in range(ROWS)], pa.int64()),
            "amount": pa.array([float(index) for index in range(ROWS)]),
            "_event_time": pa.array(
                [datetime(2018, 4, 1, tzinfo=UTC)] * ROWS, pa.timestamp("us", "UTC")
            ),
        }
    )
    for layer, name in (("silver", "transactions"), ("gold", "customer_spend")):
        write_deltalake(tmp_path / "lake" / "test" / layer / name, rows)
    return tmp_path


class TestCommandLine:
    @pytest.mark.parametrize("verb", VERBS)
    def test_every_verb_has_help_with_an_example_and_takes_json(
        self, verb: str, tmp_path: Path
    ) -> None:
        done = feldspar(tmp_path, verb, "--help")

        found = (done.returncode, "example:\n  feldspar " in done.stdout, "--json" in done.stdout)
        assert found == (0, True, True)

    def test_help_lists_every_verb(self, tmp_path: Path) -> None:
        listed = feldspar(tmp_path, "--help").stdout

        assert [verb for verb in VERBS if f"\n    {verb}" not in listed] == []

    def test_an_unknown_verb_names_the_nearest(self, tmp_path: Path) -> None:
        done = feldspar(tmp_path, "valdate")

        assert (done.returncode, done.stderr) == (
            2,
            "there is no verb 'valdate'; nearest: validate, audit\n  see: feldspar --help\n",
        )

    def test_an_unknown_option_is_wrong_use(self, tmp_path: Path) -> None:
        assert feldspar(tmp_path, "validate", "--jsn").returncode == 2

    def test_options_may_stand_before_the_verb(self, tmp_path: Path) -> None:
        write_project(tmp_path / "elsewhere")

        done = feldspar(tmp_path, "--conf", "elsewhere/conf", "validate")

        assert done.returncode == 0

    def test_what_looks_only_at_definitions_or_tables_loads_no_spark(self, tmp_path: Path) -> None:
        # what the others load is held by an import contract; MLflow imports pyspark by itself
        verbs = ("validate", "schema", "test", "query", "show", "serve", "up", "status")
        modules = {f"feldspar.cli.{VERBS[verb][0]}" for verb in verbs}
        program = f"import sys, {', '.join(sorted(modules))}; print('pyspark' in sys.modules)"

        done = subprocess.run(
            [sys.executable, "-c", program],
            env=variables(), capture_output=True, text=True, check=True, cwd=tmp_path,
        )  # fmt: skip

        assert done.stdout == "False\n"


class TestValidate:
    def test_it_counts_what_is_defined(self, tmp_path: Path) -> None:
        write_project(tmp_path)

        assert feldspar(tmp_path, "validate").stdout == (
            "small: 1 sources, 1 tables, 1 entities, 2 views, 1 services, 1 models: all good\n"
        )

    def test_a_wrong_definition_is_wrong_use_told_on_stderr(self, tmp_path: Path) -> None:
        broken_project(tmp_path, "views/customer_spend.yaml", old="avg(amount)", new="avg(amout)")

        done = as_a_program(tmp_path, "validate")

        assert (done.returncode, done.stdout, done.stderr.splitlines()[0]) == (
            2,
            "",
            (
                "conf/views/customer_spend.yaml:7  avg(amout): silver.transactions has no column "
                '"amout"'
            ),
        )

    def test_json_carries_every_problem(self, tmp_path: Path) -> None:
        broken_project(tmp_path, "views/customer_spend.yaml", old="avg(amount)", new="avg(amout)")

        answer = json.loads(feldspar(tmp_path, "validate", "--json").stdout)

        assert [one["line"] for one in answer["error"]["problems"]] == [7]

    def test_a_function_that_is_not_pure_is_told_with_the_line_that_names_it(
        self, tmp_path: Path
    ) -> None:
        view = "on_demand: ranks:answer\ninputs: request.amount\nfeatures: {place: double}\n"
        write_project(tmp_path, {"views/place.yaml": view})
        # -m puts the folder it is run in among those of modules
        (tmp_path / "ranks.py").write_text(
            "import pandas as pd\nprint('imported')\n"
            "def answer(df): return pd.DataFrame({'place': df.amount.rank()})\n"
        )

        done = as_a_program(tmp_path, "validate")

        assert (done.returncode, done.stdout) == (2, "")
        assert "conf/views/place.yaml:1  hook ranks:answer is not pure: place is " in done.stderr

    def test_a_folder_that_is_no_project_is_wrong_use(self, tmp_path: Path) -> None:
        (tmp_path / "conf").mkdir()

        assert feldspar(tmp_path, "validate").returncode == 2


class TestTrainingSets:
    WRONG: ClassVar = {
        ("diff", "spine.parquet", "training.b"): (
            "'spine.parquet' names no training set of the lake\n"
            "  write training.NAME, or training.NAME@VERSION; see: feldspar show tables\n"
        ),
        ("fraud", "--spine", "a.parquet", "--out", "b.parquet", "--extend"): (
            "'b.parquet' names no training set of the lake\n"
            "  write training.NAME, or training.NAME@VERSION; see: feldspar show tables\n"
        ),
        ("fraud", "--spine", "a.parquet", "--out", "training.b@2", "--extend"): (
            "--extend adds to the newest version of a table, not to training.b@2\n"
            "  --out training.b\n"
        ),
    }

    @pytest.mark.parametrize("words", WRONG, ids=" ".join)
    def test_wrong_names_are_told_before_spark_starts(
        self, words: tuple[str, ...], project: Path
    ) -> None:
        done = feldspar(project, "training-set", *words)

        assert (done.returncode, done.stderr) == (2, self.WRONG[words])

    def test_a_comparison_wants_two_sets(self, project: Path) -> None:
        done = feldspar(project, "training-set", "diff", "training.a")

        assert (done.returncode, "the following arguments are required: B" in done.stderr) == (
            2,
            True,
        )


class TestStream:
    WRONG: ClassVar = {
        ("--stuck-after", "soon"): (
            "'soon' is not a duration\n  write e.g. 90s, 5m, 1h, 7d or 2w\n"
        ),
        ("--stuck-after", "0s"): "--stuck-after 0s would end every round\n  write e.g. 30m\n",
        ("--metrics", "nowhere/feldspar.prom"): (
            "{folder}/nowhere is not there: nowhere/feldspar.prom cannot be written\n"
            "  make the folder\n"
        ),
    }

    @pytest.mark.parametrize("words", WRONG, ids=" ".join)
    def test_wrong_options_are_told_before_spark_starts(
        self, words: tuple[str, ...], project: Path
    ) -> None:
        done = feldspar(project, "stream", *words)

        assert (done.returncode, done.stderr) == (2, self.WRONG[words].format(folder=project))


class TestQuery:
    def test_it_shows_the_first_rows_and_counts_all(self, project: Path) -> None:
        done = feldspar(project, "query", "select * from gold.customer_spend")

        assert done.stdout.splitlines()[-1] == (
            "60 rows, the first 50 shown; all of them: --out FILE"
        )

    def test_tables_join(self, project: Path) -> None:
        sql = (
            "select count(*) n from gold.customer_spend g "
            "join silver.transactions s using (customer_id, amount)"
        )

        answer = json.loads(feldspar(project, "query", sql, "--json").stdout)

        assert answer["rows"] == [{"n": ROWS}]

    def test_times_are_utc(self, project: Path) -> None:
        sql = "select max(_event_time) t from silver.transactions"

        answer = json.loads(feldspar(project, "query", sql, "--json").stdout)

        assert answer["rows"] == [{"t": "2018-04-01T00:00:00+00:00"}]

    def test_it_writes_parquet(self, project: Path) -> None:
        sql = "select * from gold.customer_spend"

        feldspar(project, "query", sql, "--out", "rows.parquet")

        assert pq.read_table(project / "rows.parquet").num_rows == ROWS

    def test_it_writes_csv(self, project: Path) -> None:
        sql = "select customer_id, amount from gold.customer_spend"

        feldspar(project, "query", sql, "--out", "rows.csv")

        assert csv.read_csv(project / "rows.csv").column_names == ["customer_id", "amount"]

    WRONG: ClassVar = {
        "select * from gold.customer_spent": (1, "nearest: gold.customer_spend"),
        "select * from spend": (2, "spend names no table of a layer"),
        "select amout from gold.customer_spend": (2, '"amout" not found'),
        "select * from read_csv('conf/project.yaml')": (2, "file system operations are disabled"),
        "select * from 'conf/project.yaml'": (2, "names no table of a layer"),
        "drop table gold.customer_spend": (2, "a query is one SELECT"),
        "copy (select 1) to 'x.csv'": (2, "a query is one SELECT"),
        "select 1; select 2": (2, "a query is one SELECT"),
        "selec 1": (2, "cannot be read"),
    }

    @pytest.mark.parametrize("sql", WRONG)
    def test_what_cannot_be_answered_is_told(self, project: Path, sql: str) -> None:
        code, text = self.WRONG[sql]

        done = feldspar(project, "query", sql)

        assert (done.returncode, done.stdout) == (code, "")
        assert text in done.stderr
        assert "Traceback" not in done.stderr

    def test_another_kind_of_file_is_refused(self, project: Path) -> None:
        done = feldspar(project, "query", "select 1 one", "--out", "rows.xlsx")

        assert (done.returncode, "end it in .parquet or .csv" in done.stderr) == (2, True)


class TestShow:
    def test_tables_have_rows_version_and_freshness(self, project: Path) -> None:
        answer = json.loads(feldspar(project, "show", "tables", "--json").stdout)

        facts = {one["table"]: (one["rows"], one["version"], one["newest event"]) for one in
                 answer["tables"]}  # fmt: skip

        assert facts == {
            "silver.transactions": ("60", 0, "2018-04-01 00:00:00Z"),
            "gold.customer_spend": ("60", 0, "2018-04-01 00:00:00Z"),
        }

    def test_the_columns_of_a_table_are_shown_while_a_view_is_wrong(self, tmp_path: Path) -> None:
        broken_project(tmp_path, "views/customer_spend.yaml", old="avg(amount)", new="avg(amout)")

        done = feldspar(tmp_path, "show", "tables", "transactions", "--json")

        assert [one["column"] for one in json.loads(done.stdout)["tables"]][-2:] == [
            "amount", "is_fraud",
        ]  # fmt: skip

    def test_features_have_types_and_what_they_are_made_of(self, tmp_path: Path) -> None:
        write_project(tmp_path)

        done = feldspar(tmp_path, "show", "views", "customer_spend", "--json")

        assert json.loads(done.stdout)["views"][2] == {
            "feature": "avg_amount_1d",
            "type": "double",
            "made of": "avg(amount) over 1d",
        }

    @pytest.mark.parametrize("kind", ["views", "entities", "services", "sources", "models"])
    def test_definitions_are_listed_without_a_lake(self, kind: str, tmp_path: Path) -> None:
        write_project(tmp_path)

        assert len(json.loads(feldspar(tmp_path, "show", kind, "--json").stdout)[kind]) > 0

    @pytest.mark.parametrize("kind", ["tables", "views", "entities", "services", "models"])
    def test_an_unknown_name_gives_the_nearest(self, kind: str, tmp_path: Path) -> None:
        write_project(tmp_path)

        done = feldspar(tmp_path, "show", kind, "customer")

        assert done.returncode == (0 if kind == "entities" else 2)


class TestCases:
    GOOD = """\
given:
  transactions:
    - {customer_id: 1, tx_datetime: 2018-04-01 10:00:00, amount: 10}
    - {customer_id: 1, tx_datetime: 2018-04-02 09:00:00, amount: 30}
expect:
  - {at: 2018-04-02 09:00:00, customer_id: 1, count_1d: 2, avg_amount_1d: 20}
"""

    def run(self, folder: Path, text: str) -> Ran:
        write_project(folder, {"views/customer_spend.test.yaml": text})
        return feldspar(folder, "test")

    def test_a_case_that_holds_passes(self, tmp_path: Path) -> None:
        done = self.run(tmp_path, self.GOOD)

        assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "1 passed, 0 failed")

    def test_a_case_that_does_not_says_what_was_found(self, tmp_path: Path) -> None:
        done = self.run(tmp_path, self.GOOD.replace("avg_amount_1d: 20", "avg_amount_1d: 21"))

        assert (done.returncode, done.stdout.splitlines()) == (
            1,
            [
                (
                    "FAILED  conf/views/customer_spend.test.yaml:6  customer_id 1, "
                    "at 2018-04-02 09:00:00 (2 features)"
                ),
                "        avg_amount_1d: expected 21, found 20.0",
                "0 passed, 1 failed",
            ],
        )

    def test_the_request_is_folded_in_once_by_its_id(self, tmp_path: Path) -> None:
        late = self.GOOD.replace("amount: 30}", "amount: 30, transaction_id: 7}").replace(
            "customer_id: 1, count_1d", "customer_id: 1, transaction_id: 7, count_1d"
        )

        assert self.run(tmp_path, late).returncode == 0

    def test_derived_features_of_other_views_are_computed(self, tmp_path: Path) -> None:
        text = self.GOOD.replace("count_1d: 2, avg_amount_1d: 20", "last_amount: 30, ratio: 3")
        write_project(tmp_path, {"views/last_payment.test.yaml": text})

        assert feldspar(tmp_path, "test").returncode == 0

    WRONG: ClassVar = {
        ("count_1d", "count_2d"): "conf/views/customer_spend.test.yaml:6  "
        "customer_spend has no key or feature 'count_2d'\n"
        "  nearest: count_7d, count_1d, avg_amount_7d\n",
        ("amount: 10", "amout: 10"): "conf/views/customer_spend.test.yaml:3  "
        "silver.transactions has no column 'amout'\n  nearest: amount\n",
        ("amount: 10", "amount: ten"): "conf/views/customer_spend.test.yaml:3  "
        "amount: found 'ten'; it is a double\n",
        ("  transactions:", "  payments:"): "conf/views/customer_spend.test.yaml:2  "
        "customer_spend reads no table 'payments'\n",
        ("customer_id: 1, count_1d", "count_1d"): "conf/views/customer_spend.test.yaml:6  "
        "'customer_id' is missing\n",
    }

    @pytest.mark.parametrize("change", WRONG, ids=lambda change: change[1])
    def test_a_wrong_file_is_told_with_its_line(
        self, change: tuple[str, str], tmp_path: Path
    ) -> None:
        old, new = change

        done = self.run(tmp_path, self.GOOD.replace(old, new))

        assert (done.returncode, done.stderr) == (2, self.WRONG[change])


class TestChild:
    PROGRAM = """\
import signal, subprocess, sys
grandchild = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
print(grandchild.pid, flush=True)
signal.pause()
"""
    PARENT = """\
import os, signal, sys
from feldspar.cli.child import run_child
# what runs in the background may start with SIGINT ignored, and hands that on
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.exit(run_child([sys.executable, "-c", sys.argv[1]], os.environ))
"""

    def start(self, program: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", self.PARENT, program],
            env=variables(), stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def test_the_exit_code_is_the_childs(self) -> None:
        process = self.start("import sys; print('done'); sys.exit(2)")

        said = process.communicate(timeout=60)[0]

        assert (process.returncode, said) == (2, "done\n")

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_a_signal_ends_all_that_the_child_started(self, number: signal.Signals) -> None:
        process = self.start(self.PROGRAM)
        assert process.stdout is not None
        process.stdout.readline()

        process.send_signal(number)
        # the pipe ends when nobody holds it any more: neither the child nor what it started
        process.communicate(timeout=60)

        assert process.returncode == 128 + number

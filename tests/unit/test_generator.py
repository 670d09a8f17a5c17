"""The generator: same options same bytes, counts as the manifest says, and data one can learn from.

Files are read back by plain readers that know nothing of how they were made.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import tracemalloc
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow.parquet as pq
import pytest

from feldspar.errors import InputError, UsageError
from payments.card_feed import COLUMNS
from payments.fraud import AMOUNT_LIMIT, COMPROMISED_DAYS, LEAKED_DAYS
from payments.generator import generate
from payments.malformed import PAYMENT_KINDS, SESSION_KINDS
from payments.manifest import Manifest, read_manifest
from payments.options import GeneratorOptions, read_options
from payments.payments import Rows, iter_days
from payments.world import World, make_world

OPTIONS = GeneratorOptions(seed=3, payments=60_000, malformed_share=0.01)
SMALL = GeneratorOptions(seed=5, payments=3_000, days=20, history_days=60)
END = datetime.fromtimestamp(OPTIONS.end_second, UTC)


def silent(_: str) -> None:
    """Progress that nobody watches."""


@dataclass(frozen=True)
class Folder:
    """A generated folder, its manifest and its sound payment lines."""

    path: Path
    manifest: Manifest

    def payment_lines(self) -> Iterator[tuple[Path, list[str]]]:
        for path in sorted((self.path / "payments").glob("*.csv")):
            with path.open(newline="") as file:
                reader = csv.reader(file)
                assert tuple(next(reader)) == COLUMNS
                for line in reader:
                    yield path, line

    def sound_payments(self) -> pd.DataFrame:
        rows = [[path.name, *line] for path, line in self.payment_lines() if flaw_of(line) is None]
        frame = pd.DataFrame(rows, columns=["file", *COLUMNS])
        numbers = ["transaction_id", "customer_id", "terminal_id", "is_fraud", "fraud_scenario"]
        times = ["tx_datetime", "arrived_at"]
        frame[numbers] = frame[numbers].astype("int64")
        frame["amount"] = frame["amount"].astype("float64")
        return frame.assign(**{name: pd.to_datetime(frame[name], utc=True) for name in times})

    def originals(self) -> pd.DataFrame:
        first = self.sound_payments().sort_values("arrived_at", kind="stable")
        return first.drop_duplicates("transaction_id")

    def table(self, source: str) -> pd.DataFrame:
        frame: pd.DataFrame = pq.read_table(self.path / source).to_pandas()
        return frame

    def session_lines(self) -> list[str]:
        return [
            line
            for path in sorted((self.path / "sessions").glob("*.jsonl"))
            for line in path.read_text().splitlines()
        ]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    path = tmp_path_factory.mktemp("generated")
    return Folder(path=path, manifest=generate(path, OPTIONS, progress=silent))


@pytest.fixture(scope="module")
def world() -> World:
    return make_world(OPTIONS)


@pytest.fixture(scope="module")
def days(world: World) -> list[Rows]:
    return list(iter_days(world))


def flaw_of(line: list[str]) -> str | None:
    """What a reader of one CSV line would complain of."""
    if len(line) != len(COLUMNS):
        return "line_too_long" if len(line) > len(COLUMNS) else "line_too_short"
    row = dict(zip(COLUMNS, line, strict=True))
    if not row["transaction_id"]:
        return "key_missing"
    if not row["customer_id"]:
        return "customer_missing"
    if row["channel"] not in {"pos", "online", "atm"}:
        return "channel_unknown"
    if row["tx_datetime"].startswith("2018-13"):
        return "time_unreadable"
    return amount_flaw(row["amount"])


def amount_flaw(text: str) -> str | None:
    try:
        amount = float(text)
    except ValueError:
        return "amount_not_a_number"
    if amount < 0:
        return "amount_negative"
    return "amount_out_of_range" if amount > 1_000_000 else None


def session_flaw(line: str) -> str | None:
    """What a reader of one JSON line would complain of."""
    try:
        row = json.loads(line)
    except json.JSONDecodeError:
        return "json_broken"
    if row["session_id"] is None:
        return "key_missing"
    if row["ip_risk_score"] > 1:
        return "score_out_of_range"
    return "field_unknown" if "app_build" in row else None


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_same_options_give_the_same_bytes(tmp_path: Path) -> None:
    generate(tmp_path / "one", SMALL, progress=silent)
    generate(tmp_path / "two", SMALL, progress=silent)

    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_another_seed_gives_other_data_in_every_source(tmp_path: Path) -> None:
    other = GeneratorOptions(seed=6, payments=3_000, days=20, history_days=60)
    generate(tmp_path / "one", SMALL, progress=silent)
    generate(tmp_path / "two", other, progress=silent)

    one, two = contents(tmp_path / "one"), contents(tmp_path / "two")
    assert [path for path in one if one[path] == two.get(path)] == []


def test_number_of_payments_is_close_to_what_was_asked(data: Folder) -> None:
    assert len(data.originals()) == pytest.approx(OPTIONS.payments, rel=0.02)


def test_manifest_names_every_file_with_its_size(data: Folder) -> None:
    sizes = {name: len(content) for name, content in contents(data.path).items()}

    sizes.pop("manifest.json")
    assert {file.path: file.bytes for file in data.manifest.files} == sizes


def test_manifest_counts_the_rows_of_each_source(data: Folder) -> None:
    assert data.manifest.rows == {
        "bureau": len(data.table("bureau")),
        "loans": len(data.table("loans")),
        "payments": sum(1 for _ in data.payment_lines()),
        "sessions": len(data.session_lines()),
    }


def test_manifest_counts_each_kind_of_malformed_payment(data: Folder) -> None:
    found = Counter(flaw_of(line) for _, line in data.payment_lines())

    assert data.manifest.malformed["payments"] == {kind: found[kind] for kind in PAYMENT_KINDS}


def test_every_kind_of_malformed_payment_is_planted(data: Folder) -> None:
    assert min(data.manifest.malformed["payments"].values()) > 0


def test_manifest_counts_each_kind_of_malformed_session(data: Folder) -> None:
    found = Counter(session_flaw(line) for line in data.session_lines())

    assert data.manifest.malformed["sessions"] == {kind: found[kind] for kind in SESSION_KINDS}


def test_manifest_counts_exact_copies(data: Folder) -> None:
    sound = data.sound_payments()

    assert data.manifest.duplicates == int(sound.duplicated(list(COLUMNS)).sum()) > 0


def test_manifest_counts_corrections_which_are_versions_of_a_key(data: Folder) -> None:
    versions = data.sound_payments().drop_duplicates(list(COLUMNS))
    later = versions[versions.duplicated("transaction_id", keep=False)]

    pairs = later.sort_values("arrived_at").groupby("transaction_id")["amount"].agg(list)
    corrected = [first for first, second in pairs if second == pytest.approx(0.9 * first, abs=0.01)]
    assert data.manifest.corrections == len(pairs) == len(corrected) > 0


def test_manifest_counts_late_payments(data: Folder) -> None:
    first = data.originals()

    late = (first["arrived_at"] - first["tx_datetime"]) >= timedelta(hours=1)
    assert data.manifest.late == int(late.sum()) > 0


def test_manifest_counts_frauds_by_scenario(data: Folder) -> None:
    found = Counter(data.originals()["fraud_scenario"])

    assert data.manifest.frauds == {"1": found[1], "2": found[2], "3": found[3]}


def test_a_payment_is_in_the_file_of_the_week_in_which_it_arrives(data: Folder) -> None:
    first = data.sound_payments().drop_duplicates(list(COLUMNS))

    age = (first["arrived_at"].dt.floor("D") - pd.Timestamp(OPTIONS.start, tz="UTC")).dt.days
    week = pd.Timestamp(OPTIONS.start) + pd.to_timedelta(age - age % 7, unit="D")
    assert (first["file"] == "part-" + week.dt.strftime("%Y-%m-%d") + ".csv").all()


def test_nothing_arrives_after_the_span(data: Folder) -> None:
    latest = max(data.sound_payments()["arrived_at"].max(), data.table("bureau").reported_at.max())

    assert latest < END


def test_memory_does_not_grow_with_the_span(tmp_path: Path) -> None:
    def peak(days: int) -> int:
        asked = GeneratorOptions(payments=2_000 * days, customers=200, days=days, history_days=30)
        tracemalloc.start()
        generate(tmp_path / str(days), asked, progress=silent)
        _, highest = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return highest

    peak(2)
    assert peak(80) < 1.3 * peak(25)


def test_every_amount_above_the_limit_is_a_fraud(days: list[Rows]) -> None:
    rows = np.concatenate(days)

    assert (rows["scenario"][rows["amount"] > AMOUNT_LIMIT] > 0).all()


def test_scenario_1_is_an_amount_above_the_limit(days: list[Rows]) -> None:
    rows = np.concatenate(days)

    amounts = rows["amount"][rows["scenario"] == 1]
    assert len(amounts) > 0
    assert amounts.min() > AMOUNT_LIMIT


def test_scenario_2_is_all_payments_at_a_compromised_terminal_for_28_days(
    world: World, days: list[Rows]
) -> None:
    expected = active(world.fraud.terminals, COMPROMISED_DAYS)

    for day, rows in enumerate(days):
        at_compromised = np.isin(rows["terminal"], sorted(expected[day]))
        assert (rows["scenario"][at_compromised] >= 2).all()
        assert not (rows["scenario"][~at_compromised] == 2).any()


def test_scenario_3_is_a_third_of_the_payments_with_a_leaked_card_for_14_days(
    world: World, days: list[Rows]
) -> None:
    expected = active(world.fraud.customers, LEAKED_DAYS)
    abused, leaked = 0, 0

    for day, rows in enumerate(days):
        with_leaked = np.isin(rows["customer"], sorted(expected[day]))
        assert not (rows["scenario"][~with_leaked] == 3).any()
        abused += int((rows["scenario"] == 3).sum())
        leaked += int(with_leaked.sum())

    assert abused / leaked == pytest.approx(1 / 3, abs=0.08)


def test_scenario_3_multiplies_the_amount_by_five(world: World, days: list[Rows]) -> None:
    rows = np.concatenate(days)
    rows = rows[rows["scenario"] == 3]

    usual = world.customers.mean_amount[rows["customer"]]
    assert float((rows["amount"] / usual).mean()) == pytest.approx(5, rel=0.15)


def test_last_transaction_amount_is_the_last_payment_before_the_session(
    data: Folder, days: list[Rows]
) -> None:
    paid: defaultdict[int, list[tuple[int, float]]] = defaultdict(list)
    for row in np.concatenate(days):
        paid[int(row["customer"])].append((int(row["second"]), float(row["amount"])))
    rows = [json.loads(line) for line in data.session_lines() if session_flaw(line) is None]
    rows = [row for row in rows if row["session_id"] < 10**12]

    def last_amount(row: dict[str, str]) -> float | None:
        second = int(datetime.fromisoformat(row["started_at"]).timestamp())
        before = [amount for at, amount in paid[int(row["customer_id"])] if at <= second]
        return before[-1] if before else None

    wrong = [row for row in rows if row["last_transaction_amount"] != last_amount(row)]
    assert (len(rows) > 1_000, wrong) == (True, [])


def test_sessions_with_a_leaked_card_come_from_riskier_addresses(
    data: Folder, world: World
) -> None:
    active_on = active(world.fraud.customers, LEAKED_DAYS)
    risks: dict[bool, list[float]] = {True: [], False: []}
    for line in data.session_lines():
        if session_flaw(line) is None and (row := json.loads(line))["session_id"] < 10**12:
            day = (datetime.fromisoformat(row["started_at"]).date() - OPTIONS.start).days
            risks[row["customer_id"] in active_on[day]].append(row["ip_risk_score"])

    assert np.mean(risks[True]) > np.mean(risks[False]) + 0.2


def test_there_is_a_session_within_a_day_before_each_loan(data: Folder) -> None:
    rows = [json.loads(line) for line in data.session_lines() if session_flaw(line) is None]
    started = {row["session_id"] - 10**12: row["started_at"] for row in rows}
    loans = data.table("loans").set_index("loan_id")

    known = loans[loans.index.isin(list(started))]
    visit = pd.to_datetime(pd.Series(known.index.map(started), index=known.index), utc=True)
    age = known["granted_at"] - visit
    assert len(known) > 0.97 * len(loans)
    assert age.between(timedelta(0), timedelta(hours=24)).all()


def test_an_outcome_is_null_exactly_while_nobody_can_know_it(data: Folder) -> None:
    loans = data.table("loans")

    assert (loans["defaulted"].isna() == loans["outcome_known_at"].isna()).all()
    assert loans["outcome_known_at"].max() < END
    mature = loans["granted_at"] <= END - timedelta(days=365, seconds=1)
    assert loans.loc[mature, "defaulted"].notna().all()


def test_a_good_outcome_is_known_after_365_days_and_a_default_no_later(data: Folder) -> None:
    loans = data.table("loans").dropna(subset=["defaulted"])

    age = loans["outcome_known_at"] - loans["granted_at"]
    defaulted = loans["defaulted"].astype(bool)
    assert (age[~defaulted] == timedelta(days=365)).all()
    assert age[defaulted].between(timedelta(days=20), timedelta(days=365)).all()


def mature_loans_with_debt(data: Folder) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Defaults (0 or 1) and debt ratios at the grant of all loans with a mature outcome."""
    loans = data.table("loans")
    loans = loans[loans["granted_at"] < END - timedelta(days=365)].sort_values("granted_at")
    bureau = data.table("bureau").sort_values("snapshot_at")
    joined = pd.merge_asof(
        loans, bureau, left_on="granted_at", right_on="snapshot_at", by="customer_id"
    )
    return joined["defaulted"].to_numpy(dtype=float), joined["debt_ratio"].to_numpy()


def test_default_goes_with_the_debt_ratio_at_the_grant(data: Folder) -> None:
    defaulted, debt = mature_loans_with_debt(data)

    assert np.corrcoef(defaulted, debt)[0, 1] > 0.2


def test_default_does_not_go_with_the_debt_ratio_of_somebody_else(data: Folder) -> None:
    defaulted, debt = mature_loans_with_debt(data)

    assert abs(np.corrcoef(defaulted, np.roll(debt, 1))[0, 1]) < 0.1


def test_late_ratios_of_6_and_12_months_do_not_contradict_each_other(data: Folder) -> None:
    bureau = data.table("bureau")

    missed_6 = (bureau["late_payment_ratio_6m"] * 6).round()
    missed_12 = (bureau["late_payment_ratio_12m"] * 12).round()
    assert ((missed_6 <= missed_12) & (missed_12 <= missed_6 + 6)).all()


def test_a_complete_folder_is_left_as_it_is(tmp_path: Path) -> None:
    generate(tmp_path, SMALL, progress=silent)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}

    generate(tmp_path, SMALL, progress=silent)

    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_other_options_replace_the_files(tmp_path: Path) -> None:
    other = GeneratorOptions(seed=5, payments=3_000, days=8, history_days=60)
    generate(tmp_path / "used", SMALL, progress=silent)

    generate(tmp_path / "used", other, progress=silent)
    generate(tmp_path / "fresh", other, progress=silent)

    assert contents(tmp_path / "used") == contents(tmp_path / "fresh")


def test_a_killed_generation_has_no_manifest_and_is_redone(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from payments.generator import generate\n"
        f"generate(Path(sys.argv[1]), {{'seed': {SMALL.seed}, 'payments': {SMALL.payments}, "
        f"'days': {SMALL.days}, 'history_days': {SMALL.history_days}}}, "
        "progress=lambda text: (print(text, flush=True), sys.stdin.readline()))"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "killed")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("payments"):
                process.kill()
                break
            process.stdin.write("\n")
            process.stdin.flush()
    left_behind = list((tmp_path / "killed").rglob(".part-*"))
    assert read_manifest(tmp_path / "killed") is None
    assert left_behind != []

    generate(tmp_path / "killed", SMALL, progress=silent)
    generate(tmp_path / "whole", SMALL, progress=silent)

    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


def test_a_file_that_was_cut_short_makes_the_folder_incomplete(tmp_path: Path) -> None:
    manifest = generate(tmp_path, SMALL, progress=silent)
    victim = tmp_path / manifest.files[-1].path
    whole = victim.read_bytes()
    victim.write_bytes(whole[:-10])

    generate(tmp_path, SMALL, progress=silent)

    assert victim.read_bytes() == whole


def test_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")

    with pytest.raises(InputError, match="can not be written"):
        generate(tmp_path / "taken", SMALL, progress=silent)


def test_options_are_read_from_a_definition() -> None:
    asked = read_options({"seed": 1, "payments": "20_000", "start": "2019-01-01", "late_share": 0})

    assert asked == GeneratorOptions(
        seed=1, payments=20_000, start=date(2019, 1, 1), late_share=0.0
    )


def test_an_unknown_option_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UsageError, match="'paymets'\n  nearest: payments"):
        read_options({"paymets": 1})


@pytest.mark.parametrize(
    ("name", "value"),
    [("payments", 0), ("seed", -1), ("late_share", 0.9), ("customers", 0), ("payments", "many")],
)
def test_an_option_out_of_range_is_refused(name: str, value: float | str) -> None:
    with pytest.raises(UsageError, match=f"option {name} is"):
        read_options({name: value})


def active(cases: npt.NDArray[np.int64], length: int) -> defaultdict[int, set[int]]:
    """For each day the terminals or customers that are affected, written out day by day."""
    found: defaultdict[int, set[int]] = defaultdict(set)
    for first, member in cases.tolist():
        for day in range(first, first + length):
            found[day].add(member)
    return found

"""``trigger: auto``: what is measured of loads, what is decided by it, and what is told."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from feldspar.errors import DefinitionError
from feldspar.graph.compile import compile_graph
from feldspar.graph.graph import Graph
from feldspar.monitor.auto.decide import RENEWED, Known, decide, differs
from feldspar.monitor.auto.estimate import Load, estimate, loads_of, rounds_of
from feldspar.monitor.auto.options import Around, Need
from feldspar.monitor.auto.units import Measured, decide_all, resting_sources, units
from feldspar.run.triggers import Triggers
from feldspar.spec.loading import load_definitions
from feldspar.stores.tables import decisions
from feldspar.stores.tables.decisions import Decision
from feldspar.stores.tables.lake import Lake
from feldspar.stores.tables.steps import StepRow
from support.console import feldspar
from support.measured_loads import START, loads
from support.places import disk_environment
from support.small_project import FILES, write_project

TABLE, VIEW = "tables/transactions.yaml", "views/customer_spend.yaml"
LATER = START + timedelta(days=20)
AROUND = Around(round=1.0, cores=2)
ENVIRONMENT = """\
namespace: test
storage: {root: lake}
redis: {url: "redis://127.0.0.1:1/0"}
mlflow: {tracking_uri: "sqlite:///mlflow.db"}
"""


def graph(folder: Path, *, table: str = "", view: str = "") -> Graph:
    files = {TABLE: FILES[TABLE] + table, VIEW: FILES[VIEW] + view}
    return compile_graph(load_definitions(write_project(folder, files), {}))


def test_a_fixed_part_and_a_part_a_row_are_told_apart() -> None:
    found = estimate(loads(fixed=2.0, a_row=0.01, rate=5.0, sizes=(100, 400)))

    assert found is not None
    assert (found.fixed, found.a_row, found.rate) == pytest.approx((2.0, 0.01, 5.0))


def test_one_slow_load_moves_little() -> None:
    usual = loads(fixed=2.0, a_row=0.01, rate=5.0, sizes=(100, 400))
    found = estimate((replace(usual[0], seconds=90.0), *usual[1:]))

    assert found is not None
    assert (found.fixed, found.a_row) == pytest.approx((2.0, 0.01))


def test_loads_of_like_size_do_not_tell_what_a_row_takes() -> None:
    known = Known(loads(fixed=2.0, a_row=0.01, rate=5.0, sizes=(100, 110)))
    found = decide("silver.t", Need(), known, AROUND, run=1, at=LATER)

    assert (found.row_seconds, found.wake_at) == (0.0, None)
    assert any(reason.endswith("what a row adds is not known") for reason in found.reasons)


def test_before_anything_is_measured_each_round_loads() -> None:
    known = Known(loads(fixed=2.0, a_row=0.01, rate=5.0, sizes=(100, 400), count=2))
    found = decide("silver.t", Need(900.0, "silver.t", 0.01), known, AROUND, run=1, at=LATER)

    assert (found.mode, found.every_seconds, found.loads) == ("stream", 0.0, 0)
    assert found.reasons[0].startswith("nothing is known before 3 loads, and there were 2")


def test_a_load_is_the_steps_of_a_round_by_the_rows_of_the_first() -> None:
    silver = StepRow(1, 4, "refine", "silver.t", START, 2.0, rows_in=10, rows_out=8)
    history = StepRow(1, 4, "history", "history.t", START, 3.0, rows_out=99)
    failed = replace(silver, round=5, outcome="failed")
    found = loads_of([history, silver, failed], {"silver.t": ("silver.t", "history.t")})

    assert found == {"silver.t": (Load(START, 5.0, 10),)}


def test_a_round_lasts_from_its_first_step_to_the_end_of_its_last() -> None:
    first = StepRow(1, 4, "refine", "silver.t", START, 2.0)
    second = replace(first, step="gold.v", started_at=START + timedelta(seconds=1.5), seconds=3.0)

    assert rounds_of([second, first, replace(first, round=0, seconds=99.0)]) == (4.5,)


def test_a_target_is_kept_at_the_longest_rest_and_many_rows_end_it() -> None:
    known = Known(loads(fixed=2.0, a_row=0.01, rate=1.0, sizes=(100, 400)))
    found = decide("silver.t", Need(900.0, "silver.t"), known, AROUND, run=1, at=LATER)

    assert (found.mode, found.every_seconds, found.keeps_freshness) == ("mix", 600.0, True)
    # 900 s less a round of 1 and the rest of 600, with the half more that is not known yet
    assert found.wake_at == int(((900 - 1 - 600) / 1.5 - 2) / 0.01)


def test_a_cost_limit_comes_before_a_target_and_both_are_told() -> None:
    known = Known(loads(fixed=6.0, a_row=0.001, rate=1.0, sizes=(100, 400)))
    need = Need(60.0, "silver.t", 0.01)
    found = decide("silver.t", need, known, AROUND, run=1, at=LATER)

    assert (found.keeps_freshness, found.keeps_cost, found.every_seconds) == (False, True, 900.0)
    assert "silver.t may be 1m old, which is not kept" in found.reasons[0]
    assert [one.partition(" (")[0] for one in found.passed_over] == [
        "every 10m: too late and too dear",
        "every 30m: too late",
    ]


def test_more_cores_are_asked_for_where_they_help() -> None:
    known = Known(loads(fixed=1.0, a_row=0.01, rate=200.0, sizes=(1_000, 4_000)))
    need = Need(60.0, "silver.t")
    found = decide("silver.t", need, known, AROUND, run=1, at=LATER)

    assert (found.keeps_freshness, found.cores) == (False, 8)
    assert "8 cores are needed, the driver has 2" in found.reasons
    assert "rows arrive faster than they are worked on: what waits grows" in found.reasons


def test_right_predictions_make_longer_rests_possible() -> None:
    known = Known(loads(fixed=200.0, a_row=1e-6, rate=0.1, sizes=(10, 30)))
    need = Need(1_050.0, "silver.t")
    first = decide("silver.t", need, known, AROUND, run=1, at=START)
    later = decide("silver.t", need, replace(known, said=(first,)), AROUND, run=1, at=LATER)

    assert (first.margin, later.margin, later.came_loads) == (0.5, 0.1, 12)
    assert (first.every_seconds, later.every_seconds) == (300.0, 600.0)


def test_a_table_leaves_time_to_the_views_that_read_it(tmp_path: Path) -> None:
    found = units(graph(tmp_path, table="trigger: auto\n", view="freshness: 15m\ntrigger: auto\n"))
    known = {
        "silver.transactions": Known(loads(fixed=2.0, a_row=0.01, rate=1.0, sizes=(100, 400))),
        "gold.customer_spend": Known(loads(fixed=30.0, a_row=0.01, rate=1.0, sizes=(100, 400))),
    }
    table, view = decide_all(found, Measured(known, round=1.0, cores=2), run=1, at=LATER)

    assert table.target_seconds == pytest.approx(900 - 32.5)
    assert (table.every_seconds, view.every_seconds) == (600.0, 0.0)
    assert (view.keeps_freshness, view.delay_seconds > table.delay_seconds) == (True, True)


def test_bronze_is_looked_after_ten_times_in_a_rest_of_its_tables(tmp_path: Path) -> None:
    found, every = units(graph(tmp_path)), {"silver.transactions": 600.0}
    soon, later = {"bronze.payments": 59.0}, {"bronze.payments": 60.0}

    assert set(resting_sources(found, every, soon)) == {"bronze.payments"}
    assert resting_sources(found, every, later) == {}
    assert resting_sources(found, every, {}) == {}
    assert resting_sources(found, {}, soon) == {}


def test_what_does_not_change_is_entered_once_an_hour() -> None:
    last = Decision(1, START, "silver.t", loads=12)
    soon, old = (replace(last, decided_at=START + RENEWED * part) for part in (0.9, 1.0))

    assert (differs(soon, last), differs(old, last), differs(soon, None)) == (False, True, True)
    assert differs(replace(soon, every_seconds=60.0), last)
    assert not differs(replace(soon, target_seconds=899.0, wake_at=7, share=0.2), last)


def test_rows_that_wake_are_news_and_their_end_is_none() -> None:
    batch = Decision(1, START, "silver.t", "batch", 600.0, loads=12)
    mix = replace(batch, mode="mix", wake_at=9)

    assert (differs(mix, batch), differs(batch, mix)) == (True, False)


def test_decisions_are_read_back_as_they_were_written(tmp_path: Path) -> None:
    lake = Lake.of(disk_environment(tmp_path))
    one = Decision(7, START, "silver.t", "mix", 600.0, wake_at=9, cost=0.05, reasons=("a", "b"))
    nothing = decisions.newest(lake)
    decisions.append(lake, [one, replace(one, name="gold.v", wake_at=None)])

    found = {row.name: row for row in decisions.newest(lake)}
    assert (nothing, found["silver.t"], found["gold.v"].wake_at) == ((), one, None)


def test_a_trigger_of_its_own_word_is_no_part_of_what_a_table_is_made_from(tmp_path: Path) -> None:
    plain = graph(tmp_path / "a")
    auto = graph(tmp_path / "b", table="trigger: auto\ncost: 5%\n", view="trigger: auto\n")

    assert plain.table("transactions").definition == auto.table("transactions").definition
    assert auto.table("transactions").spec.cost == pytest.approx(0.05)
    assert len(Triggers.of(auto).rules) == len(Triggers.of(plain).rules)


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ("trigger: auto\ncost: 5\n", "5 is no share of the time"),
        ("trigger: auto\ncost: 101%\n", "'101%' is no share of the time"),
        ("trigger: every 10m\ncost: 5%\n", "only 'trigger: auto' keeps a cost limit"),
        ("cost: 5%\n", "only 'trigger: auto' keeps a cost limit"),
    ],
)
def test_a_cost_limit_that_nothing_keeps_is_refused(tmp_path: Path, lines: str, told: str) -> None:
    with pytest.raises(DefinitionError, match=told):
        graph(tmp_path, table=lines)


def decided(folder: Path) -> Path:
    """A project that has decided for its table, and not yet for its view."""
    graph(folder, table="trigger: auto\nfreshness: 15m\n", view="trigger: auto\n")
    (folder / "conf" / "environments").mkdir()
    (folder / "conf" / "environments" / "local.yaml").write_text(ENVIRONMENT)
    known = Known(loads(fixed=2.0, a_row=0.01, rate=1.0, sizes=(100, 400)))
    need = Need(900.0, "silver.transactions")
    made = decide("silver.transactions", need, known, AROUND, run=3, at=LATER)
    lake = Lake.of(disk_environment(folder).model_copy(update={"namespace": "test"}))
    decisions.append(lake, [made])
    return folder


def test_the_newest_decision_is_explained_with_what_was_passed_over(tmp_path: Path) -> None:
    done = feldspar(decided(tmp_path), "explain", "trigger")

    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stderr
    assert lines[0].startswith(
        "silver.transactions: every 10m, sooner where 19,733 rows wait (mix; decided "
    )
    assert (
        "  a load takes 2.00 s and 10 s for each 1,000 rows, as 12 loads of 100 to 400 rows did"
        in lines
    )
    assert "  not every 15m: too late (1.2% of the time, there after 15m 17s)" in lines
    assert lines[-1] == (
        "gold.customer_spend: trigger: auto; nothing is decided yet, feldspar stream does"
    )


def test_a_decision_is_told_as_json_by_the_name_of_its_table(tmp_path: Path) -> None:
    done = feldspar(decided(tmp_path), "explain", "trigger", "transactions", "--json")

    [found] = json.loads(done.stdout)
    assert (found["name"], found["every_seconds"]) == ("silver.transactions", 600.0)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("trigger", "transaction"), "there is no table and no view 'transaction'"),
        (("training-set",), "a training set is that of a service, and none was named"),
    ],
)
def test_a_name_that_is_not_there_is_told(
    tmp_path: Path, words: tuple[str, ...], told: str
) -> None:
    done = feldspar(decided(tmp_path), "explain", *words)

    assert (done.returncode, told in done.stderr) == (2, True)

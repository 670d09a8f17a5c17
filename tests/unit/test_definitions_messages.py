"""What a wrong definition is told: the exact text, with file, line, nearest names and next step."""

from __future__ import annotations

from pathlib import Path

import pytest

from feldspar.errors import DefinitionError, UsageError
from feldspar.graph.compile import compile_graph
from feldspar.graph.hooks import check_hooks
from feldspar.spec.loading import load_definitions
from support.small_project import broken_project, write_project

SOURCE, TABLE = "sources/payments.yaml", "tables/transactions.yaml"
SPEND, LAST = "views/customer_spend.yaml", "views/last_payment.yaml"
SERVICE, MODEL = "services/fraud.yaml", "models/fraud.yaml"


def validate(conf: Path) -> None:
    definitions = load_definitions(conf, {})
    compile_graph(definitions)
    check_hooks(definitions)


def message_of(conf: Path) -> str:
    with pytest.raises(DefinitionError) as caught:
        validate(conf)
    return str(caught.value)


GOLDEN = {
    "a typo in a key names the key that was meant, and not the missing one too": (
        (SPEND, "request_event: include", "request_evnt: include"),
        """\
conf/views/customer_spend.yaml:4  'request_evnt' is not a key here
  nearest: request_event""",
    ),
    "an unknown column gives the nearest with its type, and none of who reads the feature": (
        (SPEND, "avg(amount)", "avg(amout)"),
        """\
conf/views/customer_spend.yaml:7  avg(amout): silver.transactions has no column "amout"
  nearest: amount (double)
  see: feldspar show tables transactions""",
    ),
    "an unknown type lists the types": (
        (TABLE, "amount: double", "amount: doubel"),
        """\
conf/tables/transactions.yaml:8  columns.amount: found 'doubel'; it is 'boolean', 'int', 'bigint', \
'double', 'string', 'timestamp' or 'date'
  nearest: double""",
    ),
    "one value where a list is meant": (
        (SPEND, "windows: [1d, 7d]", "windows: 7d"),
        "conf/views/customer_spend.yaml:3  windows: found '7d'; it is a list, such as [a, b]",
    ),
    "nothing where a mapping is meant": (
        (SPEND, "count: count()", "count:"),
        (
            "conf/views/customer_spend.yaml:6  features.count: found nothing; "
            "it is a mapping of keys to values"
        ),
    ),
    "a duration in words": (
        (LAST, "ttl: 90d", "ttl: soon"),
        """\
conf/views/last_payment.yaml:3  ttl: 'soon' is not a duration
  write e.g. 90s, 5m, 1h, 7d or 2w""",
    ),
    "a duration without a unit": (
        (LAST, "ttl: 90d", "ttl: 90"),
        """\
conf/views/last_payment.yaml:3  ttl: 90 names no unit
  write e.g. 90s, 5m, 1h, 7d or 2w""",
    ),
    "a newest event that is never a moment old": (
        (LAST, "ttl: 90d", "ttl: 90d\nfreshness: 0s"),
        """\
conf/views/last_payment.yaml:4  freshness: more than 0s is needed: a newest event is always \
a little old""",
    ),
    "a cycle of derived features shows the ring": (
        (LAST, "last_payment.last_amount * 2", "last_payment.ratio * 2"),
        (
            "conf/views/last_payment.yaml:7  a cycle: last_payment.ratio -> "
            "last_payment.last_amount_twice -> last_payment.ratio"
        ),
    ),
    "an unknown entity": (
        (SPEND, "entity: customer", "entity: custmer"),
        """\
conf/views/customer_spend.yaml:1  there is no entity 'custmer'
  nearest: customer
  see: feldspar show entities""",
    ),
    "an unknown table": (
        (SPEND, "from: transactions", "from: transaction"),
        """\
conf/views/customer_spend.yaml:2  there is no table 'transaction'
  nearest: transactions
  see: feldspar show tables""",
    ),
    "an unknown source, once and not at every view of the table": (
        (TABLE, "from: payments", "from: paymens"),
        """\
conf/tables/transactions.yaml:1  there is no source 'paymens'
  nearest: payments
  see: feldspar show sources""",
    ),
    "an event time that is no column": (
        (SOURCE, "event_time: tx_datetime", "event_time: tx_date"),
        """\
conf/tables/transactions.yaml:3  event_time of source payments: silver.transactions has no column \
"tx_date"
  nearest: tx_datetime (timestamp)
  see: feldspar show tables transactions""",
    ),
    "an event time that is no timestamp": (
        (TABLE, "tx_datetime: timestamp", "tx_datetime: string"),
        "conf/tables/transactions.yaml:5  event_time must be a timestamp",
    ),
    "a window in a view of plain columns": (
        (LAST, "  last_amount: amount", "  last_amount: {value: amount, window: 7d}"),
        (
            "conf/views/last_payment.yaml:5  a window needs a windowed view: "
            "give the view 'windows' and 'request_event'"
        ),
    ),
    "a windowed view that does not say what happens to the request": (
        (SPEND, "request_event: include\n", ""),
        "conf/views/customer_spend.yaml:1  'request_event' is missing",
    ),
    "a feature used before it is known": (
        (SPEND, "avg(amount)", "avg(is_fraud)"),
        """\
conf/views/customer_spend.yaml:7  is_fraud is known 7d after its event; the view waits 0s
  write delay: 7d in a view with windows""",
    ),
    "a feature that no view of the entity has": (
        (LAST, "customer_spend.avg_amount_7d", "customer_spend.avg_amount_9d"),
        """\
conf/views/last_payment.yaml:7  last_payment.last_amount_twice / customer_spend.avg_amount_9d: \
no feature 'customer_spend.avg_amount_9d' of entity customer
  nearest: customer_spend.avg_amount_7d, customer_spend.avg_amount_1d, customer_spend.count_7d
  see: feldspar show views""",
    ),
    "a function that is no aggregate": (
        (SPEND, "avg(amount)", "median(amount)"),
        """\
conf/views/customer_spend.yaml:7  median(amount): not an aggregate
  nearest: min; allowed: count, sum, avg, min, max, stddev, variance, first, last, \
approx_distinct, approx_quantile (of ...)""",
    ),
    "a quantile beyond 1": (
        (SPEND, "avg(amount)", "approx_quantile(amount, 95)"),
        (
            "conf/views/customer_spend.yaml:7  approx_quantile(amount, 95): "
            "the quantile is a number from 0 to 1"
        ),
    ),
    "more of the last than there may be": (
        (SPEND, "avg(amount)", "last(amount, 500)"),
        (
            "conf/views/customer_spend.yaml:7  last(amount, 500): "
            "how many is a whole number from 1 to 100"
        ),
    ),
    "a condition that is neither true nor false": (
        (SPEND, "count()", "{value: count(), where: amount * 2}"),
        "conf/views/customer_spend.yaml:6  amount * 2 is not true or false",
    ),
    "a condition over a column that is not there": (
        (SPEND, "count()", "{value: count(), where: amout > 2}"),
        """\
conf/views/customer_spend.yaml:6  amout > 2: silver.transactions has no column "amout"
  nearest: amount (double)
  see: feldspar show tables transactions""",
    ),
    "a condition in a view of plain columns": (
        (LAST, "last_amount: amount", "last_amount: {value: amount, where: amount > 2}"),
        (
            "conf/views/last_payment.yaml:5  'where' needs a windowed view: "
            "give the view 'windows' and 'request_event'"
        ),
    ),
    "groups of which nobody says which": (
        (SPEND, "count()", "{value: count(), by: terminal_id}"),
        "conf/views/customer_spend.yaml:6  features.count: 'by' goes with either 'values' or 'top'",
    ),
    "values of nothing": (
        (SPEND, "count()", "{value: count(), values: [1]}"),
        (
            "conf/views/customer_spend.yaml:6  features.count: "
            "'values' and 'top' need 'by', what the groups are by"
        ),
    ),
    "values of another type": (
        (SPEND, "count()", "{value: count(), by: terminal_id, values: [north]}"),
        """\
conf/views/customer_spend.yaml:6  terminal_id = 'north': bigint and string have no common type
  convert one with cast(...)""",
    ),
    "greatest groups that are no texts": (
        (SPEND, "count()", "{value: count(), by: terminal_id, top: 2}"),
        """\
conf/views/customer_spend.yaml:6  groups are texts, not bigint
  write cast(... as string)""",
    ),
    "groups ranked by what merges from no number": (
        (
            SPEND,
            "count()",
            "{value: last(amount), by: cast(terminal_id as string), top: 2}",
        ),
        """\
conf/views/customer_spend.yaml:6  groups cannot be ranked by last
  allowed: count, sum, avg, min, max, stddev, variance""",
    ),
    "a default of a feature that is no number": (
        (SPEND, "count()", "{value: last(tx_datetime), default: 0}"),
        ("conf/views/customer_spend.yaml:6  the default is a number, the feature is timestamp"),
    ),
    "two features of one name": (
        (SPEND, "count()", "{value: count(), by: terminal_id, values: [1, 1]}"),
        """\
conf/views/customer_spend.yaml:6  there are two features 'count_1_1d'
conf/views/customer_spend.yaml:6  there are two features 'count_1_7d'""",
    ),
    "a hop that does not divide its window": (
        (SPEND, "request_event: include", "request_event: include\nhop: 7m"),
        """\
conf/views/customer_spend.yaml:5  hop 7m does not divide the window 1d
  nearest: 432s""",
    ),
    "a hop that does not divide the delay": (
        (SPEND, "request_event: include", "request_event: include\ndelay: 90m\nhop: {7d: 1h}"),
        """\
conf/views/customer_spend.yaml:6  hop 1h does not divide the window 7d and the delay 90m
  nearest: 45m""",
    ),
    "a hop of a window that there is none of": (
        (SPEND, "request_event: include", "request_event: include\nhop: {8d: 1h}"),
        """\
conf/views/customer_spend.yaml:5  no feature has a window 8d
  nearest: 7d, 1d""",
    ),
    "a hop that is no duration": (
        (SPEND, "request_event: include", "request_event: include\nhop: often"),
        """\
conf/views/customer_spend.yaml:5  hop: 'often' is not a duration
  write e.g. 90s, 5m, 1h, 7d or 2w""",
    ),
    "an expression of types that do not fit": (
        (SPEND, "avg(amount)", "avg(amount + 'x')"),
        """\
conf/views/customer_spend.yaml:7  avg(amount + 'x'): amount + 'x': '+' takes numbers, not string
  a boolean becomes 1 or 0 by cast(... as int)""",
    ),
    "a check that there is none of": (
        (TABLE, "{between: [0, 1000]}", "{between: 5}"),
        """\
conf/tables/transactions.yaml:11  checks.amount: {'between': 5} is no check
  write not_null, {between: [low, high]}, {in: [a, b]} or {matches: 'pattern'}""",
    ),
    "a check of a column that is not there": (
        (TABLE, "  amount: [not_null", "  amuont: [not_null"),
        """\
conf/tables/transactions.yaml:11  checks: silver.transactions has no column "amuont"
  nearest: amount (double)
  see: feldspar show tables transactions""",
    ),
    "a kind of history that there is none of": (
        (TABLE, "from: payments", "from: payments\nhistory: {kind: scd3}"),
        """\
conf/tables/transactions.yaml:2  history.kind: found 'scd3'; it is 'scd1' or 'scd2'
  nearest: scd2, scd1""",
    ),
    "a sequence that is no column": (
        (TABLE, "from: payments", "from: payments\nhistory: {kind: scd1, sequence_by: terminal}"),
        """\
conf/tables/transactions.yaml:2  sequence_by: silver.transactions has no column "terminal"
  nearest: terminal_id (bigint)
  see: feldspar show tables transactions""",
    ),
    "a sequence whose order is not that of its changes": (
        (TABLE, "from: payments", "from: payments\nhistory: {kind: scd1, sequence_by: amount}"),
        (
            "conf/tables/transactions.yaml:2  sequence_by is int, bigint, timestamp or date; "
            "amount is double"
        ),
    ),
    "deletes told by what is not true or false": (
        (TABLE, "from: payments", "from: payments\nhistory: {kind: scd1, delete_when: amount}"),
        "conf/tables/transactions.yaml:2  amount is double, not true or false",
    ),
    "deletes told by a column that is not there": (
        (TABLE, "from: payments", "from: payments\nhistory: {kind: scd1, delete_when: is_frod}"),
        """\
conf/tables/transactions.yaml:2  is_frod: silver.transactions has no column "is_frod"
  nearest: is_fraud (boolean)
  see: feldspar show tables transactions""",
    ),
    "a history without its key": (
        (TABLE, "from: payments", "from: payments\nhistory: {kind: scd2, without: transaction_id}"),
        (
            "conf/tables/transactions.yaml:2  transaction_id cannot be left out: "
            "it is of the key or the sequence"
        ),
    ),
    "snapshots with rows that delete": (
        (
            TABLE,
            "from: payments",
            "from: payments\nhistory: {kind: scd1, rows: snapshots, delete_when: is_fraud}",
        ),
        (
            "conf/tables/transactions.yaml:2  a snapshot tells that a key is gone by lacking it: "
            "'delete_when' is for changes"
        ),
    ),
    "columns that the history writes itself": (
        (TABLE, "checks:", "  valid_to: date\nhistory: {kind: scd2}\nchecks:"),
        (
            "conf/tables/transactions.yaml:11  scd2 writes a column valid_to: "
            "leave out the table's own, or name it otherwise"
        ),
    ),
    "views of a table whose rows may take others away": (
        (TABLE, "from: payments", "from: payments\nhistory: {kind: scd1, delete_when: is_fraud}"),
        """\
conf/views/customer_spend.yaml:2  silver.transactions holds deletes ('delete_when'), which would \
count as rows here
  query history.transactions; views and spines of such tables are not there yet
conf/views/last_payment.yaml:2  silver.transactions holds deletes ('delete_when'), which would \
count as rows here
  query history.transactions; views and spines of such tables are not there yet""",
    ),
    "a kind of source that there is none of": (
        (SOURCE, "kind: files", "kind: file"),
        """\
conf/sources/payments.yaml:1  kind: there is no 'file'; there are files, kafka, jdbc, http, \
delta, generator
  nearest: files""",
    ),
    "a rule for known_time that there is none of": (
        (SOURCE, "event_time + 0s", "event_time - 0s"),
        (
            "conf/sources/payments.yaml:4  known_time: 'event_time - 0s' is no rule for "
            "known_time; write a column, 'ingested' or 'event_time + 5m'"
        ),
    ),
    "a variable that is not set": (
        (SOURCE, "path: data/payments", "path: ${NO_SUCH_VARIABLE}"),
        """\
conf/sources/payments.yaml:2  the environment variable NO_SUCH_VARIABLE is not set
  export NO_SUCH_VARIABLE=..., or write ${NO_SUCH_VARIABLE:-default}""",
    ),
    "text that is no YAML": (
        (SPEND, "features:", "features: ["),
        "conf/views/customer_spend.yaml:7  not YAML: expected ',' or ']', but got ':'",
    ),
    "a key that stands twice": (
        (SPEND, "  count: count()", "  count: count()\n  count: count(amount)"),
        (
            'conf/views/customer_spend.yaml:7  not YAML: found duplicate key "count" '
            'with value "count(amount)" (original value: "count()")'
        ),
    ),
    "a request that would bring what is known later": (
        (SERVICE, "request.amount", "request.is_fraud"),
        (
            "conf/services/fraud.yaml:3  is_fraud is known later than its event: "
            "a request cannot bring it"
        ),
    ),
    "a service that names no view": (
        (SERVICE, "customer_spend,", "customer_spent,"),
        """\
conf/services/fraud.yaml:3  there is no view or feature 'customer_spent'
  nearest: customer_spend, customer_spend.count_7d, customer_spend.count_1d
  see: feldspar show views""",
    ),
    "a model of no service": (
        (MODEL, "service: fraud", "service: fruad"),
        """\
conf/models/fraud.yaml:1  there is no service 'fruad'
  nearest: fraud
  see: feldspar show services""",
    ),
    "a label that is no column": (
        (MODEL, "label: is_fraud", "label: is_frod"),
        """\
conf/models/fraud.yaml:3  is_frod: silver.transactions has no column "is_frod"
  nearest: is_fraud (boolean)
  see: feldspar show tables transactions""",
    ),
    "a key that is missing": (
        (MODEL, "retrain: 7d\n", ""),
        "conf/models/fraud.yaml:1  'retrain' is missing",
    ),
}


@pytest.mark.parametrize("case", GOLDEN)
def test_message(case: str, tmp_path: Path) -> None:
    (file, old, new), expected = GOLDEN[case]

    conf = broken_project(tmp_path, file, old=old, new=new)

    assert message_of(conf) == expected


HOOKS = {
    "a module that is not there": (
        "payments.ondemand:calendar",
        """\
conf/views/calendar.yaml:1  payments.ondemand:calendar: there is no module 'payments.ondemand'
  see: python -c 'import payments.ondemand'""",
    ),
    "a function that its module lacks": (
        "payments.on_demand:calender",
        """\
conf/views/calendar.yaml:1  payments.on_demand:calender: payments.on_demand has no function \
'calender'
  nearest: calendar""",
    ),
}


@pytest.mark.parametrize("case", HOOKS)
def test_message_about_a_hook(case: str, tmp_path: Path) -> None:
    hook, expected = HOOKS[case]
    view = f"on_demand: {hook}\ninputs: request.tx_datetime\nfeatures: {{during_night: int}}\n"

    conf = write_project(tmp_path, {"views/calendar.yaml": view})

    assert message_of(conf) == expected


def test_all_problems_of_all_files_are_told_at_once(tmp_path: Path) -> None:
    conf = write_project(
        tmp_path, {"entities/customer.yaml": "keys: a\n", "entities/till.yaml": "kee: b\n"}
    )

    lines = [line for line in message_of(conf).splitlines() if not line.startswith(" ")]

    assert [line.split(":")[0] for line in lines] == [
        "conf/entities/customer.yaml",
        "conf/entities/till.yaml",
    ]


def test_a_folder_of_no_kind_is_told(tmp_path: Path) -> None:
    conf = write_project(tmp_path, {"vews/x.yaml": "a: 1\n"})

    assert message_of(conf) == (
        "conf/vews:1  no kind of definition has this name\n  nearest: views"
    )


def test_a_file_that_is_no_text_is_told(tmp_path: Path) -> None:
    conf = write_project(tmp_path)
    (conf / "entities" / "till.yaml").write_bytes(b"key: \xff\n")

    assert message_of(conf) == "conf/entities/till.yaml:1  not UTF-8: byte 5 cannot be read"


def test_a_folder_that_is_no_project_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"holds no project\.yaml\n  run inside a project"):
        load_definitions(tmp_path, {})


def test_the_small_project_is_good(tmp_path: Path) -> None:
    definitions = load_definitions(write_project(tmp_path), {})

    assert list(compile_graph(definitions).services) == ["fraud"]

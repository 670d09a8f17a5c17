"""A project of a few short files that tests break on purpose, one line at a time."""

from __future__ import annotations

from pathlib import Path

FILES = {
    "project.yaml": "name: small\n",
    "sources/payments.yaml": """\
kind: files
path: data/payments
event_time: tx_datetime
known_time: event_time + 0s
zone: UTC
""",
    "tables/transactions.yaml": """\
from: payments
key: transaction_id
columns:
  transaction_id: bigint
  tx_datetime: timestamp
  customer_id: bigint
  terminal_id: bigint
  amount: double
  is_fraud: {type: boolean, known_after: 7d}
checks:
  amount: [not_null, {between: [0, 1000]}]
""",
    "entities/customer.yaml": "key: customer_id\n",
    "views/customer_spend.yaml": """\
entity: customer
from: transactions
windows: [1d, 7d]
request_event: include
features:
  count: count()
  avg_amount: avg(amount)
""",
    "views/last_payment.yaml": """\
entity: customer
from: transactions
ttl: 90d
features:
  last_amount: amount
derive:
  ratio: last_payment.last_amount_twice / customer_spend.avg_amount_7d
  last_amount_twice: last_payment.last_amount * 2
""",
    "services/fraud.yaml": """\
entities: customer
event: transactions
features: [request.amount, customer_spend, last_payment]
""",
    "models/fraud.yaml": """\
service: fraud
spine: transactions
label: is_fraud
learners: [logistic]
search: {budget: 10s}
periods: {train: 7d, validate: 7d, test: 7d}
optimise: auc
retrain: 7d
""",
}


def write_project(folder: Path, files: dict[str, str] | None = None) -> Path:
    """Writes the project below ``folder`` and returns its conf folder.

    Args:
        folder: an empty folder.
        files: files to write in place of, or beside, those of ``FILES``.
    """
    conf = folder / "conf"
    for name, text in {**FILES, **(files or {})}.items():
        path = conf / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return conf


def broken_project(folder: Path, file: str, *, old: str, new: str) -> Path:
    """The project with one place of one file changed."""
    text = FILES[file]
    assert text.count(old) == 1, f"{old!r} must occur once in {file}"
    return write_project(folder, {file: text.replace(old, new)})

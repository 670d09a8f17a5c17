"""JSON objects as texts: what was written stays, and what is no object is told."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feldspar.ingest.splitting import Splitter, split

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
DEEP = 100_000
NO_OBJECTS = (
    "",
    " ",
    "{",
    '{"a"',
    '{"a":',
    '{"a": 1',
    '{"a": 1,',
    '{"a": 1,}',
    '{"a": [1]},',
    '{"a": [1],}',
    "{,}",
    "{1: 2}",
    '{"a": 1} x',
    '{"a": [1]} {"a": 2}',
    '"text"',
    "5",
    "null",
    '{"a" 1}',
    '{"a": tru}',
    '{"a": NaN}',
    '{"a": 01}',
    '{"a": -}',
    '{"a": "\n"}',
    "\ufeff{}",
    "[" * DEEP,
    '{"a":' * DEEP,
    '{"a": "\\ud800"}',
    '{"\\ud800": 1}',
)


@pytest.mark.parametrize("text", NO_OBJECTS, ids=lambda text: repr(text[:20]))
def test_what_is_no_object_is_told(text: str) -> None:
    assert split(text) is None


@pytest.mark.parametrize(
    ("text", "texts"),
    [
        (" { } ", {}),
        ('{"a": 2.50, "b": 1e400, "c": true}', {"a": "2.50", "b": "1e400", "c": "true"}),
        ('{"a" : { "b" : 1.50 } , "c":false}', {"a": '{ "b" : 1.50 }', "c": "false"}),
        ('{"a": 1, "a": "x"}', {"a": "x"}),
        ('{"a": [1], "a": null}', {"a": None}),
        ('{"a": "\\u00e9\\n", "b": ["\\ud800"]}', {"a": "\u00e9\n", "b": '["\\ud800"]'}),
    ],
)
def test_values_are_as_they_were_written(text: str, texts: dict[str, str | None]) -> None:
    assert split(text) == texts


@given(st.dictionaries(st.text(), VALUES, max_size=5), st.sampled_from([None, 1]))
def test_texts_mean_what_the_object_means(row: dict[str, Any], indent: int | None) -> None:
    texts = split(json.dumps(row, indent=indent))

    assert texts is not None
    assert {key: meant(text, row[key]) for key, text in texts.items()} == row


def meant(text: str | None, value: Any) -> Any:
    return text if text is None or isinstance(value, str) else json.loads(text)


def test_a_value_with_a_key_of_another_name_is_kept_whole() -> None:
    rows = ['{"a": 1}', '{"a": 2, "b": 3}', None, "x"]
    batch = pa.RecordBatch.from_pydict({"n": [0, 1, 2, 3], "value": rows})

    (found,) = Splitter("value", ("a",), "corrupt")(iter([batch]))

    assert found.to_pydict() == {
        "n": [0, 1, 2, 3],
        "corrupt": [None, rows[1], None, "x"],
        "a": ["1", None, None, None],
    }

"""Objects of the served log in a real bucket: whole, listed as files, and said when not."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from feldspar.errors import UnreachableError
from feldspar.stack.ports import free_port
from feldspar.stores import objects
from feldspar.stores.inbox import Inbox
from feldspar.stores.tables.lake import Lake
from support.places import LocalStack

pytestmark = pytest.mark.stack
ROWS = pa.table({"_request_id": ["a", "b"]})


def test_an_object_is_a_file_of_the_source(stack: LocalStack) -> None:
    lake = Lake.of(stack.environment)
    Inbox(lake.storage, lake.uri("inbox", "served/lending")).put("2026-01-01/1-a-1.parquet", ROWS)

    [found] = objects.list_files(lake.source_uri("lake://inbox/served/lending"), lake.storage)
    filesystem, path = objects.filesystem(lake.storage, found.uri)

    assert pq.read_table(path, filesystem=filesystem).equals(ROWS)

    objects.delete_files([found.uri, found.uri], lake.storage)

    assert objects.list_files(lake.uri("inbox", "served/lending"), lake.storage) == []


def test_a_server_that_is_away_is_said(stack: LocalStack) -> None:
    away = f"http://127.0.0.1:{free_port(())}"
    storage = stack.environment.storage.model_copy(update={"endpoint": away})
    inbox = Inbox(storage, f"{storage.root}/x/inbox/served/lending")

    with pytest.raises(UnreachableError, match="was not written"):
        inbox.put("2026-01-01/1-a-1.parquet", ROWS)

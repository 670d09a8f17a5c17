"""Parquet objects that a process leaves beside the lake's tables, for ingest to read like any file.

One client for all of them: a serving process pays for it once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa
import pyarrow.parquet as pq

from feldspar.errors import StoreError, UnreachableError
from feldspar.spec.environment import StorageSpec
from feldspar.stores import objects


@dataclass(frozen=True)
class Inbox:
    """A folder or a prefix of a bucket; it is made with its first object."""

    storage: StorageSpec
    uri: str

    def put(self, name: str, rows: pa.Table) -> None:
        """Writes one object; a reader sees all of it or nothing.

        Args:
            name: below the folder; no other object has it.
            rows: its content.

        Raises:
            UnreachableError: it could not be written; nothing of it is there.
        """
        content = pa.BufferOutputStream()
        pq.write_table(rows, content)
        try:
            self._write(f"{self.uri}/{name}", content.getvalue().to_pybytes())
        except StoreError as error:
            text = f"{self.uri}/{name} was not written: {error.message}"
            raise UnreachableError(text, hint="is the store up? feldspar doctor") from error

    @cached_property
    def _write(self) -> Callable[[str, bytes], None]:
        return objects.opened_writer(self.storage)

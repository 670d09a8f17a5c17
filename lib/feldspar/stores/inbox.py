"""Parquet objects that a process leaves beside the lake's tables, for ingest to read like any file.

One client for all of them: a serving process pays for it once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from feldspar.errors import UnreachableError
from feldspar.spec.environment import StorageSpec
from feldspar.stores import objects


@dataclass(frozen=True)
class Inbox:
    """A folder or a prefix of a bucket; it is made with its first object."""

    storage: StorageSpec
    uri: str
    _made: set[str] = field(default_factory=set, compare=False)

    def put(self, name: str, rows: pa.Table) -> None:
        """Writes one object; a reader sees all of it or nothing.

        Args:
            name: below the folder; no other object has it.
            rows: its content.

        Raises:
            UnreachableError: it could not be written; nothing of it is there.
        """
        filesystem, root = self._place
        path = f"{root}/{name}"
        try:
            if self.storage.on_s3:
                # an object is there once its stream is closed
                pq.write_table(rows, path, filesystem=filesystem)
                return
            self._make(path.rpartition("/")[0])
            draft = f"{path.rpartition('/')[0]}/.{path.rpartition('/')[2]}"
            pq.write_table(rows, draft, filesystem=filesystem)
            filesystem.move(draft, path)
        except OSError as error:
            self._made.clear()
            text = f"{self.uri}/{name} was not written: {error}"
            raise UnreachableError(text, hint="is the store up? feldspar doctor") from error

    @cached_property
    def _place(self) -> tuple[fs.FileSystem, str]:
        return objects.filesystem(self.storage, self.uri)

    def _make(self, folder: str) -> None:
        if folder not in self._made:
            self._place[0].create_dir(folder, recursive=True)
            self._made.add(folder)

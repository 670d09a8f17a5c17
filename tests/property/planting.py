"""Plants a bug: an engine imported anew with one piece of one of its modules changed."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType

ENGINES = ("feldspar.compute.pit", "feldspar.compute.windows", "feldspar.online")


class _Patched(SourceFileLoader):
    """Loads a module from its text with ``old`` replaced by ``new``."""

    old = ""
    new = ""

    def source_to_code(self, data, path, *, _optimize=-1):
        text = bytes(data).decode()
        if text.count(self.old) != 1:
            raise ValueError(f"{path} must have {self.old!r} once")
        return compile(text.replace(self.old, self.new), path, "exec", dont_inherit=True)

    def get_code(self, fullname):
        # never from a cache of bytecode, never into one
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)


class _Finder(MetaPathFinder):
    def __init__(self, module: str, old: str, new: str) -> None:
        self._module, self._old, self._new = module, old, new

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        if fullname != self._module:
            return None
        found = PathFinder.find_spec(fullname, path)
        assert found is not None
        assert found.origin is not None
        loader = _Patched(fullname, found.origin)
        loader.old, loader.new = self._old, self._new
        return importlib.util.spec_from_file_location(fullname, found.origin, loader=loader)


@contextmanager
def planted(module: str, old: str, new: str, *, engine: str) -> Iterator[ModuleType]:
    """The module ``engine``, as it would be with the bug; all else is as before afterwards."""
    finder = _Finder(module, old, new)
    kept = {name: one for name, one in sys.modules.items() if name.startswith(ENGINES)}
    for name in kept:
        del sys.modules[name]
    sys.meta_path.insert(0, finder)
    try:
        yield importlib.import_module(engine)
    finally:
        sys.meta_path.remove(finder)
        for name in [one for one in sys.modules if one.startswith(ENGINES)]:
            del sys.modules[name]
        sys.modules.update(kept)

"""A secret is never written in a definition: it comes from a variable, or is left out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from feldspar.errors import DefinitionError, Problem
from feldspar.spec.reading import Document

SECRET_KEY = re.compile(r"secret|password|passwd|token|access[._]key|account[._]key", re.IGNORECASE)
_SECRET_IN_URL = re.compile(r"://[^/@\s]*:(?!\$\{)[^/@\s]+@")
_ONLY_REFERENCES = re.compile(r"\$\{[A-Za-z_:][\w:.]*(:-(\$\{[^}]*\})?)?\}")


def refuse_secrets(document: Document) -> None:
    """Stops where a file says a secret itself.

    Raises:
        DefinitionError: names each place; the secret is not repeated.
    """
    problems = [
        Problem(
            document.file,
            document.line(path),
            f"{'.'.join(path)}: a secret is not written in a file",
            see="write ${NAME} and export NAME, or leave it out for the provider chain",
        )
        for path, text in texts(document.tree, ())
        if _is_literal_secret(path, text)
    ]
    if problems:
        raise DefinitionError(problems)


def _is_literal_secret(path: tuple[str, ...], text: str) -> bool:
    if _SECRET_IN_URL.search(text):
        return True
    secret_key = path and SECRET_KEY.search(path[-1])
    return bool(secret_key and text and not _ONLY_REFERENCES.fullmatch(text))


def texts(node: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Every value of a document with where it stands, as it is written."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield from texts(value, (*path, str(key)))
    elif node is not None and not isinstance(node, list):
        yield path, str(node)

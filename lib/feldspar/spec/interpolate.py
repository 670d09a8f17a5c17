"""Fills ``${NAME}`` and ``${NAME:-default}`` in the text of a definition; nothing else does.

A default may itself hold a variable, as in a shell.
"""

from __future__ import annotations

from collections.abc import Mapping

from feldspar.errors import UsageError


def interpolate(text: str, variables: Mapping[str, str]) -> str:
    """The text with every variable filled in.

    Raises:
        UsageError: a variable is not set and has no default, or a brace is left open.

    >>> interpolate("${A:-x/${B}}/y", {"B": "b"})
    'x/b/y'
    """
    filled = []
    rest = text
    while (start := rest.find("${")) >= 0:
        end = _closing(rest, start + 2)
        filled.append(rest[:start])
        filled.append(_value(rest[start + 2 : end], variables))
        rest = rest[end + 1 :]
    return "".join([*filled, rest])


def _closing(text: str, start: int) -> int:
    depth = 1
    for position in range(start, len(text)):
        if text.startswith("${", position):
            depth += 1
        elif text[position] == "}":
            depth -= 1
            if depth == 0:
                return position
    raise UsageError(f"{text!r}: a '${{' is never closed")


def _value(reference: str, variables: Mapping[str, str]) -> str:
    name, given, default = reference.partition(":-")
    value = variables.get(name, "")
    if value:
        return value
    if given:
        return interpolate(default, variables)
    raise UsageError(
        f"the environment variable {name} is not set",
        hint=f"export {name}=..., or write ${{{name}:-default}}",
    )

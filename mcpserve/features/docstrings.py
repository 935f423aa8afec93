"""A small reader of docstrings: the prose for the model, and what is said of each parameter.

It knows Google's sections (`Args:`, indented) and reST's fields (`:param name:`), which is what plugin authors write.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping

import attrs

_PARAMETERS = frozenset({"args", "arguments", "parameters", "params", "attributes", "keyword args"})
_OTHERS = frozenset({"returns", "return", "yields", "raises", "fires", "cancel", "spec", "todo", "see also"})
_SECTION = re.compile(r"([A-Z][A-Za-z]*(?: [A-Za-z]+)?):(?:\s|$)")
_ENTRY = re.compile(r"\*{0,2}(\w+)\s*(?:\([^)]*\))?\s*:\s*(.*)")
_FIELD = re.compile(r":(\w+)(?:\s+([^:]*))?:\s*(.*)")
_FIELD_PARAMETERS = frozenset({"param", "parameter", "arg", "argument", "key", "ivar", "var"})


@attrs.frozen
class Docstring:
    """What a docstring says.

    Args:
        description: The prose without the sections for programmers; None when there is none.
        parameters: A sentence for each parameter or attribute that is described.
    """

    description: str | None
    parameters: Mapping[str, str]


def read_docstring(text: str | None) -> Docstring:
    """Read a docstring; an empty or missing one says nothing."""
    prose: list[str] = []
    parameters: dict[str, str] = {}
    for block in _blocks(inspect.cleandoc(text or "").splitlines()):
        head = block[0]
        if field := _FIELD.match(head):
            _read_field(field, block[1:], parameters)
        elif (name := _section(head)) in _PARAMETERS:
            parameters.update(_read_entries(block[1:]))
        elif name not in _OTHERS:
            prose += block
    return Docstring("\n".join(prose).strip() or None, parameters)


def _blocks(lines: Iterable[str]) -> list[list[str]]:
    """Split at each line that is not indented: such a line with the indented and empty lines after it is a block."""
    blocks: list[list[str]] = []
    for line in lines:
        if blocks and (line.startswith((" ", "\t")) or not line):
            blocks[-1].append(line)
        else:
            blocks.append([line])
    return blocks


def _section(line: str) -> str | None:
    match = _SECTION.match(line)
    return match[1].lower() if match else None


def _read_entries(lines: Iterable[str]) -> dict[str, str]:
    """Read `name: text` entries; lines that are indented deeper than the first continue the entry above them."""
    entries: dict[str, list[str]] = {}
    margin, current = None, None
    for line in filter(str.strip, lines):
        indent = len(line) - len(line.lstrip())
        margin = indent if margin is None else margin
        entry = _ENTRY.fullmatch(line.strip()) if indent <= margin else None
        if entry:
            current = entries[entry[1]] = [entry[2]]
        elif current is not None:
            current.append(line.strip())
    return {name: " ".join(filter(None, words)) for name, words in entries.items() if any(words)}


def _read_field(field: re.Match[str], more: Iterable[str], parameters: dict[str, str]) -> None:
    """Read one `:param type name: text` with its continuation; other fields are for programmers and are dropped."""
    kind, names, text = field.groups()
    if kind in _FIELD_PARAMETERS and names:
        parameters[names.split()[-1]] = " ".join(filter(None, [text, *map(str.strip, more)]))

"""How much there may be to say about what is wrong with a value: an estimate, from its schema and its depth.

Whether a value fits is found out in linear time, as the validator remembers what it has seen. To say why it does not,
it goes along each alternative of `anyOf` and `oneOf` anew, and along their alternatives one level deeper: with a schema
that refers to itself, a small value that a stranger sends can keep it busy for years.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote

MANY = 10**6
"""An estimate goes no further than this."""

_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
_LISTS = ("allOf", "anyOf", "oneOf")
_SINGLES = ("not", "if", "then", "else")


def fan(schema: Any) -> int:
    """Along how many ways one level of a value may be explained, at the most; 1 for a schema without references.

    Without them, the ways are as many as the schema spells out.
    """
    if not any(name in one for one in _all(schema) for name in _REFERENCES):
        return 1
    known: dict[int, int] = {}
    return max(_ways(one, schema, known) for one in _all(schema))


def depth(value: Any) -> int:
    """How many objects and arrays of a JSON value stand in one another."""
    levels, level = 0, [value]
    while level := [child for one in level for child in _children(one)]:
        levels += 1
    return levels


def _ways(schema: Any, root: Any, known: dict[int, int]) -> int:
    if not isinstance(schema, Mapping):
        return 1
    if id(schema) not in known:
        known[id(schema)] = 1  # a circle that consumes nothing of the value leads nowhere
        found = sum(_ways(one, root, known) for one in _in_place(schema, root))
        known[id(schema)] = min(max(1, found), MANY)
    return known[id(schema)]


def _in_place(schema: Mapping[str, Any], root: Any) -> Iterator[Any]:
    """The schemas that look at the same value."""
    for keyword in _LISTS:
        if isinstance(some := schema.get(keyword), list):
            yield from some
    for keyword in _SINGLES:
        if keyword in schema:
            yield schema[keyword]
    for keyword in _REFERENCES:
        if isinstance(target := schema.get(keyword), str):
            yield _at(target, root)


def _at(reference: str, root: Any) -> Any:
    """What a reference within a document leads to; the whole where it goes by a name instead of a path."""
    found = root
    for step in unquote(reference.removeprefix("#")).split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        found = found[int(name)] if isinstance(found, list) and name.isdecimal() else found.get(name, {})
        if not isinstance(found, Mapping | list):
            return {}
    return found


def _all(value: Any) -> Iterator[Mapping[str, Any]]:
    """All objects in a JSON value; of a schema, more than those that are schemas."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, Mapping):
            yield one
        waiting += _children(one)


def _children(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        yield from value.values()
    elif isinstance(value, list):
        yield from value

"""How much there may be to say about what is wrong with a value."""

from __future__ import annotations

from typing import Any

import pytest

from mcpserve.errors import PluginError
from mcpserve.features.fanning import MANY, depth, fan
from mcpserve.features.validation import Validator

TREE = {
    "type": "object",
    "properties": {"tree": {"$ref": "#/$defs/tree"}},
    "$defs": {
        "tree": {
            "anyOf": [
                {"type": "null"},
                {"properties": {"left": {"$ref": "#/$defs/tree"}}, "required": ["left", "a"], "type": "object"},
                {"properties": {"left": {"$ref": "#/$defs/tree"}}, "required": ["left", "b"], "type": "object"},
            ]
        }
    },
}


def tree(levels: int) -> dict[str, Any]:
    """A tree of so many levels that does not fit."""
    found: dict[str, Any] = {}
    for _ in range(levels):
        found = {"left": found}
    return {"tree": found}


def chain(links: int) -> dict[str, Any]:
    """A schema in which each definition refers twice to the next one."""
    refs = [{"anyOf": [{"$ref": f"#/$defs/{link + 1}"}] * 2} for link in range(links)]
    return {"$ref": "#/$defs/0", "$defs": {**{str(n): one for n, one in enumerate(refs)}, str(links): False}}


@pytest.mark.parametrize(
    ("schema", "ways"),
    [
        ({"type": "object", "properties": {"a": {"anyOf": [{"type": "string"}, {"type": "null"}]}}}, 1),
        ({"properties": {"a": {"anyOf": [{"$ref": "#/$defs/a"}, {"type": "null"}]}}, "$defs": {"a": {}}}, 2),
        (TREE, 3),
        (chain(4), 16),
        (chain(60), MANY),
        ({"$ref": "#/$defs/a~1b%20c/0", "$defs": {"a/b c": [{"oneOf": [{}, {}]}]}}, 2),
        ({"$ref": "#/$defs/gone"}, 1),
        ({"anyOf": [{"$ref": "#"}, {"$ref": "#"}]}, 2),
        (True, 1),
    ],
)
def test_ways(schema: Any, ways: int) -> None:
    """The ways of a schema are counted through its references, and circles and mistakes end the count."""
    assert fan(schema) == ways


@pytest.mark.parametrize(("value", "levels"), [(1, 0), ({}, 0), ([1], 1), ({"a": [{"b": 1}], "c": 2}, 3)])
def test_depth(value: Any, levels: int) -> None:
    """The depth of a value is that of its deepest part."""
    assert depth(value) == levels


@pytest.mark.parametrize("levels", [9, 200])
def test_deep_values_are_refused_without_an_explanation(levels: int) -> None:
    """A value that would take for ever to explain is refused in a sentence."""
    (problem,) = Validator(TREE, "the schema").problems(tree(levels))
    assert "nested too deeply" in problem


def test_chains_are_refused() -> None:
    """A schema that fans out by itself is refused when it is compiled: each value would take for ever."""
    with pytest.raises(PluginError, match="alternatives"):
        Validator(chain(40), "the schema")


def test_shallow_values_are_explained() -> None:
    """What a person would send gets its explanation."""
    problems = Validator(TREE, "the schema").problems(tree(2))
    assert problems
    assert problems[-1].startswith("tree.left.left: ")

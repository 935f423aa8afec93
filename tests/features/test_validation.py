"""JSON Schema validators: problems in sentences, dialects, and references that are never fetched."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mcpserve.errors import PluginError
from mcpserve.features.validation import Validator

SCHEMA = {
    "type": "object",
    "properties": {
        "count": {"type": "integer", "minimum": 1},
        "names": {"type": "array", "items": {"type": "string"}},
        "limit": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        "place": {"anyOf": [{"type": "object", "properties": {"x": {"type": "integer"}}}, {"type": "null"}]},
        "size": {"anyOf": [{"type": "integer", "minimum": 5}, {"type": "string"}]},
        "mode": {"enum": ["fast", "safe"]},
    },
    "required": ["count"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ({"count": "x"}, 'count: "x" is not of type "integer"'),
        ({"count": 0}, "count: 0 is less than the minimum of 1"),
        ({"count": True}, 'count: true is not of type "integer"'),
        ({"names": ["a", 3]}, 'names[1]: 3 is not of type "string"'),
        ({"limit": "x"}, 'limit: "x" is not of type "integer" or "null"'),
        ({"place": {"x": "y"}}, 'place.x: "y" is not of type "integer"'),
        ({"size": 3}, "size: 3 is less than the minimum of 5"),
        ({"mode": "slow"}, 'mode: "slow" is not one of "fast" or "safe"'),
        ({"mode": {"a": 1}}, 'mode: an object is not one of "fast" or "safe"'),
        ({"count": [1]}, 'count: an array is not of type "integer"'),
        ({"other": 1}, "Additional properties are not allowed ('other' was unexpected)"),
    ],
)
def test_names_path_and_remedy(more: dict[str, Any], problem: str) -> None:
    """A problem says where it is, what stands there, and what would be right."""
    assert Validator(SCHEMA, "it").problems({"count": 1, **more}) == [problem]


def test_a_valid_value_has_no_problems() -> None:
    """An integer may be written as 3.0."""
    assert Validator(SCHEMA, "it").problems({"count": 3.0, "limit": None}) == []


def test_says_which_property_is_missing() -> None:
    """A missing property is named."""
    assert Validator(SCHEMA, "it").problems({}) == ['"count" is a required property']


def test_tells_of_a_few_problems_only() -> None:
    """The list of problems is as long as the limit at most."""
    names = {"count": 1, "names": list(range(100))}
    assert len(Validator(SCHEMA, "it").problems(names)) == 5
    assert len(Validator(SCHEMA, "it").problems(names, limit=2)) == 2


def test_shortens_long_values_and_names() -> None:
    """Neither a long text nor a long name makes a long sentence."""
    validator = Validator(SCHEMA, "it")
    assert len(validator.problems({"count": "x" * 10_000})[0]) < 120
    assert len(validator.problems({"count": 1, "y" * 10_000: 1})[0]) <= 240


@pytest.mark.parametrize(
    "dialect",
    [
        "https://json-schema.org/draft/2020-12/schema",
        "https://json-schema.org/draft/2019-09/schema",
        "http://json-schema.org/draft-07/schema#",
        "http://json-schema.org/draft-06/schema#",
        "http://json-schema.org/draft-04/schema#",
    ],
)
def test_supports_the_dialect(dialect: str) -> None:
    """Explicit dialects are followed."""
    validator = Validator({"$schema": dialect, "type": "object"}, "it")
    assert validator.problems({}) == []
    assert validator.problems(3) == ['3 is not of type "object"']


def test_follows_the_dialect_that_is_named() -> None:
    """In draft-07 `items` may be a list for positions, in 2020-12 it may not: the dialect decides."""
    schema = {"items": [{"type": "integer"}]}
    assert Validator({"$schema": "http://json-schema.org/draft-07/schema#", **schema}, "it").problems(["x"])
    with pytest.raises(PluginError):
        Validator(schema, "it")


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "objekt"}, "it is not a valid JSON Schema: type:"),
        ({"pattern": "("}, "regex"),
        ({"$schema": "https://example.com/mine"}, "dialect 'https://example.com/mine', which is not supported"),
        ({"$schema": 3}, "dialect 3"),
        (None, "must be a JSON object, not NoneType"),
        (True, "must be a JSON object, not bool"),
        ({"$ref": "https://example.com/x"}, "never fetched"),
        ({"$ref": "file:///etc/passwd"}, "never fetched"),
        ({"properties": {"a": {"$ref": "other.json"}}}, "never fetched"),
        ({"$id": "https://example.com/root", "items": {"$ref": "other"}}, "never fetched"),
        ({"$dynamicRef": "https://example.com/x"}, "never fetched"),
        ({"$ref": "#/$defs/missing"}, "under \\$defs"),
    ],
)
def test_refuses_a_bad_schema(schema: Any, words: str) -> None:
    """What can't be compiled, or would need another document, is refused at once and nothing is fetched."""
    with pytest.raises(PluginError, match=words):
        Validator(schema, "it")


def test_reads_no_file(tmp_path: Path) -> None:
    """Not even a document that is there, and would fit, is read."""
    (tmp_path / "there.json").write_text('{"type": "integer"}')
    with pytest.raises(PluginError, match="never fetched"):
        Validator({"$ref": (tmp_path / "there.json").as_uri()}, "it")


def test_formats_assert_on_request() -> None:
    """In 2020-12 a format is a note; it asserts only where we say so."""
    schema = {"type": "string", "format": "date"}
    assert Validator(schema, "it").problems("no day") == []
    assert Validator(schema, "it", formats=True).problems("no day") == ['"no day" is not a "date"']

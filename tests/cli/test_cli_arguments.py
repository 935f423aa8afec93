"""Arguments on a command line."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpserve.cli.arguments import ArgumentError, read_arguments

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "text": {"type": "string"},
        "number": {"type": "number"},
        "whole": {"type": "integer"},
        "flag": {"type": "boolean"},
        "maybe": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "either": {"type": ["integer", "string"]},
        "tags": {"type": "array", "items": {"type": "string"}},
        "sizes": {"type": "array", "items": {"type": "integer"}},
        "filter": {"$ref": "#/$defs/Filter"},
        "a.b": {"type": "string"},
        "mode": {"enum": ["fast", "slow"]},
        "level": {"const": 3},
        "remote": {"$ref": "https://example.org/schema"},
        "circle": {"$ref": "#/properties/circle"},
        "odd": {"type": 5, "enum": 6, "anyOf": 7},
    },
    "$defs": {"Filter": {"type": "object", "properties": {"min": {"type": "integer"}, "name": {"type": "string"}}}},
}


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("text=3", "3"),
        ("text=", ""),
        ("text=a=b", "a=b"),
        ("text=two\nlines", "two\nlines"),
        ('text="quoted"', '"quoted"'),
        ("number=3", 3),
        ("number=-2.5e3", -2500.0),
        ("whole=7", 7),
        ("whole=7.0", 7.0),
        ("flag=true", True),
        ("flag=No", False),
        ("maybe=null", None),
        ("maybe=Ada", "Ada"),
        ("either=12", 12),
        ("either=12a", "12a"),
        ("tags=a", ["a"]),
        ('tags=["a","b"]', ["a", "b"]),
        ("sizes=3", [3]),
        ('filter={"min":3}', {"min": 3}),
        ("filter.min=3", {"min": 3}),
        ("filter.name=3", {"name": "3"}),
        ("filter.unknown=3", {"unknown": 3}),
        ("a.b=1", "1"),
        ("mode=fast", "fast"),
        ("level=3", 3),
        ("remote=3", 3),
        ("circle=3", 3),
        ("odd=3", 3),
        ("unknown=3", 3),
        ("unknown=three", "three"),
        ("text:=3", 3),
        ('text:={"a":[null]}', {"a": [None]}),
        ("text:x=3", None),
    ],
)
def test_a_value_has_the_type_that_the_schema_wants(word: str, value: Any) -> None:
    """And where the schema says nothing, it is JSON if it can be."""
    if word == "text:x=3":
        assert read_arguments([word], SCHEMA) == {"text:x": 3}
    else:
        name = "a.b" if word.startswith("a.b") else word.split("=")[0].split(".")[0].rstrip(":")
        assert read_arguments([word], SCHEMA) == {name: value}


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["number=x"], "number must be a number, and not 'x'"),
        (["whole=1.5"], "whole must be a whole number, and not '1.5'"),
        (["flag=2"], "flag must be true or false"),
        (["number=NaN"], "number must be a number"),
        (["sizes=x"], "sizes must be a whole number"),
        (["filter=3"], "filter must be an object in JSON"),
        (["filter.min=x"], "filter.min must be a whole number"),
        (["text"], "an argument is NAME=VALUE, and not 'text'"),
        (["=3"], "an argument is NAME=VALUE"),
        (["a..b=3"], "'a..b' is no name of an argument"),
        (["text:=nope"], "the value of text is not JSON"),
        (["text:=" + "[" * 100_000], "the value of text is not JSON"),
        (["whole=1", "whole=2"], "whole is given twice, and is no list"),
        (["text=a", "text.b=3"], "text.b: text is no object"),
    ],
)
def test_what_does_not_fit_is_told(words: list[str], complaint: str) -> None:
    """With the name of the argument, and what would fit."""
    with pytest.raises(ArgumentError) as caught:
        read_arguments(words, SCHEMA)
    assert complaint in str(caught.value)


def test_what_is_given_again_is_a_list() -> None:
    """If the tool wants a list."""
    assert read_arguments(["tags=a", 'tags=["b","c"]', "tags=d"], SCHEMA) == {"tags": ["a", "b", "c", "d"]}


def test_words_go_on_top_of_a_document() -> None:
    """Also within it; the document itself is left as it is."""
    document = {"text": "old", "filter": {"min": 1, "name": "kept"}, "tags": ["old"]}
    before = json.loads(json.dumps(document))
    merged = read_arguments(["text=new", "filter.min=2", "tags=new"], SCHEMA, document)
    assert merged == {"text": "new", "filter": {"min": 2, "name": "kept"}, "tags": ["new"]}
    assert document == before


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=5))
def test_json_comes_through_as_it_is(value: Any) -> None:
    """With `:=`, whatever the schema says."""
    assert read_arguments([f"text:={json.dumps(value)}"], SCHEMA) == {"text": value}


@given(st.text())
def test_a_text_is_never_read_as_anything_else(text: str) -> None:
    """Where a string is wanted, what is written is what is sent."""
    assert read_arguments([f"text={text}"], SCHEMA) == {"text": text}

"""Forms of servers."""

from __future__ import annotations

from typing import Any

import pytest

from mcpserve.cli.forms import FieldError, fields_of, fill_in

SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["email", "sizes"],
    "properties": {
        "name": {"type": "string", "title": "Your name", "description": "In full", "minLength": 2, "default": "Ada L."},
        "email": {"type": "string", "format": "email"},
        "age": {"type": "integer", "minimum": 0},
        "agree": {"type": "boolean", "default": False},
        "color": {"type": "string", "enum": ["r", "g"], "enumNames": ["Red", "Green"]},
        "size": {"type": "string", "oneOf": [{"const": "s", "title": "Small"}, {"const": "l"}], "default": "s"},
        "sizes": {
            "type": "array",
            "items": {"anyOf": [{"const": "s", "title": "Small"}, {"const": "l"}]},
            "minItems": 1,
        },
        "odd": 5,
        "remote": {"$ref": "https://example.org/x", "type": "string"},
    },
}
FIELDS = {field.name: field for field in fields_of(SCHEMA)}


def test_fields_are_those_that_can_be_filled_in() -> None:
    """In their order, with what they are called and what is in them."""
    assert list(FIELDS) == ["name", "email", "age", "agree", "color", "size", "sizes", "remote"]
    name = FIELDS["name"]
    assert (name.title, name.description, name.required, name.default) == ("Your name", "In full", False, "Ada L.")
    assert [name for name, field in FIELDS.items() if field.required] == ["email", "sizes"]


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("name", "Bo", "Bo"),
        ("email", "a@b.org", "a@b.org"),
        ("age", "7", 7),
        ("agree", "yes", True),
        ("color", "g", "g"),
        ("color", "Green", "g"),
        ("color", "2", "g"),
        ("size", "Small", "s"),
        ("sizes", "1, l", ["s", "l"]),
        ("remote", "x", "x"),
    ],
)
def test_what_is_written_becomes_a_value(name: str, text: str, value: Any) -> None:
    """A choice by its value, its title, or its number."""
    assert FIELDS[name].read(text) == value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("name", "B"),
        ("email", "nobody"),
        ("age", "-1"),
        ("age", "x"),
        ("agree", "perhaps"),
        ("color", "3"),
        ("sizes", ""),
    ],
)
def test_what_does_not_fit_is_refused(name: str, text: str) -> None:
    """Before the server sees it."""
    with pytest.raises(FieldError):
        FIELDS[name].read(text)


def test_values_are_shown_as_they_could_be_written() -> None:
    """By their titles, where they have some."""
    assert FIELDS["agree"].spelled(False) == "false"
    assert FIELDS["size"].spelled("s") == "Small"
    assert FIELDS["sizes"].spelled(["s", "l"]) == "Small, l"
    assert FIELDS["name"].spelled("Ada") == "Ada"


def test_filled_in_without_asking() -> None:
    """What is given, then the defaults; the rest is left out."""
    values = fill_in(list(FIELDS.values()), {"email": "a@b.org", "sizes": "s", "unknown": "x"})
    assert values == {"name": "Ada L.", "email": "a@b.org", "agree": False, "size": "s", "sizes": ["s"]}


@pytest.mark.parametrize(
    ("given", "complaint"), [({"sizes": "s"}, "email is required"), ({"email": "x", "sizes": "s"}, "email: ")]
)
def test_what_is_missing_or_wrong_is_named(given: dict[str, str], complaint: str) -> None:
    """A form is not sent half."""
    with pytest.raises(FieldError, match=complaint):
        fill_in(list(FIELDS.values()), given)


@pytest.mark.parametrize("schema", [{}, {"properties": 3}, {"properties": {"a": {}}, "required": "a"}])
def test_odd_schemas_are_borne(schema: dict[str, Any]) -> None:
    """What can't be understood asks for nothing, or for anything."""
    assert [field.read("3") for field in fields_of(schema)] in ([], [3])

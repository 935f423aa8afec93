"""Forms: what classes and schemas become, what is refused, and what is made of answers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from enum import Enum
from typing import Annotated, Any, Literal, TypedDict
from uuid import UUID

import attrs
import pytest

from mcpserve import Arg
from mcpserve.features.forms import form_of
from mcpserve.features.records import UnsupportedHint
from mcpserve.protocol.revisions import V2025_06_18, V2025_11_25, V2026_07_28


class Color(Enum):
    """Has names that say more than its values."""

    RED = "#f00"
    DARK_BLUE = "#00f"


class Level(Enum):
    """Has values that are its names."""

    LOW = "low"
    HIGH = "high"


@attrs.frozen
class Order:
    """An order.

    Args:
        name: Who orders.
    """

    name: str
    email: Annotated[str, Arg("Where to write", format="email", max_length=50)]
    amount: Annotated[int, Arg(minimum=1, maximum=9)]
    color: Color
    day: date | None = None
    weight: float = 1.5
    gift: bool = False
    level: Level = Level.LOW
    extras: Annotated[tuple[Color, ...], Arg(title="Extras", min_items=1)] = (Color.RED,)
    tags: set[Literal["a", "b"]] = attrs.Factory(set)


TITLED = [{"const": "#f00", "title": "Red"}, {"const": "#00f", "title": "Dark blue"}]


def test_the_form_of_a_class() -> None:
    """Each field has the one shape that the specification gives it, and what may be left out is not required."""
    assert form_of(Order).schema == {
        "type": "object",
        "properties": {
            "name": {"type": "string", "description": "Who orders."},
            "email": {"type": "string", "description": "Where to write", "format": "email", "maxLength": 50},
            "amount": {"type": "integer", "minimum": 1, "maximum": 9},
            "color": {"type": "string", "oneOf": TITLED},
            "day": {"type": "string", "format": "date"},
            "weight": {"type": "number", "default": 1.5},
            "gift": {"type": "boolean", "default": False},
            "level": {"type": "string", "enum": ["low", "high"], "default": "low"},
            "extras": {
                "type": "array",
                "items": {"anyOf": TITLED},
                "title": "Extras",
                "minItems": 1,
                "default": ["#f00"],
            },
            "tags": {"type": "array", "items": {"type": "string", "enum": ["a", "b"]}},
        },
        "required": ["name", "email", "amount", "color"],
    }


def test_what_is_made_of_an_answer() -> None:
    """An object of the class, with values of its types; what the form does not know is dropped."""
    content = {"name": "Ada", "email": "a@b.c", "amount": 2, "color": "#00f", "day": "2026-01-02", "other": 1}
    order = form_of(Order).read(content)
    assert order == Order("Ada", "a@b.c", 2, Color.DARK_BLUE, date(2026, 1, 2))


GOOD: Mapping[str, Any] = {"name": "Ada", "email": "a@b.c", "amount": 2, "color": "#00f"}


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"name": ...}, '"name" is a required property'),
        ({"amount": 10}, "amount: "),
        ({"amount": "2"}, "amount: "),
        ({"email": "nobody"}, "email: "),
        ({"color": "red"}, "color: "),
        ({"day": "2026-02-30"}, "day: "),
        ({"extras": []}, "extras: "),
        ({"extras": ["#0f0"]}, "extras"),
        ({"tags": ["c"]}, "tags"),
        ({"gift": None}, "gift: "),
    ],
)
def test_what_does_not_fit(wrong: dict[str, Any], words: str) -> None:
    """The sentence names the field."""
    content = {name: value for name, value in {**GOOD, **wrong}.items() if value is not ...}
    with pytest.raises(ValueError, match=words):
        form_of(Order).read(content)


def test_a_value_that_only_its_class_refuses() -> None:
    """What a converter or validator of the author's says is told as well."""

    @attrs.frozen
    class Even:
        """Holds an even number."""

        number: int = attrs.field()

        @number.validator
        def _even(self, attribute: object, value: int) -> None:
            if value % 2:
                raise ValueError("must be even")

    with pytest.raises(ValueError, match="must be even"):
        form_of(Even).read({"number": 3})


def test_other_classes() -> None:
    """A TypedDict is a form too, and gives a dict."""

    class Place(TypedDict, total=False):
        """A place."""

        city: str

    form = form_of(Place)
    assert form.schema == {"type": "object", "properties": {"city": {"type": "string"}}}
    assert form.read({"city": "Rome"}) == {"city": "Rome"}


@pytest.mark.parametrize(
    "hint", [dict, dict[str, str], list[str], list[int], Order, UUID, bytes, Literal[1, 2], str | int, Any, list[Order]]
)
def test_fields_that_no_client_can_show(hint: Any) -> None:
    """They are refused with a sentence that names form, field and remedy."""
    cls = attrs.make_class("Wrong", {"field": attrs.field(type=hint)})
    with pytest.raises(UnsupportedHint, match=r"the form Wrong: field: .*; a field of a form is a str, int, float"):
        form_of(cls)


def test_keywords_that_no_client_knows() -> None:
    """A restriction that only the server would know of is refused."""
    cls = attrs.make_class("Wrong", {"field": attrs.field(type=Annotated[int, Arg(multiple_of=2)])})
    with pytest.raises(UnsupportedHint, match="'multipleOf' is not for a form's integer"):
        form_of(cls)


@pytest.mark.parametrize("given", [5, "x", int, []])
def test_what_is_no_form_at_all(given: Any) -> None:
    """Neither a class nor a schema."""
    with pytest.raises(UnsupportedHint, match="is no form"):
        form_of(given)


def test_no_form() -> None:
    """There is nothing to fill in, only something to agree to."""
    form = form_of(None)
    assert form.schema == {"type": "object", "properties": {}}
    assert form.read({"x": 1}) == {}


def properties(**fields: Any) -> dict[str, Any]:
    """A schema with these properties."""
    return {"type": "object", "properties": fields}


def test_an_explicit_schema_stays_as_it_is() -> None:
    """With enumNames, a dialect, and what else the specification allows."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **properties(a={"type": "string", "enum": ["x", "y"], "enumNames": ["X", "Y"]}, b={"type": "boolean"}),
        "required": ["a"],
    }
    form = form_of(schema)
    assert form.schema_for(V2026_07_28) == form.schema_for(V2025_11_25) == schema
    assert form.read({"a": "x"}) == {"a": "x"}


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({}, '"type": "object"'),
        ({"type": "object"}, '"properties"'),
        ({"type": "array", "properties": {}}, '"type": "object"'),
        ({**properties(), "additionalProperties": False}, "'additionalProperties' has no place"),
        ({**properties(), "required": ["a"]}, "'a' is required, but no property"),
        (properties(a={"type": "object", "properties": {}}), "a: it is none of string"),
        (properties(a={"type": ["string", "null"]}), "a: it is none of string"),
        (properties(a=True), "a: it is none of string"),
        (properties(a={"type": "string", "format": "uuid"}), "the format 'uuid' is none of email"),
        (properties(a={"type": "string", "minimum": 1}), "'minimum' is not for a form's string"),
        (properties(a={"type": "string", "enum": []}), "an enum is a list of texts"),
        (properties(a={"type": "string", "enum": [1]}), "an enum is a list of texts"),
        (properties(a={"type": "string", "enum": ["x"], "enumNames": []}), None),
        (properties(a={"type": "string", "enum": ["x"], "enumNames": ["X", "Y"]}), "enumNames has a name for each"),
        (properties(a={"type": "string", "oneOf": [{"const": "x"}]}), "a const and a title"),
        (properties(a={"type": "string", "oneOf": [{"const": 1, "title": "x"}]}), "a const and a title"),
        (properties(a={"type": "array"}), "items with an enum"),
        (properties(a={"type": "array", "items": {"type": "string"}}), "items with an enum"),
        (properties(a={"type": "array", "items": {"enum": ["x"], "anyOf": []}}), "items with an enum"),
        (properties(a={"type": "array", "items": {"enum": ["x"]}}), "items with an enum"),
        (
            properties(a={"type": "array", "items": {"type": "string", "enum": ["x"], "minLength": 1}}),
            "'minLength' is not for the items",
        ),
    ],
)
def test_what_the_specification_does_not_allow(schema: dict[str, Any], words: str | None) -> None:
    """Is refused with a sentence that names it."""
    if words is None:
        form_of(schema)
        return
    with pytest.raises(ValueError, match=f"the schema of a form: .*{words}"):
        form_of(schema)


def test_titles_in_an_older_revision() -> None:
    """2025-06-18 has names beside its enums, and no choice of several."""
    form = form_of(attrs.make_class("One", {"color": attrs.field(type=Color), "at": attrs.field(type=datetime)}))
    schema = form.schema_for(V2025_06_18)
    assert schema is not None
    assert schema["properties"] == {
        "color": {"type": "string", "enum": ["#f00", "#00f"], "enumNames": ["Red", "Dark blue"]},
        "at": {"type": "string", "format": "date-time"},
    }
    assert form_of(Order).schema_for(V2025_06_18) is None

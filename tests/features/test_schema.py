"""From Python types to JSON Schema."""

import dataclasses
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from enum import Enum, IntEnum
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, NewType, NotRequired, Optional, TypedDict
from uuid import UUID

import attrs
import pytest

from mcpserve.features.schema import Arg, Schemas, UnsupportedHint

UserId = NewType("UserId", int)


class Color(Enum):
    """Colours."""

    RED = "red"
    BLUE = "blue"


class Level(IntEnum):
    """Levels."""

    LOW = 1
    HIGH = 2


@attrs.frozen
class Place:
    """A place on earth.

    Attributes:
        latitude: Degrees north.
        label: How it is
            called.
    """

    latitude: float
    label: str = ""
    tags: list[str] = attrs.field(factory=list)
    _secret: int = 0
    computed: int = attrs.field(init=False, default=1)


@dataclasses.dataclass
class Span:  # noqa: D101
    start: int
    stop: int = 9


class Options(TypedDict, total=False):
    """What may be chosen."""

    depth: Annotated[int, "How deep"]


class Query(Options):
    """What is looked for."""

    text: str
    lang: "NotRequired[str]"
    page: "Annotated[NotRequired[int], 'Which']"


class Point(NamedTuple):  # noqa: D101
    x: int
    y: int = 0


@attrs.frozen
class Tree:
    """Contains itself."""

    value: int
    children: "list[Tree]" = attrs.field(factory=list)


@attrs.frozen
class Lost:
    """Names what is not there."""

    value: "Nowhere"  # type: ignore[name-defined]  # noqa: F821


STRING = {"type": "string"}
INTEGER = {"type": "integer"}


@pytest.mark.parametrize(
    ("hint", "schema"),
    [
        (str, STRING),
        (int, INTEGER),
        (float, {"type": "number"}),
        (bool, {"type": "boolean"}),
        (None, {"type": "null"}),
        (Any, {}),
        (object, {}),
        (bytes, {"type": "string", "contentEncoding": "base64"}),
        (datetime, {"type": "string", "format": "date-time"}),
        (date, {"type": "string", "format": "date"}),
        (UUID, {"type": "string", "format": "uuid"}),
        (Path, {"type": "string", "format": "path"}),
        (UserId, INTEGER),
        (dict, {"type": "object"}),
        (list, {"type": "array"}),
        (list[Any], {"type": "array"}),
        (list[int], {"type": "array", "items": INTEGER}),
        (Sequence[int], {"type": "array", "items": INTEGER}),
        (tuple[int, ...], {"type": "array", "items": INTEGER}),
        (set[int], {"type": "array", "uniqueItems": True, "items": INTEGER}),
        (frozenset[int], {"type": "array", "uniqueItems": True, "items": INTEGER}),
        (tuple[int, str], {"type": "array", "prefixItems": [INTEGER, STRING], "minItems": 2, "maxItems": 2}),
        (dict[str, int], {"type": "object", "additionalProperties": INTEGER}),
        (Mapping[str, Any], {"type": "object"}),
        (
            dict[Literal["a", "b"], int],
            {"type": "object", "propertyNames": {"enum": ["a", "b"]}, "additionalProperties": INTEGER},
        ),
        (Literal["a", "b"], {"type": "string", "enum": ["a", "b"]}),
        (Literal["a", 1, None], {"enum": ["a", 1, None]}),
        (Literal[Color.RED], {"type": "string", "enum": ["red"]}),
        (Color, {"type": "string", "enum": ["red", "blue"]}),
        (Level, {"type": "integer", "enum": [1, 2]}),
        (int | None, {"anyOf": [INTEGER, {"type": "null"}]}),
        (Optional[int], {"anyOf": [INTEGER, {"type": "null"}]}),  # noqa: UP045
        (int | str, {"anyOf": [INTEGER, STRING]}),
        (int | Any, {}),
        (int | UserId, INTEGER),
        (Annotated[int, "How many"], {"type": "integer", "description": "How many"}),
        (list[Annotated[int, Arg(minimum=1)]], {"type": "array", "items": {"type": "integer", "minimum": 1}}),
        (Annotated[int, object(), "x"], {"type": "integer", "description": "x"}),
    ],
)
def test_writes_the_schema_of_a_hint(hint: Any, schema: dict[str, Any]) -> None:
    """Each hint that authors may write has one schema."""
    assert Schemas().of(hint) == schema


def test_decimals_are_text() -> None:
    """A float would lose digits."""
    assert Schemas().of(Decimal)["type"] == "string"


def test_arg_adds_keywords() -> None:
    """Keywords are written in snake_case, as Python wants them."""
    arg = Arg("How many", header="Count", exclusive_minimum=0, max_length=3, not_={"const": 7}, examples=[1])
    assert Schemas().of(Annotated[int, arg]) == {
        "type": "integer",
        "description": "How many",
        "x-mcp-header": "Count",
        "exclusiveMinimum": 0,
        "maxLength": 3,
        "not": {"const": 7},
        "examples": [1],
    }


def test_a_mirrored_parameter_is_never_null() -> None:
    """Only plain types may be mirrored; a client leaves the header and the argument out instead."""
    assert Schemas().of(Annotated[str | None, Arg(header="Region")]) == {"type": "string", "x-mcp-header": "Region"}


def test_an_attrs_class_takes_what_its_init_takes() -> None:
    """Names are those of `__init__`, descriptions come from the docstring, and unknown fields are refused."""
    assert Schemas().of(Place) == {
        "type": "object",
        "description": "A place on earth.",
        "properties": {
            "latitude": {"type": "number", "description": "Degrees north."},
            "label": {"type": "string", "description": "How it is called.", "default": ""},
            "tags": {"type": "array", "items": STRING},
            "secret": {"type": "integer", "default": 0},
        },
        "required": ["latitude"],
        "additionalProperties": False,
    }


def test_a_result_has_all_fields() -> None:
    """In results nothing is left out, also what `__init__` does not take; subclasses may add fields."""
    schema = Schemas(output=True).of(Place)
    assert schema["required"] == ["latitude", "label", "tags", "secret", "computed"]
    assert "additionalProperties" not in schema


def test_a_dataclass_has_no_made_up_description() -> None:
    """The docstring that the decorator makes says nothing new."""
    assert Schemas().of(Span) == {
        "type": "object",
        "properties": {"start": INTEGER, "stop": {"type": "integer", "default": 9}},
        "required": ["start"],
        "additionalProperties": False,
    }


def test_a_typed_dict_says_what_is_required() -> None:
    """Inherited totality, NotRequired and Annotated count; in results too."""
    for output in (False, True):
        schema = Schemas(output=output).of(Query)
        assert schema["required"] == ["text"]
        assert schema["properties"]["depth"] == {"type": "integer", "description": "How deep"}
        assert schema["properties"]["lang"] == STRING
        assert schema["properties"]["page"] == {"type": "integer", "description": "Which"}


def test_a_named_tuple_is_an_object() -> None:
    """Names say more to a model than positions."""
    assert Schemas().of(Point) == {
        "type": "object",
        "properties": {"x": INTEGER, "y": {"type": "integer", "default": 0}},
        "required": ["x"],
        "additionalProperties": False,
    }


def test_a_class_that_contains_itself_is_a_definition() -> None:
    """Other classes stand in place, so that their fields can be mirrored."""
    schemas = Schemas()
    assert schemas.of(Tree) == {"$ref": "#/$defs/Tree"}
    assert schemas.of(list[Tree]) == {"type": "array", "items": {"$ref": "#/$defs/Tree"}}
    children = schemas.definitions["Tree"]["properties"]["children"]
    assert children == {"type": "array", "items": {"$ref": "#/$defs/Tree"}}


def test_definitions_of_the_same_name_are_numbered() -> None:
    """Two classes of one name stay apart."""
    other = attrs.make_class("Tree", {"next": attrs.field(default=None)})
    other.__annotations__ = {"next": other | None}
    schemas = Schemas()
    schemas.of(Tree)
    assert schemas.of(other) == {"$ref": "#/$defs/Tree-2"}
    assert set(schemas.definitions) == {"Tree", "Tree-2"}


@pytest.mark.parametrize(
    ("hint", "words"),
    [
        (complex, "complex has no JSON form"),
        (list[complex], "complex has no JSON form"),
        (dict[int, str], r"dict\[int, str\] has keys that are not text"),
        (Literal[b"x"], "not all text"),
        (Lost, "Lost can't be resolved.*Nowhere.*module level"),
        (Sequence[type], "type has no JSON form"),
        ("text", "text has no JSON form"),
        (int | complex, "complex"),
    ],
)
def test_refuses_a_hint_without_json(hint: Any, words: str) -> None:
    """The sentence names the hint and what to write instead."""
    with pytest.raises(UnsupportedHint, match=words):
        Schemas().of(hint)

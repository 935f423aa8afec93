"""Reading a tool's function, and turning arguments into keyword values."""

import dataclasses
import functools
import json
import string
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, NewType, TypedDict
from uuid import UUID

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred

from mcpserve.errors import PluginError, ToolError
from mcpserve.features.arguments import Arg, Signature, read_signature
from mcpserve.features.plain import plain
from mcpserve.features.validation import Validator
from mcpserve.protocol.types import Content, Image, Result, Text

if TYPE_CHECKING:
    from elsewhere import Unseen  # type: ignore[import-not-found]


class Call:
    """Stands for the injected call."""


class Stream(Call):
    """Stands for the injected stream."""


class Color(Enum):
    """Colours."""

    RED = "red"
    BLUE = "blue"


@attrs.frozen
class Item:
    """Something bought."""

    name: str
    count: int = attrs.field(default=1, validator=attrs.validators.ge(0))
    when: date | None = None


@attrs.frozen
class Chain:
    """Contains itself."""

    link: int
    next: "Chain | None" = None


@attrs.frozen
class Hidden:
    """Has a private field, and one that is not given."""

    _code: int
    twice: int = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "twice", 2 * self._code)


@attrs.frozen
class Exploding:
    """Has a bug."""

    name: str

    def __attrs_post_init__(self) -> None:
        raise RuntimeError(self.name)


def read(function: Callable[..., Any], **schemas: Any) -> Signature:
    """Read a function with the markers of these tests."""
    return read_signature(function, injected=frozenset({Call, Stream}), **schemas)


def bind(hint: Any, value: Any) -> Any:
    """Send a value through a function with one parameter of a type, as a call would."""
    signature = read(function_of(hint))
    assert Validator(signature.input_schema, "it").problems({"it": value}) == []
    return signature.bind({"it": value})["it"]


def function_of(hint: Any, **names: Any) -> Callable[..., Any]:
    """Make a function with one parameter, `it`."""

    def function(it: Any) -> None:
        """Take it."""

    function.__annotations__ = {"it": hint, **names}
    return function


def returning(hint: Any) -> Callable[..., Any]:
    """Make a function that returns a type."""

    def function() -> None:
        """Give it."""

    function.__annotations__ = {"return": hint}
    return function


def test_derives_the_whole_schema() -> None:
    """Hints, defaults, Annotated and the docstring make the input schema; injected parameters are left out."""

    async def find(
        call: Call, text: str, limit: Annotated[int, Arg("At most", minimum=1)] = 10, deep: bool = False
    ) -> None:
        """Find things.

        It looks everywhere.

        Args:
            text: What to look for;
                more than one word will do.
            limit: Not told, as Annotated says it.

        Returns:
            What was found.
        """

    signature = read(find)
    assert signature.input_schema == {
        "type": "object",
        "properties": {
            "text": {"type": "string", "description": "What to look for; more than one word will do."},
            "limit": {"type": "integer", "description": "At most", "minimum": 1, "default": 10},
            "deep": {"type": "boolean", "default": False},
        },
        "required": ["text"],
        "additionalProperties": False,
    }
    assert signature.description == "Find things.\n\nIt looks everywhere."
    assert signature.injected == {"call": Call}
    assert signature.output_schema is None


def test_reads_rest_fields() -> None:
    """Docstrings in the manner of Sphinx are understood too."""

    def find(text: str, limit: int) -> None:
        """Find things.

        :param text: What to look for
            everywhere.
        :param int limit: How many.
        :returns: Nothing.
        """

    signature = read(find)
    assert signature.description == "Find things."
    properties = signature.input_schema["properties"]
    assert properties["text"]["description"] == "What to look for everywhere."
    assert properties["limit"]["description"] == "How many."


def test_a_function_without_parameters_takes_nothing() -> None:
    """The specification recommends this very schema."""
    assert read(lambda: None).input_schema == {"type": "object", "additionalProperties": False}


def test_a_default_of_none_needs_no_optional_hint() -> None:
    """`limit: int = None` may be left out, and no default is told that the schema refuses."""

    def find(limit: int = None, kind: Literal["a"] = None, chain: Chain = None) -> None:  # type: ignore[assignment]  # noqa: RUF013
        """Find."""

    properties = read(find).input_schema["properties"]
    assert properties["limit"] == {"type": "integer"}
    assert properties["kind"] == {"type": "string", "enum": ["a"]}
    assert properties["chain"] == {"$ref": "#/$defs/Chain"}
    assert "required" not in read(find).input_schema


def test_a_default_is_told_as_json() -> None:
    """Enums, dates and attrs classes among the defaults are written as JSON; a sentinel is not."""
    sentinel: Any = object()

    def find(color: Color = Color.RED, item: Item = Item("a"), other: str = sentinel) -> None:
        """Find."""

    properties = read(find).input_schema["properties"]
    assert properties["color"]["default"] == "red"
    assert properties["item"]["default"] == {"name": "a", "count": 1, "when": None}
    assert "default" not in properties["other"]


@pytest.mark.parametrize("hint", [Stream, Stream | None, Annotated[Stream, "the stream"]])
def test_finds_the_injected_parameter(hint: Any) -> None:
    """It is marked by its very type, also in Annotated or beside None."""
    assert read(function_of(hint)).injected == {"it": Stream}


def test_reads_methods_and_wrapped_functions() -> None:
    """A bound method is read without self, a decorated function through functools.wraps."""

    class Shop:
        def buy(self, name: str) -> None:
            """Buy."""

    @functools.wraps(Shop().buy)
    def wrapped(*args: Any, **kwargs: Any) -> None:
        """Be replaced."""

    for function in (Shop().buy, wrapped):
        assert list(read(function).input_schema["properties"]) == ["name"]


def star(*names: str) -> None:
    """Take any."""


def stars(**names: str) -> None:
    """Take any."""


def slash(name: str, /) -> None:
    """Take one."""


def bare(name) -> None:  # type: ignore[no-untyped-def]
    """Take one."""


def unknown(name: complex) -> None:
    """Take one."""


def unseen(name: "Unseen") -> None:
    """Take one."""


def changing(names: list[str] = []) -> None:  # noqa: B006
    """Take one."""


def number_header(a: Annotated[float, Arg(header="A")]) -> None:
    """Take one."""


def returns_unknown() -> complex:
    """Give one."""
    return 1j


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (star, r"'\*names' of star: .*one list"),
        (stars, r"'\*\*names' of stars: .*one dict"),
        (slash, "'name' of slash: .*take the `/` away"),
        (bare, "'name' of bare: it has no type hint; write `name: str`"),
        (unknown, "'name' of unknown: complex has no JSON form"),
        (unseen, "unseen: .*'Unseen' is not defined.*TYPE_CHECKING"),
        (changing, "'names' of changing: its default is shared"),
        (number_header, "number_header: a: x-mcp-header needs the type"),
        (returns_unknown, "returns_unknown: what it returns: complex .*annotate it with Any"),
    ],
)
def test_refuses_with_a_remedy(function: Callable[..., Any], words: str) -> None:
    """Each refusal names the function, the parameter and what to do."""
    with pytest.raises(PluginError, match=words):
        read(function)


@pytest.mark.parametrize(
    "hint",
    [
        Any,
        None,
        str,
        str | None,
        bytes,
        Text,
        Content,
        Result,
        list[Content],
        list[Text | str],
        Sequence[Image],
        list,
        tuple,
        Item | Text,
        Awaitable[str],
        Coroutine[Any, Any, Text],
        Deferred[None],
        Deferred,
        Annotated[str, "the answer"],
    ],
)
def test_content_has_no_output_schema(hint: Any) -> None:
    """Text, blocks and what is not known promise no JSON."""
    signature = read(returning(hint))
    assert (signature.output_schema, signature.wraps_result) == (None, False)


@pytest.mark.parametrize(
    ("hint", "schema"),
    [
        (dict, {"type": "object"}),
        (dict[str, int], {"type": "object", "additionalProperties": {"type": "integer"}}),
        (Deferred[dict[str, Any]], {"type": "object"}),
        (Awaitable[dict], {"type": "object"}),
        (Annotated[dict, "all of it"], {"type": "object", "description": "all of it"}),
    ],
)
def test_objects_are_promised_as_they_are(hint: Any, schema: dict[str, Any]) -> None:
    """An object needs no wrapping."""
    signature = read(returning(hint))
    assert (signature.output_schema, signature.wraps_result) == (schema, False)


@pytest.mark.parametrize("hint", [int, list[int], list[Item], Item | None, Item | str, bool, list[str], datetime])
def test_other_json_is_wrapped(hint: Any) -> None:
    """Revisions before 2026-07-28 allow only objects at the root."""
    signature = read(returning(hint))
    assert signature.wraps_result
    assert signature.output_schema is not None
    assert signature.output_schema["type"] == "object"
    assert signature.output_schema["required"] == ["result"]


def test_a_recursive_result_has_an_object_at_its_root() -> None:
    """A `$ref` alone at the root would not do for older revisions."""
    schema = read(returning(Chain)).output_schema
    assert schema is not None
    assert schema["type"] == "object"
    assert schema["properties"]["next"]["anyOf"][0] == {"$ref": "#/$defs/Chain"}
    assert Validator(schema, "it").problems(plain(Chain(1, Chain(2)))) == []


def test_plain_arguments_are_only_copied() -> None:
    """Nothing is done to text, booleans and JSON; defaults are left to Python."""

    def find(text: str, flags: list[bool], more: dict[str, Any], kind: Literal["a", "b"] = "a") -> None:
        """Find."""

    arguments = {"text": "x", "flags": [True], "more": {"a": 1.0}}
    values = read(find).bind(arguments)
    assert values == arguments
    assert values is not arguments
    assert values["more"] is arguments["more"]


@pytest.mark.parametrize(
    ("hint", "value", "expected"),
    [
        (int, 3.0, 3),
        (list[int], [1, 2.0], [1, 2]),
        (float, 3, 3.0),
        (int | None, None, None),
        (int | str, 2.0, 2),
        (tuple[int, str], [1, "a"], (1, "a")),
        (set[str], ["a", "b"], {"a", "b"}),
        (Color, "blue", Color.BLUE),
        (Literal[1, True], True, True),
        (Literal[1, True], 1, 1),
        (Literal[1, "a"], 1.0, 1),
        (bytes, "aGk=", b"hi"),
        (Path, "a/b", Path("a/b")),
        (Decimal, "1.10", Decimal("1.10")),
        (datetime, "2026-01-31T12:00:00Z", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        (datetime | str, "soon", "soon"),
        (str | date, "2026-01-31", date(2026, 1, 31)),
        (Item | None, {"name": "a", "when": "2026-01-31"}, Item("a", when=date(2026, 1, 31))),
        (dict[str, Item], {"x": {"name": "a"}}, {"x": Item("a")}),
        (Hidden, {"code": 2.0}, Hidden(2)),
        (Chain, {"link": 1, "next": {"link": 2}}, Chain(1, Chain(2))),
        (list[Annotated[int, Arg(enum=[1])]], [1.0], [1]),
    ],
)
def test_structures_values(hint: Any, value: Any, expected: Any) -> None:
    """A valid JSON value becomes what the hint promises, of exactly that type."""
    bound = bind(hint, value)
    assert bound == expected
    assert type(bound) is type(expected)


@pytest.mark.parametrize(
    ("hint", "value", "problem"),
    [
        (datetime, "2026-01-31T12:00:00", "it: not a date and time with its offset"),
        (datetime, "2026-13-31T12:00:00Z", "it: not a date and time with its offset"),
        (date | None, "2026-02-30", "it: not a date, such as 2026-01-31"),
        (date, "20260131", "it: not a date, such as"),
        (UUID, "x", "it: not a UUID"),
        (bytes, "%", "it: not base64"),
        (int | UUID, "x", "it: not an integer, and not a UUID"),
        (list[date], ["2026-01-31", "x"], r"it\[1\]: not a date"),
        (dict[str, UUID], {"a": "x"}, r"it\.a: not a UUID"),
        (Item, {"name": "a", "when": "x"}, r"it\.when: not a date"),
        (list[Item], [{"name": "a", "count": -1}], r"it\[0\]: 'count' must be >= 0: -1"),
        (float, 10**400, "it: too large a number"),
    ],
)
def test_says_what_the_schema_can_not(hint: Any, value: Any, problem: str) -> None:
    """What is wrong beyond the schema is the caller's fault, and told with its path."""
    with pytest.raises(ToolError, match=problem):
        bind(hint, value)


def test_a_bug_in_a_class_is_no_fault_of_the_caller() -> None:
    """An unexpected exception of the author's is not told to the caller."""
    with pytest.raises(Exception, match=r"Exploding") as caught:
        bind(Exploding, {"name": "private"})
    assert not isinstance(caught.value, ToolError)


OPEN = {"type": "object", "properties": {"a": {"type": "integer"}, "b": {}}, "required": ["a"], "x-note": [1]}


def test_an_explicit_schema_is_served_untouched() -> None:
    """Nothing is added; parameters need no hints, and take their arguments by name."""

    def find(a, b=None):  # type: ignore[no-untyped-def]
        """Find."""

    before = json.dumps(OPEN)
    signature = read(find, input_schema=OPEN, output_schema={"type": "array"})
    assert signature.input_schema == OPEN
    assert json.dumps(OPEN) == before
    assert (signature.output_schema, signature.wraps_result) == ({"type": "array"}, False)
    assert signature.bind({"a": 1, "more": 2}) == {"a": 1}


@pytest.mark.parametrize("hint", [dict, Mapping[str, Any], Annotated[dict[str, Any], "all"]])
def test_an_explicit_schema_may_pass_all_arguments_at_once(hint: Any) -> None:
    """One parameter named `arguments` takes them all, beside the injected one."""

    def find(arguments: Any, call: Call) -> None:
        """Find."""

    find.__annotations__["arguments"] = hint
    assert read(find, input_schema=OPEN).bind({"a": 1, "more": 2}) == {"arguments": {"a": 1, "more": 2}}


def test_an_explicit_schema_must_fit_the_function() -> None:
    """A property that no parameter takes, or a parameter that no call need give, is found when the plugin is loaded."""

    def find(a: int) -> None:
        """Find."""

    with pytest.raises(PluginError, match="'b', but no parameter takes it"):
        read(find, input_schema=OPEN)
    with pytest.raises(PluginError, match=r"'a' of .*does not require it"):
        read(find, input_schema={"type": "object", "properties": {"a": {}}})
    with pytest.raises(PluginError, match="chain"):
        read(find, input_schema={"type": "object", "required": ["a"], "items": {"x-mcp-header": "A"}})


def test_an_explicit_schema_may_require_less_than_can_be_seen() -> None:
    """Where keywords are composed, a missing argument is told when it is missing."""

    def find(a: int) -> None:
        """Find."""

    signature = read(find, input_schema={"type": "object", "allOf": [{"required": ["a"]}]})
    with pytest.raises(ToolError, match='"a" is a required property'):
        signature.bind({})


# Random types: each strategy gives a hint with a strategy for its values.

Pair = tuple[Any, st.SearchStrategy[Any]]
NAMES = st.lists(st.text(string.ascii_lowercase, min_size=3, max_size=5), min_size=1, max_size=3, unique=True)
ZONES = st.sampled_from([UTC, timezone(timedelta(hours=2)), timezone(-timedelta(hours=3, minutes=30))])
WHOLE = st.integers(-(2**53), 2**53)
REAL = st.floats(allow_nan=False, allow_infinity=False)
MOMENTS = st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 29), timezones=ZONES)
HASHABLE: list[Pair] = [
    (str, st.text()),
    (int, WHOLE),
    (bool, st.booleans()),
    (date, st.dates()),
    (UUID, st.uuids()),
    (Color, st.sampled_from(Color)),
    (Literal["a", 1, None], st.sampled_from(["a", 1, None])),
    (NewType("Id", int), WHOLE),
]
LEAVES: list[Pair] = [
    *HASHABLE,
    (float, REAL),
    (bytes, st.binary()),
    (datetime, MOMENTS),
    (Decimal, st.decimals(allow_nan=False, allow_infinity=False)),
    (Path, st.lists(st.text(string.ascii_letters, min_size=1)).map(lambda parts: Path(*parts))),
    (Annotated[int, Arg("Small", minimum=0, maximum=9)], st.integers(0, 9)),
]


def containers(inner: st.SearchStrategy[Pair]) -> st.SearchStrategy[Pair]:
    """Make types around another type."""
    return st.one_of(
        inner.map(lambda pair: (list[pair[0]], st.lists(pair[1], max_size=3))),  # type: ignore[name-defined]
        inner.map(lambda pair: (tuple[pair[0], ...], st.lists(pair[1], max_size=3).map(tuple))),  # type: ignore[name-defined]
        inner.map(lambda pair: (dict[str, pair[0]], st.dictionaries(st.text(), pair[1], max_size=3))),  # type: ignore[name-defined]
        inner.map(lambda pair: (pair[0] | None, st.none() | pair[1])),
        st.tuples(inner, inner).map(lambda two: (tuple[two[0][0], two[1][0]], st.tuples(two[0][1], two[1][1]))),  # type: ignore[name-defined]
        st.sampled_from(HASHABLE).map(lambda pair: (set[pair[0]], st.sets(pair[1], max_size=3))),  # type: ignore[name-defined]
        st.tuples(NAMES, inner).flatmap(lambda made: records(*made)),
    )


def records(names: list[str], pair: Pair) -> st.SearchStrategy[Pair]:
    """Make each kind of class with fields of a type."""
    hints = dict.fromkeys([f"f_{name}" for name in names], pair[0])
    fields = {name: attrs.field(type=hint) for name, hint in hints.items()}
    made: list[Any] = [
        attrs.make_class("Made", fields, frozen=True),
        dataclasses.make_dataclass("Made", list(hints.items())),
        NamedTuple("Made", list(hints.items())),  # type: ignore[misc]
    ]
    typed: Any = TypedDict("Typed", hints)  # type: ignore[misc]
    values = dict.fromkeys(hints, pair[1])
    choices: list[Pair] = [(cls, st.builds(cls, **values)) for cls in made]
    return st.sampled_from([*choices, (typed, st.fixed_dictionaries(values))])


TYPES = st.recursive(st.sampled_from(LEAVES), containers, max_leaves=4)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_any_value_of_any_type_goes_there_and_back(data: st.DataObject) -> None:
    """A value written as JSON fits the schemas of its type, formats included, and is read back as an equal value."""
    hint, values = data.draw(TYPES)
    value = data.draw(values)
    signature = read(function_of(hint, **{"return": hint}))
    arguments = plain({"it": value})
    assert Validator(signature.input_schema, "it", formats=True).problems(arguments) == []
    assert signature.bind(arguments) == {"it": value}
    if signature.output_schema is not None:
        result = {"result": arguments["it"]} if signature.wraps_result else arguments["it"]
        assert Validator(signature.output_schema, "it", formats=True).problems(result) == []

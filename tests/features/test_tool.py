"""Marked functions, and the tools made of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

import pytest

from mcpserve import Call, Icon, PluginError, Stream, tool
from mcpserve.features.tool import build
from mcpserve.protocol.types import ToolAnnotations


def refusal(function: Callable[..., Any]) -> str:
    """The sentence with which a function is refused."""
    with pytest.raises(PluginError) as caught:
        build(function, "here.py")
    return str(caught.value)


def test_the_function_stays_as_it_is() -> None:
    """It can be called by its author, with and without options in the decorator."""

    def add(a: int, b: int) -> int:
        return a + b

    assert tool(add) is add
    assert tool(title="Add")(add) is add
    assert add(1, 2) == 3


def test_all_from_the_function() -> None:
    """Name, title, description and schemas."""

    @tool
    def get_market_news(limit: int, symbol: str = "") -> dict[str, int]:
        """Get the news.

        Args:
            limit: How many.
        """
        return {}

    built = build(get_market_news, "here.py")
    definition = built.definition
    assert (built.name, definition.title, definition.description) == (
        "get_market_news",
        "Get market news",
        "Get the news.",
    )
    assert definition.input_schema["properties"]["limit"] == {"type": "integer", "description": "How many."}
    assert definition.input_schema["required"] == ["limit"]
    assert definition.output_schema is not None
    assert definition.annotations == ToolAnnotations()
    assert (built.origin, built.plain, built.call_parameter, built.takes_over) == ("here.py", True, None, False)
    assert built.validator.problems({"limit": "x"}) != []


def test_all_from_the_options() -> None:
    """What the author says counts; explicit schemas are served untouched."""
    schema = {"type": "object", "properties": {"a": {"type": "integer", "x-own": 1}}, "required": ["a"]}
    icon = Icon(src="https://e/i.png")

    @tool(
        name="other.name-1",
        title="T",
        description="D",
        input_schema=schema,
        output_schema={"type": "array"},
        read_only=True,
        destructive=False,
        idempotent=True,
        open_world=False,
        icons=[icon],
        meta={"m": 1},
    )
    def f(a: int) -> list[int]:
        """Not this."""
        return [a]

    definition = build(f, "here.py").definition
    assert (definition.name, definition.title, definition.description) == ("other.name-1", "T", "D")
    assert definition.input_schema == schema
    assert definition.output_schema == {"type": "array"}
    hints = ToolAnnotations(read_only=True, destructive=False, idempotent=True, open_world=False)
    assert definition.annotations == hints
    assert (definition.icons, definition.meta) == ([icon], {"m": 1})


def test_what_takes_the_call() -> None:
    """A parameter of type Call or Stream is filled in, and not an argument."""

    @tool
    async def reports(call: Call, a: int) -> None:
        """Report."""

    @tool
    def streams(a: int, out: Stream) -> None:
        """Stream."""

    one, other = build(reports, "x"), build(streams, "x")
    assert (one.call_parameter, one.takes_over, one.plain) == ("call", False, False)
    assert (other.call_parameter, other.takes_over, other.plain) == ("out", True, False)
    for built in (one, other):
        assert list(built.definition.input_schema["properties"]) == ["a"]


@pytest.mark.parametrize("options", [{"thread": True}, {"timeout": 1}, {"max_concurrent": 1}])
def test_what_needs_a_call(options: dict[str, Any]) -> None:
    """Thread, timeout and limit need more than the short way."""

    def f() -> None:
        """Do."""

    assert not build(tool(**options)(f), "x").plain
    assert build(tool(f), "x").plain


def test_mirrored_parameters() -> None:
    """Arguments that clients repeat in headers are known."""

    @tool
    def f(region: str = "eu", place: Any = None) -> None:
        """Do."""

    assert build(f, "x").mirrored == ()

    @tool(input_schema={"type": "object", "properties": {"region": {"type": "string", "x-mcp-header": "Region"}}})
    def g(region: str = "eu") -> None:
        """Do."""

    assert [one.header for one in build(g, "x").mirrored] == ["mcp-param-region"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"name": "has space"}, "a name has 1 to 128"),
        ({"name": "x" * 129}, "a name has 1 to 128"),
        ({"name": "naïve"}, "a name has 1 to 128"),
        ({"name": "line\n"}, "a name has 1 to 128"),
        ({"name": 5}, "a name has 1 to 128"),
        ({"timeout": 0}, "timeout is a number"),
        ({"timeout": -1.0}, "timeout is a number"),
        ({"timeout": float("nan")}, "timeout is a number"),
        ({"timeout": float("inf")}, "timeout is a number"),
        ({"timeout": "5"}, "timeout is a number"),
        ({"timeout": True}, "timeout is a number"),
        ({"max_concurrent": 0}, "max_concurrent is a whole number"),
        ({"max_concurrent": 1.5}, "max_concurrent is a whole number"),
        ({"on_disconnect": "ignore"}, "on_disconnect is 'cancel' or 'finish'"),
        ({"icons": [{"src": "https://e/i.png"}]}, "icons is a list of mcpserve.Icon"),
        ({"meta": {"k": object()}}, "can't be written as JSON"),
        ({"meta": 5}, "meta is a dict"),
        ({"description": "\ud800"}, "can't be written as JSON"),
        ({"input_schema": {"type": "nonsense"}}, "input schema is not a valid"),
        ({"input_schema": "text"}, ""),
        ({"output_schema": {"type": 5}}, "output schema is not a valid"),
    ],
)
def test_options_that_do_not_fit(options: dict[str, Any], words: str) -> None:
    """Each is refused with the file, the tool and the remedy, before it could spoil the list of all tools."""

    def f() -> None:
        """Do."""

    sentence = refusal(tool(**options)(f))
    assert sentence.startswith("here.py: tool ")
    assert words in sentence


def test_functions_that_do_not_fit() -> None:
    """Generators, several calls, threads for what can't run in one, hints that can't be read."""

    @tool
    def generates() -> Iterator[int]:
        """Yield."""
        yield 1

    @tool
    async def generates_async() -> AsyncIterator[int]:
        """Yield."""
        yield 1

    @tool
    def two(call: Call, stream: Stream) -> None:
        """Take two."""

    @tool(thread=True)
    def streams(stream: Stream) -> None:
        """Take over in a thread."""

    @tool(thread=True)
    async def awaits() -> None:
        """Await in a thread."""

    @tool
    def unhinted(a) -> None:  # type: ignore[no-untyped-def]
        """Lack a hint."""

    assert "a generator is no tool" in refusal(generates)
    assert "a generator is no tool" in refusal(generates_async)
    assert "not several" in refusal(two)
    assert "can't take over the response" in refusal(streams)
    assert "thread=True is for sync functions" in refusal(awaits)
    assert "no type hint" in refusal(unhinted)


def test_an_unknown_option() -> None:
    """A slip in the decorator is found where it is made."""
    with pytest.raises(TypeError, match="titel"):
        tool(titel="T")  # type: ignore[call-overload]


def test_objects_that_are_called() -> None:
    """An object with `__call__` can be a tool; its class gives the name."""

    class Adder:
        """Add."""

        def __call__(self, a: int, b: int = 2) -> int:
            return a + b

    built = build(tool(Adder()), "x")
    assert (built.name, built.definition.description) == ("Adder", "Add.")
    assert list(built.definition.input_schema["properties"]) == ["a", "b"]


def test_titles() -> None:
    """Separators become spaces, the first letter a capital; the rest stays."""
    titles: list[Sequence[str | None]] = []
    for name in ("add", "get_CPU-load", "a.b__c", "_x_"):

        def f() -> None:
            """Do."""

        titles.append((name, build(tool(name=name)(f), "x").definition.title))
    assert titles == [("add", "Add"), ("get_CPU-load", "Get CPU load"), ("a.b__c", "A b c"), ("_x_", "X")]


def test_an_option_that_there_is_not() -> None:
    """A slip in the name of one is told with the names that there are."""
    with pytest.raises(TypeError, match=r"@tool has no option 'tsak'; it has: .*task"):
        tool(tsak="optional")  # type: ignore[call-overload]

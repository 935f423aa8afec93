"""Prompts: what is read from a function, and which messages its value makes."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest

from mcpserve import Arg, Audio, Call, EmbeddedResource, Icon, Image, Message, PluginError, Stream, Text, prompt
from mcpserve.errors import InvalidParams
from mcpserve.features.prompt import Prompt, build_prompt, to_messages
from mcpserve.protocol.types import PromptArgument


def built(function: Any) -> Prompt:
    """The prompt of a marked function."""
    return build_prompt(function, "here.py")


@prompt
def review(code: Annotated[str, Arg("What to look at.", title="Code")], depth: int = 1) -> str:
    """Review some code.

    Args:
        depth: How deep.
    """
    return f"Review {code} {depth} times."


def test_a_definition() -> None:
    """Name, title, description and arguments come from the function."""
    definition = built(review).definition
    assert (definition.name, definition.title) == ("review", "Review")
    assert definition.description == "Review some code."
    assert definition.arguments == [
        PromptArgument(name="code", title="Code", description="What to look at.", required=True),
        PromptArgument(name="depth", description="How deep.", required=False),
    ]
    assert review("x") == "Review x 1 times."


def test_options() -> None:
    """What the decorator says counts more."""
    icon = Icon(src="https://example.com/i.png")

    @prompt(name="a.b", title="T", description="D", icons=[icon], meta={"k": 1}, timeout=3, enabled=False)
    def f() -> str:
        """Not this."""
        return ""

    found = built(f)
    definition = found.definition
    assert (definition.name, definition.title, definition.description) == ("a.b", "T", "D")
    assert (definition.icons, definition.meta) == ([icon], {"k": 1})
    assert not found.plain
    assert not found.options.enabled


def test_a_call_is_no_argument() -> None:
    """It is filled in by the server."""

    @prompt
    async def f(call: Call, topic: str) -> str:
        """Ask."""
        return topic

    found = built(f)
    assert [argument.name for argument in found.definition.arguments] == ["topic"]
    assert (found.call_parameter, found.plain) == ("call", False)


def _generator() -> Any:
    yield "x"


@pytest.mark.parametrize(
    ("function", "options", "words"),
    [
        (lambda a: "", {}, "the parameter 'a' of"),
        (lambda *a: "", {}, "name each parameter"),
        (lambda: "", {"name": "a b"}, "a name has 1 to 128 characters"),
        (lambda: "", {"name": "n", "timeout": 0}, "timeout is a number"),
        (lambda: "", {"name": "n", "max_concurrent": 0}, "max_concurrent is a whole number"),
        (lambda: "", {"name": "n", "icons": ["x"]}, "icons is a list"),
        (lambda: "", {"name": "n", "meta": 5}, "meta is a dict"),
        (lambda: "", {"name": "n", "meta": {"k": object()}}, "can't be written as JSON"),
        (_generator, {}, "a generator is no prompt"),
    ],
)
def test_what_is_no_prompt(function: Any, options: dict[str, Any], words: str) -> None:
    """It is refused when it is loaded; the sentence names the file and the prompt."""
    options = {"name": "n", **options}
    with pytest.raises(PluginError) as caught:
        built(prompt(**options)(function))
    assert str(caught.value).startswith(f"here.py: prompt {options['name']!r}: ")
    assert words in str(caught.value)


def test_a_prompt_takes_over_nothing() -> None:
    """A Stream is for tools."""

    @prompt
    def f(stream: Stream) -> None:
        """Stream."""

    with pytest.raises(PluginError, match="a prompt takes a Call"):
        built(f)


def test_arguments() -> None:
    """Texts become what the hints say; what does not fit is the params' fault."""
    found = built(review)
    assert found.bind({"code": "5", "depth": "5"}) == {"code": "5", "depth": 5}
    for texts in ({}, {"code": "x", "depth": "deep"}, {"code": "x", "other": "y"}):
        with pytest.raises(InvalidParams, match="Invalid arguments: "):
            found.bind(texts)


def test_values_of_a_hint_complete_themselves() -> None:
    """A Literal needs no completer; a plain text has none."""

    @prompt
    def f(unit: Literal["C", "F"], city: str) -> str:
        """Tell the weather."""
        return unit + city

    assert list(built(f).completers) == ["unit"]


# --- messages

IMAGE = Image(b"x")
RESOURCE = EmbeddedResource("a://b", "c")


@pytest.mark.parametrize(
    ("value", "messages"),
    [
        ("Hi.", [Message("Hi.")]),
        (IMAGE, [Message(IMAGE)]),
        (Message("Hi.", "assistant"), [Message("Hi.", "assistant")]),
        (("assistant", "Hi."), [Message("Hi.", "assistant")]),
        (["a", "b"], [Message("a"), Message("b")]),
        (("a", "b"), [Message("a"), Message("b")]),
        (
            [("user", "a"), ("assistant", IMAGE), RESOURCE, Message(Text("d"))],
            [Message("a"), Message(IMAGE, "assistant"), Message(RESOURCE), Message(Text("d"))],
        ),
        ([], []),
    ],
)
def test_messages(value: Any, messages: list[Message]) -> None:
    """One or several, of the user unless said otherwise."""
    assert to_messages(value) == messages


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "NoneType"),
        (5, "int"),
        ({"role": "user"}, "dict"),
        ([["a"]], "list"),
        (("system", "a"), ""),
        ([("system", "a")], "'system'"),
        (Message("a", "system"), "'system'"),  # type: ignore[arg-type]
        (Message(5), "int"),  # type: ignore[arg-type]
        (("user", b"x"), "bytes"),
        (Audio, "type"),
    ],
)
def test_values_that_are_no_messages(value: Any, words: str) -> None:
    """The author reads what was wrong."""
    if value == ("system", "a"):  # two texts, as nobody has said otherwise
        assert to_messages(value) == [Message("system"), Message("a")]
        return
    with pytest.raises(TypeError) as caught:
        to_messages(value)
    assert words in str(caught.value)

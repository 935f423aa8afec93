"""Arguments that come as texts, and what a function's hints make of them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import date
from enum import Enum
from typing import Annotated, Any, Literal

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpserve import Arg, ToolError
from mcpserve.features.arguments import read_signature
from mcpserve.features.texts import TextArguments


class Size(Enum):
    """Sizes."""

    SMALL = "s"
    LARGE = "l"


@attrs.frozen
class Point:
    """A point."""

    x: int
    y: int = 0


def arguments_of(function: Callable[..., Any]) -> TextArguments:
    """What is known of a function's arguments."""
    return TextArguments(read_signature(function, injected=frozenset(), output_schema={}))


def one(hint: Any, default: Any = ...) -> TextArguments:
    """The arguments of a function with one parameter `a`."""

    def f(a: Any = default) -> None: ...

    def g(a: Any) -> None: ...

    function = g if default is ... else f
    function.__annotations__["a"] = hint
    return arguments_of(function)


@pytest.mark.parametrize(
    ("hint", "text", "value"),
    [
        (str, "", ""),
        (str, "5", "5"),
        (Any, "5", "5"),
        (int, "5", 5),
        (int, "-5", -5),
        (int, "5.0", 5),
        (float, "1.5", 1.5),
        (float, "2", 2.0),
        (bool, "true", True),
        (bool, "false", False),
        (int | None, "5", 5),
        (int | None, "null", None),
        (str | int, "5", "5"),
        (Literal["a", "b"], "a", "a"),
        (Literal[1, 2], "2", 2),
        (Size, "s", Size.SMALL),
        (date, "2026-07-28", date(2026, 7, 28)),
        (list[str], '["a","b"]', ["a", "b"]),
        (list[int], "[1]", [1]),
        (Point, '{"x":1}', Point(1)),
        (Annotated[int, Arg("Few.", maximum=9)], "9", 9),
    ],
)
def test_what_becomes_of_a_text(hint: Any, text: str, value: Any) -> None:
    """The text itself where a text may be; else what it says as JSON."""
    found = one(hint).bind({"a": text})["a"]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("hint", "text", "words"),
    [
        (int, "x", '"x" is not of type "integer"'),
        (int, "", '"" is not of type "integer"'),
        (int, "1.5", "integer"),
        (int, "007", "integer"),
        (int, "NaN", "integer"),
        (bool, "True", "boolean"),
        (bool, "1", "boolean"),
        (Literal["a"], "b", "a"),
        (date, "2026-02-30", "a"),
        (list[str], "a,b", "array"),
        (list[int], '["a"]', 'a[0]: "a" is not of type "integer"'),
        (Annotated[int, Arg(maximum=9)], "10", "9"),
        (Annotated[str, Arg(max_length=2)], "123", "2"),
        (int, "9" * 5000, "integer"),
    ],
)
def test_a_text_that_does_not_fit(hint: Any, text: str, words: str) -> None:
    """The caller reads what would fit."""
    with pytest.raises(ToolError) as caught:
        one(hint).bind({"a": text})
    assert words in str(caught.value)
    assert len(str(caught.value)) < 300


def test_missing_and_unknown() -> None:
    """Both are told, at once."""
    with pytest.raises(ToolError) as caught:
        arguments_of(lambda: None).bind({"b": "1"})
    assert "'b'" in str(caught.value)
    with pytest.raises(ToolError, match='"a" is a required property'):
        one(int).bind({})


def test_what_nobody_has_filled_in() -> None:
    """An empty text for an argument with a default, where no text may be, is as if it were left out."""
    assert one(int, default=3).bind({"a": ""}) == {}
    assert one(str, default="x").bind({"a": ""}) == {"a": ""}
    assert one(int | None, default=None).bind({"a": ""}) == {}


def test_what_is_known_of_them() -> None:
    """Names in order, those that may be left out, and descriptions."""

    def f(first: Annotated[str, Arg("The first.", title="First")], second: int = 2) -> None:
        """Do.

        Args:
            second: The second.
        """

    found = arguments_of(f)
    assert found.names == ("first", "second")
    assert found.optional == {"second"}
    assert [found.described(name, "description") for name in found.names] == ["The first.", "The second."]
    assert [found.described(name, "title") for name in found.names] == ["First", None]


def test_a_class_that_contains_itself() -> None:
    """Its definition is there for each argument."""

    def f(tree: Tree) -> None: ...

    assert arguments_of(f).bind({"tree": '{"inner":{"inner":null}}'})["tree"] == Tree(Tree(None))


@attrs.frozen
class Tree:
    """A tree."""

    inner: Tree | None


@given(st.text(), st.sampled_from([int, float, bool, list[int], date, int | None]))
def test_any_text(text: str, hint: Any) -> None:
    """Either there is a value, or a sentence for the caller; nothing else is raised."""
    with suppress(ToolError):
        assert "a" in one(hint).bind({"a": text})

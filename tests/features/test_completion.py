"""Completers: where they come from, what they get, and what they give."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Any, Literal

import pytest

from mcpserve import Arg, Call, Completion, PluginError
from mcpserve.features.completion import Completer, completers_of, to_completion


class Size(Enum):
    """Sizes."""

    SMALL = "s"
    LARGE = "l"


def completer_of(hint: Any, others: tuple[str, ...] = ()) -> Completer | None:
    """The completer of a parameter `a` with this hint."""

    def f(a: Any) -> None: ...

    f.__annotations__["a"] = hint
    return completers_of(f, ("a", *others), "f").get("a")


def suggested(hint: Any, value: str, **chosen: str) -> Any:
    """What is suggested for `a`."""
    completer = completer_of(hint, tuple(chosen))
    assert completer is not None
    return completer.function(**completer.bind({"value": value, "chosen": chosen}))


@pytest.mark.parametrize(
    ("hint", "values"),
    [
        (Literal["red", "green"], ["red", "green"]),
        (Literal["red"] | None, ["red"]),
        (Literal["red"] | Literal[2], ["red", "2"]),
        (Size, ["s", "l"]),
        (bool, ["true", "false"]),
        (Annotated[Literal["red"], Arg("Colour.")], ["red"]),
        (Annotated[str, Arg(completer=["x", "y"])], ["x", "y"]),
        (Annotated[str, Arg(completer=("x",))], ["x"]),
    ],
)
def test_fixed_values(hint: Any, values: list[str]) -> None:
    """Those of the hint, or of the list that the author gives."""
    assert suggested(hint, "") == values


@pytest.mark.parametrize("hint", [str, int, Any, str | bool, Annotated[str, Arg("x")], str | None])
def test_no_completer(hint: Any) -> None:
    """A type of which anything may come has none."""
    assert completer_of(hint) is None


def test_what_was_typed() -> None:
    """First what begins with it, then what has it inside; the case does not count."""
    hint = Annotated[str, Arg(completer=["Rome", "Grodno", "Prague", "roma"])]
    assert suggested(hint, "ro") == ["Rome", "roma", "Grodno"]
    assert suggested(hint, "x") == []


def test_a_function() -> None:
    """It gets what was typed, and of the other arguments those that it names."""

    def cities(typed: str, country: str = "?", other: str = "!") -> list[str]:
        return [typed, country, other]

    hint = Annotated[str, Arg(completer=cities)]
    assert suggested(hint, "r", country="it", other="o", more="m") == ["r", "it", "o"]
    completer = completer_of(hint, ("country", "other"))
    assert completer is not None
    assert completer.function(**completer.bind({"value": "r", "chosen": {}})) == ["r", "?", "!"]
    assert completer.plain


def test_a_call() -> None:
    """It may be asked for, in any place."""

    async def cities(call: Call, typed: str) -> list[str]:
        return [typed]

    completer = completer_of(Annotated[str, Arg(completer=cities)])
    assert completer is not None
    assert (completer.call_parameter, completer.value_parameter, completer.plain) == ("call", "typed", False)


class Suggesting:
    """An object that can be called."""

    def __call__(self, typed: str) -> list[str]:
        """Suggest."""
        return [typed]


def test_an_object_that_can_be_called() -> None:
    """It is as good as a function."""
    assert suggested(Annotated[str, Arg(completer=Suggesting())], "r") == ["r"]


@pytest.mark.parametrize(
    ("completer", "words"),
    [
        (lambda: ["x"], "takes what was typed"),
        (lambda typed, stranger="": [], "'stranger' must have the name of another argument"),
        (lambda typed, b: [], "and a default"),
        (lambda typed, a="": [], "another argument"),
        ([1, 2], "a list of texts"),
        ("abc", "a list of texts"),
    ],
)
def test_completers_that_can_not_be_called(completer: Any, words: str) -> None:
    """They are refused when the plugin is loaded."""
    with pytest.raises(PluginError, match="completer of 'a'") as caught:
        completer_of(Annotated[str, Arg(completer=completer)], ("b",))
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("value", "values"),
    [(None, []), (["a"], ["a"]), (("a", "b"), ["a", "b"]), (iter(["a"]), ["a"]), (Completion(["a"], total=9), ["a"])],
)
def test_what_a_completer_may_give(value: Any, values: list[str]) -> None:
    """Texts, one after the other, or a Completion."""
    assert list(to_completion(value).values) == values


@pytest.mark.parametrize("value", ["abc", 5, [1], b"x", Completion([1])])  # type: ignore[list-item]
def test_what_it_may_not(value: Any) -> None:
    """A text alone would be letters."""
    with pytest.raises(TypeError):
        to_completion(value)

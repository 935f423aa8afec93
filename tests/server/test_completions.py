"""completion/complete."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest

from mcpserve import Arg, Call, Completion, ToolError, prompt, resource
from tests.server.desk import Asked, Desk


def frameworks(typed: str, language: str = "?") -> list[str]:
    """Frameworks of a language."""
    return [f"{language}-{typed}"]


async def slowly(call: Call, typed: str) -> list[str]:
    """Take some time."""
    await call.sleep(1)
    return [typed]


def many(typed: str) -> Any:
    """Suggest as many as are asked for, or fail."""
    if typed == "fail":
        raise ValueError("secret")
    if typed == "refuse":
        raise ToolError("Not now.")
    if typed == "bad":
        return [5]
    if typed == "known":
        return Completion(["a"], total=1000)
    if typed == "more":
        return Completion(["a"], has_more=True)
    return [str(number) for number in range(int(typed))]


@prompt
def review(
    language: Literal["python", "perl", "rust"],
    framework: Annotated[str, Arg("Which.", completer=frameworks)],
    slow: Annotated[str, Arg(completer=slowly)] = "",
    number: Annotated[str, Arg(completer=many)] = "",
    plain: str = "",
) -> str:
    """Review code."""
    return "x"


@resource("files://{kind}/{+path}")
def file(kind: Literal["text", "image"], path: str) -> str:
    """A file."""
    return "x"


@resource("files://index")
def index() -> str:
    """All files."""
    return "x"


PROMPT = {"type": "ref/prompt", "name": "review"}


def complete(desk: Desk, argument: str, value: str = "", ref: Any = PROMPT, **more: Any) -> Asked:
    """Ask for suggestions."""
    params = {"ref": ref, "argument": {"name": argument, "value": value}, **more}
    return desk.ask("completion/complete", params)


@pytest.fixture
def desk() -> Desk:
    """A desk with a prompt, a template and a resource."""
    return Desk(review, file, index)


def test_suggestions(desk: Desk) -> None:
    """Those that fit, and how many there are."""
    result = complete(desk, "language", "p").result
    assert result["completion"] == {"values": ["python", "perl"], "total": 2, "hasMore": False}
    assert result["resultType"] == "complete"


def test_what_was_chosen_already(desk: Desk) -> None:
    """It reaches the completer that asks for it."""
    asked = complete(desk, "framework", "f", context={"arguments": {"language": "rust", "other": "x"}})
    assert asked.result["completion"]["values"] == ["rust-f"]
    for context in (None, {}, {"arguments": None}):
        assert complete(desk, "framework", "f", context=context).result["completion"]["values"] == ["?-f"]


def test_no_more_than_a_hundred(desk: Desk) -> None:
    """ "Maximum 100 items per response"; the client learns that there are more."""
    for count, shown, more in ((100, 100, False), (101, 100, True), (0, 0, False)):
        found = complete(desk, "number", str(count)).result["completion"]
        assert (len(found["values"]), found["total"], found["hasMore"]) == (shown, count, more)


def test_what_the_author_knows_better(desk: Desk) -> None:
    """A Completion says how many there are."""
    assert complete(desk, "number", "known").result["completion"] == {"values": ["a"], "total": 1000, "hasMore": True}
    assert complete(desk, "number", "more").result["completion"] == {"values": ["a"], "total": 1, "hasMore": True}


def test_a_completer_that_takes_time(desk: Desk) -> None:
    """It is cancelled with its client."""
    asked = complete(desk, "slow", "x")
    desk.clock.advance(1)
    assert asked.result["completion"]["values"] == ["x"]
    asked = complete(desk, "slow", "x")
    asked.exchange.lost()
    desk.clock.advance(0)
    assert desk.nothing_left()


def test_an_argument_without_completer(desk: Desk) -> None:
    """There is nothing to suggest."""
    assert complete(desk, "plain", "x").result["completion"] == {"values": [], "total": 0, "hasMore": False}


@pytest.mark.parametrize("uri", ["files://{kind}/{+path}", "files://text/a"])
def test_variables_of_a_template(desk: Desk, uri: str) -> None:
    """By the template, or by a URI of it."""
    ref = {"type": "ref/resource", "uri": uri}
    assert complete(desk, "kind", "", ref).result["completion"]["values"] == ["text", "image"]
    assert complete(desk, "path", "", ref).result["completion"]["values"] == []


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({}, "ref must be an object"),
        ({"ref": "review"}, "ref must be an object"),
        ({"ref": {"type": "ref/tool", "name": "x"}}, "ref.type must be"),
        ({"ref": {"type": ["x"]}}, "ref.type must be"),
        ({"ref": {"type": "ref/prompt"}}, "ref.name must be a string"),
        ({"ref": {"type": "ref/resource", "name": "x"}}, "ref.uri must be a string"),
        ({"ref": {"type": "ref/prompt", "name": "nope"}}, "Unknown prompt: nope"),
        ({"ref": {"type": "ref/resource", "uri": "nope://x"}}, "Unknown resource: nope://x"),
        ({"ref": PROMPT}, "argument must be an object"),
        ({"ref": PROMPT, "argument": {"name": "language"}}, "argument.name and argument.value must be strings"),
        ({"ref": PROMPT, "argument": {"name": "language", "value": 5}}, "must be strings"),
        ({"ref": PROMPT, "argument": {"name": "nope", "value": ""}}, "There is no argument 'nope'"),
        (
            {"ref": {"type": "ref/resource", "uri": "files://index"}, "argument": {"name": "x", "value": ""}},
            "There is no argument 'x'",
        ),
        ({"ref": PROMPT, "argument": {"name": "language", "value": ""}, "context": []}, "context must be an object"),
        (
            {"ref": PROMPT, "argument": {"name": "language", "value": ""}, "context": {"arguments": {"a": 1}}},
            "context.arguments must be an object of strings",
        ),
    ],
)
def test_params_that_do_not_fit(desk: Desk, params: dict[str, Any], words: str) -> None:
    """-32602, and a sentence."""
    code, message = desk.ask("completion/complete", params).error
    assert code == -32602
    assert words in message


@pytest.mark.parametrize(
    ("value", "words"),
    [("fail", "The completer failed"), ("refuse", "Not now."), ("bad", "The completer failed")],
)
def test_a_completer_that_fails(desk: Desk, value: str, words: str) -> None:
    """-32603; what it raised is for the log."""
    code, message = complete(desk, "number", value).error
    assert code == -32603
    assert message.startswith(words)
    assert "secret" not in message


def test_nothing_to_complete() -> None:
    """Without a completer the method is unknown, and nothing is declared."""
    desk = Desk(index)
    assert complete(desk, "x").error[0] == -32601
    assert "completions" not in desk.ask("server/discover").result["capabilities"]
    for one in (review, file):
        assert "completions" in Desk(one).ask("server/discover").result["capabilities"]

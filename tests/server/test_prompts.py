"""prompts/list and prompts/get."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from mcpserve import Audio, Call, EmbeddedResource, Image, ResourceLink, Text, ToolError, prompt
from mcpserve.protocol.revisions import V2024_11_05, V2025_11_25
from tests.server.desk import Asked, Desk


@prompt
def greet(name: str, times: int = 1) -> str:
    """Greet somebody."""
    return f"Say hello to {name}. " * times


@prompt
async def slow(call: Call) -> list[Any]:
    """Take some time."""
    await call.progress(1)
    await call.sleep(2)
    return [("user", "a"), ("assistant", Image(b"x"))]


def get(desk: Desk, name: str, /, **arguments: Any) -> Asked:
    """Ask for a prompt."""
    return desk.ask("prompts/get", {"name": name, "arguments": arguments})


def prompt_of(body: Callable[[], Any], **options: Any) -> Any:
    """A prompt `p` that does something."""

    @prompt(name="p", description="Do.", **options)
    def p() -> Any:
        return body()

    return p


def raiser(error: BaseException) -> Callable[[], Any]:
    """Raises."""

    def body() -> None:
        raise error

    return body


def test_the_list() -> None:
    """All prompts in their order, with arguments; caching hints in the modern revision only."""
    desk = Desk(greet, slow)
    result = desk.ask("prompts/list").result
    assert (result["ttlMs"], result["cacheScope"], result["resultType"]) == (60_000, "public", "complete")
    assert result["prompts"] == [
        {
            "name": "greet",
            "title": "Greet",
            "description": "Greet somebody.",
            "arguments": [{"name": "name", "required": True}, {"name": "times", "required": False}],
        },
        {"name": "slow", "title": "Slow", "description": "Take some time."},
    ]
    assert desk.ask("prompts/list", revision=V2025_11_25).result == {"prompts": result["prompts"]}


def test_pages() -> None:
    """Each page names the next."""
    desk = Desk(greet, slow, page_size=1)
    first = desk.ask("prompts/list").result
    second = desk.ask("prompts/list", {"cursor": first["nextCursor"]}).result
    assert [page["prompts"][0]["name"] for page in (first, second)] == ["greet", "slow"]
    assert "nextCursor" not in second
    assert desk.ask("prompts/list", {"cursor": "x"}).error[0] == -32602


def test_a_prompt() -> None:
    """Its description and its messages, and no caching hints."""
    result = get(Desk(greet), "greet", name="Ada", times="2").result
    text = {"type": "text", "text": "Say hello to Ada. Say hello to Ada. "}
    assert result["messages"] == [{"role": "user", "content": text}]
    assert (result["description"], result["resultType"]) == ("Greet somebody.", "complete")
    assert "ttlMs" not in result


def test_a_prompt_that_takes_time() -> None:
    """It runs as a tool does: it waits, reports, and is cancelled with its client."""
    desk = Desk(slow)
    asked = get(desk, "slow")
    assert asked.progress == [1]
    desk.clock.advance(2)
    assert [message["role"] for message in asked.result["messages"]] == ["user", "assistant"]
    asked = get(desk, "slow")
    asked.exchange.lost()
    desk.clock.advance(0)
    assert asked.carrier.replies == []
    assert desk.nothing_left()


def test_all_kinds_of_content() -> None:
    """Also in revisions that know fewer."""
    blocks = [
        Text("t"),
        Image(b"x"),
        Audio(b"x"),
        EmbeddedResource("a://b", "c", mime_type="text/plain"),
        ResourceLink("a://b", "n"),
    ]
    desk = Desk(prompt_of(lambda: blocks))
    kinds = [message["content"]["type"] for message in get(desk, "p").result["messages"]]
    assert kinds == ["text", "image", "audio", "resource", "resource_link"]
    old = desk.ask("prompts/get", {"name": "p"}, V2024_11_05).result
    assert [message["content"]["type"] for message in old["messages"]] == ["text", "image", "text", "resource", "text"]


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"name": "nope"}, "Unknown prompt: nope"),
        ({"name": 5}, "params.name must be a string"),
        ({}, "params.name must be a string"),
        ({"name": "greet"}, '"name" is a required property'),
        ({"name": "greet", "arguments": None}, '"name" is a required property'),
        ({"name": "greet", "arguments": {"name": "x", "times": "often"}}, '"often" is not of type "integer"'),
        ({"name": "greet", "arguments": {"name": "x", "other": "y"}}, "there is no argument 'other'"),
        ({"name": "greet", "arguments": {"name": 5}}, "arguments must be an object of strings"),
        ({"name": "greet", "arguments": []}, "arguments must be an object of strings"),
    ],
)
@pytest.mark.parametrize("timeout", [None, 5])
def test_params_that_do_not_fit(params: dict[str, Any], words: str, timeout: float | None) -> None:
    """-32602, whether the prompt is answered at once or not."""
    code, message = Desk(prompt(name="greet", timeout=timeout)(greet)).ask("prompts/get", params).error
    assert code == -32602
    assert words in message


@pytest.mark.parametrize("timeout", [None, 5])
@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ToolError("No model."), "No model."),
        (ValueError("secret"), "The prompt failed; the server's log has the reason under id "),
        (SystemExit("secret"), "The prompt failed; the server's log has the reason under id "),
    ],
)
def test_a_prompt_that_raises(error: BaseException, words: str, timeout: float | None) -> None:
    """-32603; a ToolError's text is for the client, of anything else only a log id."""
    desk = Desk(prompt_of(raiser(error), timeout=timeout))
    code, message = get(desk, "p").error
    assert code == -32603
    assert message.startswith(words)
    assert "secret" not in message
    assert desk.nothing_left()


def test_a_prompt_that_returns_nonsense() -> None:
    """It has failed as if it had raised."""
    assert get(Desk(prompt_of(lambda: {"no": "message"})), "p").error[0] == -32603


def test_time_is_up() -> None:
    """An error that says so."""
    desk = Desk(prompt_of(Deferred, timeout=2))
    asked = get(desk, "p")
    desk.clock.advance(2)
    assert asked.error == (-32603, "The prompt did not finish within 2 s")
    assert desk.nothing_left()


def test_too_many() -> None:
    """Calls of prompts count with those of tools."""
    desk = Desk(prompt_of(Deferred, max_concurrent=1))
    get(desk, "p")
    assert get(desk, "p").error[0] == -32603
    desk.stop()
    assert desk.nothing_left()


def test_no_prompts() -> None:
    """Then there is nothing to ask for, and nothing is declared."""
    desk = Desk()
    for method in ("prompts/list", "prompts/get"):
        assert desk.ask(method, {"name": "x"}).error[0] == -32601
    assert "prompts" not in desk.ask("server/discover").result["capabilities"]
    assert "prompts" in Desk(greet).ask("server/discover").result["capabilities"]

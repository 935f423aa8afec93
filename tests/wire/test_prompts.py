"""Prompts on the wire, in both eras."""

from __future__ import annotations

from typing import Any

import pytest

from mcpserve import Call, EmbeddedResource, Image, ToolError, prompt
from tests.wire.http import Peer
from tests.wire.server import LATEST_LEGACY, LEGACY, Server

VERSIONS = [*LEGACY, "2026-07-28"]


@prompt
def greet(name: str, times: int = 1) -> list[Any]:
    """Greet somebody."""
    return [f"Say hello to {name}. " * times, ("assistant", Image(b"x")), EmbeddedResource("a://b", "c")]


@prompt
async def slow(call: Call) -> str:
    """Take some time."""
    await call.progress(1, 1, "soon")
    await call.sleep(1)
    return "Now."


@prompt
def broken() -> str:
    """Fail."""
    raise ToolError("No idea.")


def asked(server: Server, version: str, method: str, params: Any) -> Peer:
    """Ask in this revision."""
    return server.session(version).ask(method, params) if version in LEGACY else server.modern(method, params)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_prompt(version: str) -> None:
    """Its messages with their roles, and its arguments in the list, in every revision."""
    server = Server(greet)
    (listed,) = asked(server, version, "prompts/list", {}).result["prompts"]
    assert listed["arguments"] == [{"name": "name", "required": True}, {"name": "times", "required": False}]
    result = asked(server, version, "prompts/get", {"name": "greet", "arguments": {"name": "Ada", "times": "2"}}).result
    text, image, embedded = result["messages"]
    assert text == {"role": "user", "content": {"type": "text", "text": "Say hello to Ada. Say hello to Ada. "}}
    assert (image["role"], image["content"]["type"]) == ("assistant", "image")
    assert embedded["content"]["resource"] == {"uri": "a://b", "text": "c"}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "params",
    [
        {"name": "nope"},
        {"name": "greet"},
        {"name": "greet", "arguments": {"name": "x", "times": "often"}},
        {"name": "greet", "arguments": {"name": 5}},
        {"name": "greet", "arguments": []},
        {},
    ],
)
def test_D16_F17_what_does_not_fit(version: str, params: dict[str, Any]) -> None:
    """An unknown prompt, a missing or wrong argument: -32602, and 200 on the line."""
    peer = asked(Server(greet), version, "prompts/get", params)
    assert (peer.status, peer.json["error"]["code"]) == (200, -32602)


def test_D11_the_header_names_the_prompt() -> None:
    """Mcp-Name mirrors it."""
    peer = Server(slow).modern("prompts/get", {"name": "slow"}, headers={"Mcp-Name": "greet"})
    assert (peer.status, peer.json["error"]["code"]) == (400, -32020)


def test_D23_a_prompt_that_fails() -> None:
    """-32603, with its author's words."""
    for version in VERSIONS:
        peer = asked(Server(broken), version, "prompts/get", {"name": "broken"})
        assert peer.json["error"] == {"code": -32603, "message": "No idea."}


def test_a_prompt_that_streams() -> None:
    """What it reports comes before its messages, on the same stream."""
    server = Server(slow)
    peer = server.modern("prompts/get", {"name": "slow"}, meta={"progressToken": 7})
    server.seconds(1)
    progress, last = peer.messages
    assert progress["params"]["message"] == "soon"
    assert last["result"]["messages"][0]["content"]["text"] == "Now."
    assert server.leftovers() == []


def test_what_is_declared() -> None:
    """Prompts exactly where there are some, in both eras."""
    for server, there in ((Server(greet), True), (Server(), False)):
        modern = server.modern("server/discover").result["capabilities"]
        legacy = server.initialize(LATEST_LEGACY).result["capabilities"]
        assert ("prompts" in modern, "prompts" in legacy) == (there, there)

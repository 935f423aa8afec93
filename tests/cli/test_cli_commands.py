"""The other commands that talk to a server, with a client that says what the test wants."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mcpserve.client.servers import StdioServer
from mcpserve.client.values import Change, PromptResult
from mcpserve.errors import MethodNotFound, RemoteError
from mcpserve.protocol.types import (
    Contents,
    Image,
    Message,
    PromptArgument,
    PromptDefinition,
    ResourceDefinition,
    Text,
    ToolAnnotations,
    ToolDefinition,
)
from tests.cli.stand_in import URL, StandIn, carry_out

SCHEMA: dict[str, Any] = {
    "properties": {
        "n": {"type": "integer", "default": 3, "description": "How many.\nReally."},
        "m": {"enum": ["a", "b"]},
    },
    "required": ["m"],
}
TOOLS = [
    ToolDefinition(
        name="bake",
        title="Bake bread",
        description="Bake.\n\nMore of it, \x1b[31mred.",
        input_schema=SCHEMA,
        annotations=ToolAnnotations(read_only=True),
    ),
    ToolDefinition(name="odd\x1b[2J", input_schema={"properties": 3}),
]
RESOURCES = [ResourceDefinition(uri="file:///a", name="a", description="The first.")]
TEMPLATES = [ResourceDefinition(uri="file:///{name}", name="any")]
PROMPTS = [PromptDefinition(name="ask", description="Ask.", arguments=[PromptArgument(name="what", required=True)])]
SERVER = StandIn(tools=TOOLS, resources=RESOURCES, templates=TEMPLATES, prompts=PROMPTS)


def objects(text: str) -> list[Any]:
    """The objects of JSON lines."""
    return [json.loads(line) for line in text.splitlines()]


def test_lists_in_a_pipe_are_a_line_each() -> None:
    """Name, tab, the first line of the description: made for `cut` and `grep`."""
    assert carry_out("tools", URL, client=SERVER).out.text == "bake\tBake.\nodd\\x1b[2J\n"
    assert carry_out("resources", URL, client=SERVER).out.text == "file:///a\tThe first.\nfile:///{name}\tany\n"
    assert carry_out("prompts", URL, client=SERVER).out.text == "ask\tAsk.\n"


def test_lists_on_a_terminal_have_the_arguments() -> None:
    """With types, defaults and descriptions; and nothing steers the terminal."""
    text = carry_out("tools", URL, client=SERVER, terminal=True, environment={"TERM": "xterm"}).out.text
    for part in (
        "bake",
        "Bake bread, read only",
        "More of it, \\x1b[31mred.",
        "integer = 3",
        "a|b, required",
        "How many.",
    ):
        assert part in text
    assert "\x1b[2J" not in text
    assert "what" in carry_out("prompts", URL, client=SERVER, terminal=True).out.text


def test_lists_as_json() -> None:
    """With what the server said of each."""
    tools = objects(carry_out("tools", URL, "--json-lines", client=SERVER).out.text)
    assert [one["event"] for one in tools] == ["tool", "tool"]
    assert tools[0]["tool"]["inputSchema"] == SCHEMA
    found = objects(carry_out("resources", URL, "--json-lines", client=SERVER).out.text)
    assert found == [
        {"event": "resource", "resource": {"uri": "file:///a", "name": "a", "description": "The first."}},
        {"event": "template", "template": {"uriTemplate": "file:///{name}", "name": "any"}},
    ]
    assert objects(carry_out("prompts", URL, "--json-lines", client=SERVER).out.text)[0]["event"] == "prompt"


def test_some_of_a_list() -> None:
    """By name; one that is not there is a mistake."""
    assert carry_out("tools", URL, "bake", client=SERVER).out.text == "bake\tBake.\n"
    session = carry_out("prompts", URL, "nope", client=SERVER)
    assert (session.status, session.err.text) == (2, "mcpserve: the server has no nope\n")


def test_a_server_without_templates() -> None:
    """Its resources are listed all the same; another error is an error."""
    session = carry_out(
        "resources", URL, client=StandIn(resources=RESOURCES, templates=RemoteError(MethodNotFound.code, ""))
    )
    assert (session.status, session.out.text) == (0, "file:///a\tThe first.\n")
    assert carry_out("resources", URL, client=StandIn(templates=RemoteError(-32603, ""))).status == 3


def test_a_resource_in_a_pipe_is_what_it_is() -> None:
    """Text as it came; on a terminal nothing in it steers."""
    client = StandIn(contents=[Contents("a\x1b[1mb\r\n")])
    assert carry_out("read", URL, "file:///a", client=client).out.text == "a\x1b[1mb\r\n\n"
    assert "\x1b[1m" not in carry_out("read", URL, "file:///a", client=client, terminal=True).out.text
    assert client.calls == [("file:///a",), ("file:///a",)]


def test_a_resource_is_saved_byte_for_byte(tmp_path: Path) -> None:
    """A blob, or a text."""
    client = StandIn(contents=[Contents(b"\0\xff", uri="file:///a", mime_type="x/y")])
    assert carry_out("read", URL, "file:///a", client=client).out.text == (
        "[file:///a: x/y, 2 bytes; --output FILE saves it]\n"
    )
    session = carry_out("read", URL, "file:///a", "-o", str(tmp_path / "a"), client=client)
    assert (tmp_path / "a").read_bytes() == b"\0\xff"
    assert session.out.text == ""
    text = StandIn(contents=[Contents("a\r\n")])
    carry_out("read", URL, "file:///a", "-o", str(tmp_path / "b"), client=text)
    assert (tmp_path / "b").read_bytes() == b"a\r\n"
    found = objects(carry_out("read", URL, "file:///a", "--json-lines", client=text).out.text)
    assert found == [{"event": "result", "result": {"contents": [{"text": "a\r\n"}]}}]


def test_a_prompt() -> None:
    """Who says what; arguments are texts."""
    client = StandIn(prompt=PromptResult(messages=[Message("Hi"), Message(Image(b"1"), "assistant")]))
    session = carry_out("prompt", URL, "ask", "what=3", "why=a=b", client=client)
    assert session.out.text.splitlines() == [
        "[user]",
        "Hi",
        "[assistant]",
        "[image: image/png, 1 byte; --output FILE saves it]",
    ]
    assert client.calls == [("ask", {"what": "3", "why": "a=b"})]
    assert carry_out("prompt", URL, "ask", "what", client=client).status == 2
    found = objects(carry_out("prompt", URL, "ask", "--json-lines", client=client).out.text)
    assert found[0]["result"]["messages"][0] == {"role": "user", "content": {"type": "text", "text": "Hi"}}


def test_listening() -> None:
    """To all lists that the server has, until it ends that."""
    client = StandIn(
        changes=[Change("notifications/tools/list_changed"), Change("notifications/x", "file:///a", missed=True)]
    )
    session = carry_out("listen", URL, client=client)
    assert session.status == 0
    assert session.out.text.splitlines() == [
        "tools/list_changed",
        "x\tfile:///a\tmay have changed: the subscription was interrupted",
    ]
    assert client.calls == [("listen", {"uris": (), "tools": True, "prompts": True, "resources": True})]
    assert "listening for changes of tools, prompts, resources" in session.err.text


def test_listening_to_some() -> None:
    """Lists and resources that are named; as JSON."""
    client = StandIn(changes=[Change("notifications/resources/updated", "file:///a")])
    session = carry_out("listen", URL, "file:///a", "--tools", "--json-lines", "-q", client=client)
    assert client.calls == [("listen", {"uris": ("file:///a",), "tools": True, "prompts": False, "resources": False})]
    assert objects(session.out.text) == [
        {"event": "change", "method": "notifications/resources/updated", "uri": "file:///a"}
    ]


def test_pinging() -> None:
    """As often as is wanted, with a second between."""
    session = carry_out("ping", URL, "-c", "2")
    assert session.out.text == "answer 1: 1.5 ms\n"
    session.clock.advance(1)
    assert (session.status, session.out.text) == (0, "answer 1: 1.5 ms\nanswer 2: 1.5 ms\n")
    assert objects(carry_out("ping", URL, "--json-lines").out.text) == [
        {"event": "pong", "number": 1, "seconds": 0.0015}
    ]


STDIO = ("--stdio", "--", "serve", "--quick")


def test_info() -> None:
    """What it is, what it can, and the time of each step; on one line each, so that nothing is forged."""
    session = carry_out("info", *STDIO, client=SERVER)
    rows = dict(line.split(": ", 1) for line in session.out.text.splitlines())
    assert rows["server"] == "serve --quick"
    assert rows["name"] == "stand-in 1.2"
    assert (rows["revision"], rows["transport"], rows["supported"]) == ("2026-07-28", "stdio", "2026-07-28")
    assert rows["capabilities"] == "tools (listChanged), resources, prompts"
    assert rows["instructions"] == "Be kind.\\nAlways."
    assert rows["tools"].split() == ["0.0", "ms", "2", "of", "them"]
    assert {"open", "ping", "resources", "prompts"} <= rows.keys()


def test_info_as_json_and_on_a_terminal() -> None:
    """With all that was said of capabilities."""
    (report,) = objects(carry_out("info", "--json-lines", *STDIO, client=SERVER).out.text)
    assert report["event"] == "info"
    assert report["capabilities"] == {"tools": {"listChanged": True}, "resources": {}, "prompts": {}}
    assert [phase["phase"] for phase in report["phases"]] == ["open", "ping", "tools", "resources", "prompts"]
    assert "stand-in" in carry_out("info", *STDIO, client=SERVER, terminal=True).out.text


def test_a_command_of_a_server() -> None:
    """What follows `--` is its own, whatever it looks like."""
    client = StandIn()
    carry_out("ping", "--stdio", "-v", "--", "serve", "--count", "x", client=client)
    assert client.way is not None
    assert client.way.server == StdioServer(name="serve", command=("serve", "--count", "x"))


@pytest.mark.parametrize("words", [["--token", "plain:x"], ["--header", "A: b"]])
def test_a_command_of_a_server_takes_no_credentials(words: list[str]) -> None:
    """They are for HTTP."""
    session = carry_out("ping", *words, *STDIO)
    assert session.status == 2
    assert "over HTTP" in session.err.text


def test_deadlines_follow_the_timeout() -> None:
    """No single wait is longer than the whole."""
    client = StandIn()
    carry_out("ping", URL, "--timeout", "5", "--revision", "2025-11-25", client=client)
    timeouts = client.options["timeouts"]
    assert (timeouts.connect, timeouts.head, timeouts.idle, timeouts.total) == (5, 5, 5, 5)
    assert client.options["revision"] == "2025-11-25"


def test_verbose_says_what_is_spoken() -> None:
    """On standard error."""
    session = carry_out("ping", URL, "-v")
    assert session.err.text == f"mcpserve: {URL}: 2026-07-28 over stdio\n"


def test_texts_of_a_prompt_on_a_terminal() -> None:
    """Nothing in them steers it."""
    client = StandIn(prompt=PromptResult(messages=[Message(Text("\x1b[2J"))]))
    assert "\x1b[2J" not in carry_out("prompt", URL, "ask", client=client, terminal=True).out.text

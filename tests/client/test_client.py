"""The client's face: its life, and what is sent and read for each thing that it can do."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock

from mcpserve.client import (
    Change,
    Client,
    Completion,
    Contents,
    HttpServer,
    LogMessage,
    Message,
    Progress,
    PromptResult,
    StdioServer,
    Text,
    Unreachable,
)
from mcpserve.errors import BadAnswer, ClientClosed, ConfigurationError, RemoteError
from mcpserve.protocol.jsonrpc import Notification, Response
from mcpserve.protocol.types import Implementation
from tests.client.scripted import V2025_11_25, Play, StillWaiting, begun, now, outcome, text

# --- life


def test_a_with() -> None:
    """Inside it the client is open, after it closed, and it was closed in the right order."""
    play = Play(opened=False, replies={"tools/call": text("a")})

    async def use() -> Any:
        async with play.client as client:
            assert client is play.client
            assert client.server is play.server
            return await client.call_tool("add")

    assert now(use()).content == [Text("a")]
    assert play.ends == ["closed", "closed"]  # the conversation, and what it stood on
    now(play.client.close())
    assert play.ends == ["closed", "closed"]


@pytest.mark.parametrize("closed", [True, False])
def test_a_client_that_is_not_open(closed: bool) -> None:
    """Whatever is asked of it, it says so, and nothing is sent."""
    play = Play(opened=False)
    if closed:
        now(play.client.close())
    client = play.client
    for asking in (
        client.list_tools,
        client.discover,
        client.ping,
        lambda: client.call_tool("a"),
        lambda: client.read_resource("a:b"),
        lambda: client.request("a/b"),
        lambda: client.notify("a/b"),
    ):
        with pytest.raises(ClientClosed, match="was closed" if closed else "not open"):
            now(asking())
    for beginning in (lambda: client.stream_tool("a"), lambda: client.listen(tools=True), lambda: client.server):
        with pytest.raises(ClientClosed):
            beginning()
    assert play.runs == []


def test_opening_twice() -> None:
    """A client is opened once in its life."""
    play = Play()
    with pytest.raises(ClientClosed):
        now(play.client.open())
    now(play.client.close())
    with pytest.raises(ClientClosed):
        now(play.client.open())


@pytest.mark.parametrize("how", ["cancel", "close", "fail"])
def test_opening_in_vain(how: str) -> None:
    """It is cancelled, closed meanwhile, or fails; either way what was opened is closed, and the client stays so."""
    play = Play(opened=False)
    play.gate = Deferred()
    opening = begun(play.client.open())
    if how == "cancel":
        opening.cancel()
    elif how == "close":
        now(play.client.close())
    else:
        play.gate.errback(Unreachable("down"))
    with pytest.raises({"cancel": CancelledError, "close": ClientClosed, "fail": Unreachable}[how]):
        outcome(opening)
    assert play.ends == ["closed"]
    with pytest.raises(ClientClosed):
        now(play.client.list_tools())


def test_closing_while_it_is_closed() -> None:
    """Whoever closes it, first or second, gets on when nothing is left; not to wait for that changes nothing."""
    play = Play()
    play.farewell = Deferred()
    first, second, hasty = (begun(play.client.close()) for _ in range(3))
    hasty.cancel()
    with pytest.raises(CancelledError):
        outcome(hasty)
    for waiting in (first, second):
        with pytest.raises(StillWaiting):
            outcome(waiting)
    play.farewell.callback(None)
    assert play.ends == ["closed", "closed"]
    assert (first.called, second.called) == (True, True)


def test_closing_that_nobody_waits_for() -> None:
    """It closes all the same."""
    play = Play()
    play.farewell = Deferred()
    closing = begun(play.client.close())
    closing.cancel()
    with pytest.raises(CancelledError):
        outcome(closing)
    assert play.ends == []
    play.farewell.callback(None)
    assert play.ends == ["closed", "closed"]


def test_what_the_server_is_told_of_the_client() -> None:
    """Its name and version."""
    play = Play(name="me", version="3")
    assert play.host.implementation == Implementation(name="me", version="3")
    assert Play().host.implementation.name == "mcpserve"


@pytest.mark.parametrize("url", ["", "example.org/mcp", "ftp://x", "http://", "http://x:port/", "file:///etc/passwd"])
def test_what_is_no_url(url: str) -> None:
    """It is told at once, with an example."""
    with pytest.raises(ConfigurationError, match="it looks like"):
        Client(url, reactor=Clock())


def test_ways_to_a_server() -> None:
    """A client may be made of a URL, a command, or a named server; none of them does anything yet."""
    clock = Clock()
    Client("http://x/mcp", reactor=clock)
    Client.stdio(["server"], reactor=clock)
    Client.to(HttpServer(name="a", url="https://x", transport="sse"), reactor=clock, credentials=None)
    Client.to(StdioServer(name="a", command=("b",)), reactor=clock)
    assert clock.getDelayedCalls() == []
    with pytest.raises(ConfigurationError, match="is a list"):
        Client.stdio("server --fast", reactor=clock)
    with pytest.raises(ConfigurationError):
        Client.stdio([], reactor=clock)


# --- what it can do


def test_resources() -> None:
    """A resource is read, however often."""
    play = Play(replies={"resources/read": {"contents": [{"uri": "a:b", "text": "x"}]}})
    assert now(play.client.read_resource("a:b", meta={"k": 1})) == [Contents("x", uri="a:b")]
    assert play.run.params == {"uri": "a:b", "_meta": {"k": 1}}
    assert play.run.outgoing.repeatable


def test_prompts() -> None:
    """A prompt is filled in."""
    shape = {
        "resultType": "complete",
        "description": "d",
        "messages": [{"role": "assistant", "content": {"type": "text", "text": "x"}}],
        "_meta": {"k": 1},
        "more": 2,
    }
    play = Play(replies={"prompts/get": shape})
    assert now(play.client.get_prompt("p", {"a": "b"})) == PromptResult(
        messages=[Message(Text("x"), "assistant")], description="d", meta={"k": 1}, extra={"more": 2}
    )
    assert play.run.params == {"name": "p", "arguments": {"a": "b"}}


@pytest.mark.parametrize(
    ("kind", "reference"),
    [("prompt", {"type": "ref/prompt", "name": "x"}), ("resource", {"type": "ref/resource", "uri": "x"})],
)
def test_completions(kind: Any, reference: Any) -> None:
    """Suggestions are asked for an argument of a prompt or of a template."""
    play = Play(replies={"completion/complete": {"completion": {"values": ["ab"], "hasMore": False}}})
    assert now(play.client.complete(kind, "x", "arg", "a")) == Completion(["ab"], has_more=False)
    assert play.run.params == {"ref": reference, "argument": {"name": "arg", "value": "a"}}
    now(play.client.complete(kind, "x", "arg", "a", context={"other": "o"}))
    assert play.run.params["context"] == {"arguments": {"other": "o"}}


@pytest.mark.parametrize("method", ["resources/read", "prompts/get", "completion/complete"])
def test_what_is_no_answer(method: str) -> None:
    """It is a BadAnswer that names the method and the member."""
    play = Play(replies={method: lambda _: {"odd": 1}})
    asking = {
        "resources/read": lambda: play.client.read_resource("a:b"),
        "prompts/get": lambda: play.client.get_prompt("a"),
        "completion/complete": lambda: play.client.complete("prompt", "a", "b", "c"),
    }
    with pytest.raises(BadAnswer, match=rf"{method} .* is missing"):
        now(asking[method]())


def test_ping() -> None:
    """It says how long the answer took; since 2026-07-28 it is another method that is asked."""
    for revision, method in ((V2025_11_25, "ping"), (None, "server/discover")):
        play = Play(revision) if revision else Play()
        pinging = begun(play.client.ping())
        assert play.run.outgoing.method == method
        play.clock.advance(0.25)
        play.run.answer({})
        assert outcome(pinging) == 0.25


def test_discover() -> None:
    """The server is asked anew what it is; in a session it is what was said at its beginning."""
    shape = {
        "capabilities": {"tools": {}},
        "instructions": "be kind",
        "_meta": {"io.modelcontextprotocol/serverInfo": {"name": "s", "version": "2"}},
    }
    play = Play(replies={"server/discover": shape})
    found = now(play.client.discover())
    assert (found.capabilities, found.instructions, found.raw) == ({"tools": {}}, "be kind", shape)
    assert found.implementation == Implementation(name="s", version="2")
    play.replies["server/discover"] = {"capabilities": {}, "_meta": {"io.modelcontextprotocol/serverInfo": 3}}
    assert now(play.client.discover()).implementation is None
    play.replies["server/discover"] = {"capabilities": []}
    with pytest.raises(BadAnswer):
        now(play.client.discover())
    play = Play(V2025_11_25)
    assert now(play.client.discover()) is play.server
    assert play.runs == []


def test_the_log_level() -> None:
    """In a session the server is told when it begins and when it changes; since 2026-07-28 each request says it."""
    play = Play(V2025_11_25, log_level="warning", replies={"logging/setLevel": {}})
    assert play.run.params == {"level": "warning"}
    now(play.client.set_log_level("debug"))
    assert play.run.params == {"level": "debug"}
    assert play.host.log_level == "debug"
    assert Play(V2025_11_25, log_level="warning", declares={}).runs == []
    play = Play(log_level="warning")
    now(play.client.set_log_level("debug"))
    assert play.runs == []
    assert play.host.log_level == "debug"


def test_what_is_not_severe_enough_is_left_out() -> None:
    """Many servers send all they have, whatever was asked for: what is below the level reaches nobody."""
    notices: list[Any] = []
    play = Play(V2025_11_25, log_level="warning", declares={}, on_notice=notices.append)
    stream = play.client.stream_tool("talk")
    waiting = begun(stream.__anext__())
    logged: list[Any] = []
    call = begun(play.client.call_tool("talk", on_log=logged.append))
    for said in play.runs:
        for level in ("debug", "notice", "warning", "alert"):
            said.notify("message", level=level, data="d")
    play.run.answer(text("done"))
    now(call)
    assert [now(waiting), now(stream.__anext__())] == [LogMessage("warning", "d"), LogMessage("alert", "d")]
    assert logged == [LogMessage("warning", "d"), LogMessage("alert", "d")]
    for level in ("info", "error", "loud"):
        play.host.heard(Notification("notifications/message", {"level": level, "data": "d"}))
    assert [notice for notice in notices if isinstance(notice, LogMessage)] == [LogMessage("error", "d")]
    asked = len(play.runs)
    now(play.client.set_log_level("alert"))
    assert len(play.runs) == asked
    play.runs[0].notify("message", level="error", data="d")
    play.runs[0].notify("message", level="emergency", data="d")
    assert now(stream.__anext__()) == LogMessage("emergency", "d")


def test_log_messages_of_a_call_are_not_lost() -> None:
    """Over one connection nobody knows which call they belong to: where a call takes none, `on_notice` gets them."""
    notices: list[Any] = []
    play = Play(on_notice=notices.append)
    call = begun(play.client.call_tool("talk"))
    play.run.notify("message", level="info", data="d")
    play.run.progress(1)
    play.run.answer(text("done"))
    now(call)
    assert notices == [LogMessage("info", "d")]


def test_any_request_and_notification() -> None:
    """What has no method here can be sent all the same; its result comes as it is."""
    play = Play(replies={"x/y": {"resultType": "complete", "a": 1}})
    assert now(play.client.request("x/y", {"p": 2})) == {"resultType": "complete", "a": 1}
    assert (play.run.params, play.run.outgoing.repeatable) == ({"p": 2}, False)
    play.replies["x/y"] = Response(1, error={"code": -32601, "message": "no"})
    with pytest.raises(RemoteError):
        now(play.client.request("x/y"))
    now(play.client.notify("notifications/x", {"p": 2}))
    assert play.notified == [("notifications/x", {"p": 2})]


# --- what it hears


def test_notices() -> None:
    """What belongs to no call reaches `on_notice`: log messages, changes, anything else as it came; no progress."""
    told: list[Any] = []
    play = Play(V2025_11_25, on_notice=told.append)
    play.tell("message", level="info", data="x")
    play.tell("resources/updated", uri="a:b")
    play.tell("elicitation/complete", elicitationId="e")
    play.tell("progress", progressToken=9, progress=1)
    assert told == [
        LogMessage("info", "x"),
        Change("notifications/resources/updated", "a:b"),
        Change("notifications/elicitation/complete"),
    ]
    assert told[2].params == {"elicitationId": "e"}


def test_an_ear_that_fails(logged_errors: Any) -> None:
    """It is logged, and disturbs nobody."""
    told: list[Any] = []

    def ear(notice: Any) -> None:
        told.append(notice)
        raise LookupError

    play = Play(V2025_11_25, on_notice=ear, replies={"tools/call": text("a")})
    play.tell("tools/list_changed")
    assert len(told) == 1
    assert len(logged_errors.flush(LookupError)) == 1
    assert now(play.client.call_tool("add")).content == [Text("a")]


@pytest.mark.parametrize(
    ("progress", "fraction"),
    [
        (Progress(1), None),
        (Progress(1, 4), 0.25),
        (Progress(5, 4), 1.0),
        (Progress(-1, 4), 0.0),
        (Progress(1, 0), None),
    ],
)
def test_fractions(progress: Progress, fraction: float | None) -> None:
    """The share that is done is known only with a total, and stays within its bounds."""
    assert progress.fraction == fraction

"""HTTP with SSE, the transport of 2024-11-05: on paper, and against servers of our own and of others."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock, deferLater

from mcpserve.client.conversation import Conversation, Outgoing
from mcpserve.client.http_sse import open_http_sse, resolved
from mcpserve.client.limits import Retries, Timeouts
from mcpserve.client.web import Web
from mcpserve.errors import (
    AnswerLost,
    AnswerTooLarge,
    BadAnswer,
    ClientClosed,
    DeadlinePassed,
    Refused,
    Unauthorized,
    Unreachable,
)
from mcpserve.protocol.jsonrpc import Notification, Response
from tests.client.scripted_web import ScriptedAnswer, ScriptedWeb, Sent
from tests.client.setting import terms
from tests.client.talking import Outcome, RecordingHost, outcome, response_of
from tests.interop.peers import CACHE

URL = "http://server.example/a/sse"
PEER = CACHE / "pyclient" / "bin" / "python"
"""The interpreter with the official SDK, where `python -m tests.interop.peers` has installed it."""


# --- on paper


class Scene:
    """A conversation over a web that the test plays."""

    def __init__(self, **options: Any) -> None:
        self.clock = Clock()
        self.web: Any = ScriptedWeb(self.clock)
        self.host = RecordingHost()
        agreed = terms(self.clock, **{"retries": Retries(jitter=0), **options})
        self.opening = outcome(open_http_sse(self.host, self.web, URL, agreed))

    @property
    def stream(self) -> ScriptedAnswer:
        """The newest stream."""
        answer = self.web.last("GET").answer
        assert isinstance(answer, ScriptedAnswer)
        return answer

    @property
    def talk(self) -> Any:
        """The conversation."""
        assert self.opening.error is None, self.opening.error
        return self.opening.value

    def begin(self, endpoint: bytes = b"/messages?sessionId=1", version: str = "2024-11-05") -> Scene:
        """The server opens its stream, and shakes hands."""
        self.web.last("GET").streams()
        self.stream.event(endpoint, type="endpoint")
        sent = self.web.last("initialize")
        sent.answers(202, b"Accepted", "text/plain")
        self.stream.event(
            {"jsonrpc": "2.0", "id": sent.json["id"], "result": {"protocolVersion": version, "capabilities": {}}}
        )
        self.web.last("notifications/initialized").answers(202)
        return self

    def call(self, **more: Any) -> Outcome:
        """Ask for something; the outcome is its response."""
        return outcome(response_of(self.talk.request(Outgoing(method="tools/call", **more))))

    def accept(self) -> Sent:
        """The server accepts the last call."""
        sent: Sent = self.web.last("tools/call")
        sent.answers(202)
        return sent


def test_the_first_words() -> None:
    """The stream is asked for; the endpoint is relative to it; initialize is offered there, and no other question."""
    scene = Scene()
    (get,) = scene.web.sent
    assert (get.method, get.url, get.headers) == ("GET", URL, {"Accept": "text/event-stream"})
    scene.begin()
    assert scene.web.kinds == ["GET", "initialize", "notifications/initialized"]
    post = scene.web.last("initialize")
    assert (post.method, post.url) == ("POST", "http://server.example/messages?sessionId=1")
    assert post.headers["Content-Type"] == "application/json"
    assert scene.talk.server.transport == "http+sse"
    assert scene.talk.server.revision.name == "2024-11-05"
    scene.call()
    assert "MCP-Protocol-Version" not in scene.accept().headers


def test_a_later_revision() -> None:
    """It may be spoken over this transport, too; what wants its header gets it."""
    scene = Scene().begin(version="2025-06-18")
    scene.call()
    assert scene.accept().headers["MCP-Protocol-Version"] == "2025-06-18"


def test_an_answer_comes_on_the_stream() -> None:
    """Progress and the response, before or after the request's own answer; and other events are left alone."""
    scene = Scene().begin()
    running = scene.talk.request(Outgoing(method="tools/call", progress=True))
    name = scene.web.last("tools/call").json["id"]
    progress = {"progressToken": name, "progress": 1}
    scene.stream.event({"jsonrpc": "2.0", "method": "notifications/progress", "params": progress})
    scene.stream.event(b"whatever", type="ping")
    scene.stream.event(b"whatever")
    scene.stream.event({"jsonrpc": "2.0", "id": name, "result": {"ok": 1}})
    assert isinstance(outcome(running.receive()).value, Notification)
    assert outcome(running.receive()).value.result == {"ok": 1}
    scene.accept()
    assert scene.clock.getDelayedCalls() == []


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/messages?s=1", "http://server.example/messages?s=1"),
        ("messages", "http://server.example/a/messages"),
        ("http://server.example:80/x", "http://server.example:80/x"),
        ("?s=1", "http://server.example/a/sse?s=1"),
        ("HTTP://SERVER.example/x", "http://SERVER.example/x"),
        ("http://other.example/x", None),
        ("https://server.example/x", None),
        ("http://server.example:8080/x", None),
        ("//other.example/x", None),
        ("http://user@server.example/x", None),
        ("file:///etc/passwd", None),
        ("http://[broken/x", None),
        ("http://server.example:port/x", None),
    ],
)
def test_where_messages_go(path: str, found: str | None) -> None:
    """To the origin of the stream, and to no other: credentials go with them."""
    if found is None:
        with pytest.raises(BadAnswer):
            resolved(URL, path)
    else:
        assert resolved(URL, path) == found


def test_an_endpoint_of_another_origin() -> None:
    """Nothing is sent there, and the stream is closed."""
    scene = Scene()
    scene.web.last("GET").streams()
    scene.stream.event(b"http://other.example/x", type="endpoint")
    assert isinstance(scene.opening.error, BadAnswer)
    assert scene.stream.aborted
    assert scene.web.kinds == ["GET"]
    assert scene.clock.getDelayedCalls() == []


def test_no_stream() -> None:
    """A refusal, another type, a stream that ends or is silent: each is its own error, and nothing is left open."""
    scene = Scene()
    scene.web.last("GET").answers(405, b"No", "text/plain")
    assert isinstance(scene.opening.error, Refused)
    assert scene.opening.error.status == 405
    scene = Scene()
    scene.web.last("GET").answers(200, b"<html>", "text/html")
    assert isinstance(scene.opening.error, BadAnswer)
    assert scene.web.last("GET").answer.over
    scene = Scene()
    scene.web.last("GET").streams().end()
    assert isinstance(scene.opening.error, BadAnswer)
    scene = Scene()
    scene.web.last("GET").streams().lose()
    assert isinstance(scene.opening.error, Unreachable)
    scene = Scene(timeouts=Timeouts(connect=3))
    scene.web.last("GET").streams()
    scene.clock.advance(3)
    assert isinstance(scene.opening.error, DeadlinePassed)
    assert scene.opening.error.which == "connect"
    assert scene.stream.aborted
    scene = Scene()
    scene.web.last("GET").fails(Unauthorized("401", 401))
    assert isinstance(scene.opening.error, Unauthorized)


@pytest.mark.parametrize("step", range(4))
def test_cancelled_while_it_begins(step: int) -> None:
    """Whoever gives up leaves nothing open."""
    scene = Scene()
    if step > 0:
        scene.web.last("GET").streams()
    if step > 1:
        scene.stream.event(b"/messages", type="endpoint")
    if step > 2:
        scene.web.last("initialize").answers(202)
    assert scene.opening.deferred is not None
    scene.opening.deferred.cancel()
    scene.clock.advance(2)
    assert isinstance(scene.opening.error, CancelledError)
    assert scene.web.last("GET").cancelled if step == 0 else scene.stream.aborted
    assert all(sent.answer is not None or sent.cancelled for sent in scene.web.sent)
    assert scene.clock.getDelayedCalls() == []


def test_a_request_that_is_refused() -> None:
    """It alone fails, with what the server said."""
    scene = Scene().begin()
    other, refused = scene.call(), scene.call()
    scene.web.last("tools/call").answers(413, b"Too large", "text/plain")
    assert isinstance(refused.error, Refused)
    assert refused.error.status == 413
    assert not other.done
    lost = scene.call()
    scene.web.last("tools/call").fails(AnswerLost("reset"))
    assert isinstance(lost.error, AnswerLost)
    assert not other.done


def test_a_lost_stream() -> None:
    """All that is under way is lost; the next request opens a new stream and shakes hands again."""
    for end in ("end", "lose"):
        scene = Scene().begin()
        lost, unsent = scene.call(), scene.call()
        scene.web.all("tools/call")[0].answers(202)
        getattr(scene.stream, end)()
        assert isinstance(lost.error, AnswerLost)
        assert isinstance(unsent.error, AnswerLost)
        scene.clock.advance(100)
        assert scene.web.kinds.count("GET") == 1
        waiting = scene.call()
        scene.clock.advance(0)
        scene.begin(b"/messages?sessionId=2")
        sent = scene.accept()
        assert sent.url.endswith("sessionId=2")
        scene.stream.event({"jsonrpc": "2.0", "id": sent.json["id"], "result": {"ok": 2}})
        assert waiting.value.result == {"ok": 2}
        assert scene.clock.getDelayedCalls() == []


def test_a_forgotten_session() -> None:
    """404 for a message: the session is gone although its stream is open; the next use begins a new one."""
    scene = Scene().begin()
    old = scene.stream
    other, lost, reading = scene.call(), scene.call(), scene.call(repeatable=True)
    scene.web.all("tools/call")[1].answers(404, b"Session not found", "text/plain")
    assert isinstance(lost.error, AnswerLost)
    assert isinstance(other.error, AnswerLost)
    assert not reading.done
    scene.clock.advance(2.5)
    assert old.aborted
    scene.begin(b"/messages?sessionId=2")
    sent = scene.accept()
    scene.stream.event({"jsonrpc": "2.0", "id": sent.json["id"], "result": {}})
    assert reading.value.result == {}


def test_an_event_that_is_too_large() -> None:
    """The stream can't go on; who waits hears why."""
    scene = Scene().begin()
    waiting = scene.call()
    scene.accept()
    scene.stream.lose(AnswerTooLarge("an event of more than 16 MiB"))
    assert isinstance(waiting.error, AnswerTooLarge)


def test_cancelling() -> None:
    """The notification is sent when the request has arrived, and what comes late is dropped."""
    scene = Scene().begin()
    running = scene.talk.request(Outgoing(method="tools/call"))
    running.cancel("enough")
    assert "notifications/cancelled" not in scene.web.kinds
    sent = scene.accept()
    cancelled = scene.web.last("notifications/cancelled")
    assert cancelled.json["params"] == {"requestId": sent.json["id"], "reason": "enough"}
    cancelled.answers(202)
    scene.stream.event({"jsonrpc": "2.0", "id": sent.json["id"], "result": {}})
    assert scene.clock.getDelayedCalls() == []


def test_questions() -> None:
    """The answer to what the server asks is a message of its own."""
    scene = Scene().begin()
    scene.stream.event({"jsonrpc": "2.0", "id": "q", "method": "ping"})
    sent = scene.web.sent[-1]
    assert sent.json == {"jsonrpc": "2.0", "id": "q", "result": {}}
    sent.answers(500)


def test_closing() -> None:
    """The last words have their time, no more; then the stream is closed."""
    scene = Scene(timeouts=Timeouts(close=2)).begin()
    waiting = scene.call()
    scene.accept()
    closing = outcome(scene.talk.close())
    assert isinstance(waiting.error, ClientClosed)
    assert scene.web.kinds[-1] == "notifications/cancelled"
    assert not closing.done
    scene.web.sent[-1].answers(202)
    assert closing.done
    assert scene.stream.aborted
    scene = Scene(timeouts=Timeouts(close=2)).begin()
    scene.call()
    closing = outcome(scene.talk.close())
    scene.clock.advance(1.9)
    assert not closing.done
    scene.clock.advance(0.2)
    assert closing.done
    assert scene.stream.aborted
    assert scene.web.last("tools/call").cancelled
    assert scene.clock.getDelayedCalls() == []


def test_a_thousand_times() -> None:
    """Opening and closing leaves no stream, no request and no timer."""
    for _ in range(1000):
        scene = Scene().begin()
        got = scene.call()
        sent = scene.accept()
        scene.stream.event({"jsonrpc": "2.0", "id": sent.json["id"], "result": {}})
        assert got.done
        assert outcome(scene.talk.close()).done
        assert scene.stream.aborted
        assert scene.clock.getDelayedCalls() == []


# --- for real

PLUGIN = """
from mcpserve import Call, tool

@tool
async def count(call: Call, number: int) -> str:
    "Count."
    for step in range(number):
        await call.progress(step, number, f"step {step}")
    return "counted"

@tool
async def wait(call: Call, path: str) -> str:
    "Wait for ever, and leave a file when it is cancelled."
    call.on_cancel(lambda: open(path, "w").close())
    await call.progress(1)
    await call.sleep(600)
    return ""
"""

SDK = """
import socket, sys
import uvicorn
try:
    from mcp.server import MCPServer as Server
    from mcp.server.mcpserver import Context
except ImportError:
    from mcp.server.fastmcp import FastMCP as Server, Context

server = Server("peer")

@server.tool()
async def count(number: int, ctx: Context) -> str:
    for step in range(number):
        await ctx.report_progress(step, number)
    return "counted"

@server.tool()
async def wait(path: str, ctx: Context) -> str:
    import anyio
    try:
        await ctx.report_progress(1)
        await anyio.sleep(600)
    finally:
        open(path, "w").close()
    return ""

listening = socket.socket()
listening.bind(("127.0.0.1", 0))
listening.listen()
print(f"http://127.0.0.1:{listening.getsockname()[1]}", flush=True)
uvicorn.Server(uvicorn.Config(server.sse_app(), log_level="error")).run(sockets=[listening])
"""


@contextmanager
def serving(command: Sequence[str], cwd: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A server in a process of its own: where it listens, and the process."""
    process = subprocess.Popen(
        command,
        cwd=cwd,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    try:
        for line in process.stdout:
            if found := re.search(r"http://127\.0\.0\.1:\d+", line):
                yield found[0], process
                break
        else:
            raise AssertionError("the server did not start")
    finally:
        process.kill()
        process.communicate()


@contextmanager
def served(kind: str, tmp_path: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """One of the servers: the URL of its stream, and its process."""
    if kind == "ours":
        (tmp_path / "plugs").mkdir()
        (tmp_path / "plugs" / "counting.py").write_text(PLUGIN)
        options = ["--no-shipped", "--plugins", "plugs", "--http-sse", "--listen", "tcp:0:interface=127.0.0.1"]
        command = [sys.executable, "-m", "twisted", "--log-format=text", "mcpserve", *options]
    else:
        (tmp_path / "server.py").write_text(SDK)
        command = [str(PEER), "server.py"]
    with serving(command, tmp_path) as (where, process):
        yield where + "/sse", process


def the_reactor() -> Any:
    """The reactor that runs the tests."""
    from twisted.internet import reactor  # noqa: PLC0415

    return reactor


@asynccontextmanager
async def talking(url: str, **options: Any) -> AsyncIterator[Conversation]:
    """A conversation; afterwards it is closed."""
    reactor = the_reactor()
    agreed = terms(reactor, **{"timeouts": Timeouts(head=15), "retries": Retries(first=0.05), **options})
    web = Web(reactor, timeouts=agreed.timeouts, limits=agreed.limits)
    try:
        host = RecordingHost()
        conversation = await open_http_sse(host, web, url, agreed)
        try:
            yield conversation
        finally:
            await conversation.close()
    finally:
        await web.close()


sdk = pytest.param("sdk", marks=pytest.mark.skipif(not PEER.exists(), reason="the official SDK is not there"))


@pytest.mark.parametrize("kind", ["ours", sdk])
@pytest.mark.deadline(60)
@pytest_twisted.ensureDeferred
async def test_real_servers(kind: str, tmp_path: Path) -> None:
    """It lists, calls with progress in order, many calls at once, and cancels on the server."""
    with served(kind, tmp_path) as (url, _):
        async with talking(url) as conversation:
            assert conversation.server.transport == "http+sse"
            assert conversation.server.revision.name == "2025-11-25"
            listed = await response_of(conversation.request(Outgoing(method="tools/list")))
            assert [tool["name"] for tool in listed.result["tools"]] == ["count", "wait"]
            params = {"name": "count", "arguments": {"number": 20}}
            many = [
                conversation.request(Outgoing(method="tools/call", params=params, progress=True)) for _ in range(10)
            ]
            for running in many:
                got = [await running.receive() for _ in range(21)]
                assert [one.params["progress"] for one in got if isinstance(one, Notification)] == list(range(20))
                assert isinstance(got[-1], Response)
                assert got[-1].result["content"][0]["text"] == "counted"
            left = tmp_path / "cancelled"
            params = {"name": "wait", "arguments": {"path": str(left)}}
            running = conversation.request(Outgoing(method="tools/call", params=params, progress=True))
            await running.receive()
            running.cancel()
            for _ in range(500):
                if left.exists():
                    break
                await deferLater(the_reactor(), 0.02)
            assert left.exists()


@pytest.mark.parametrize("kind", ["ours", sdk])
@pytest.mark.deadline(60)
@pytest_twisted.ensureDeferred
async def test_a_server_that_is_killed(kind: str, tmp_path: Path) -> None:
    """What is under way is lost at once, and what comes after is told that nobody is there."""
    with served(kind, tmp_path) as (url, process):
        retries = Retries(attempts=2, first=0.05)
        async with talking(url, retries=retries) as conversation:
            params = {"name": "wait", "arguments": {"path": "cancelled"}}
            running = conversation.request(Outgoing(method="tools/call", params=params, progress=True))
            await running.receive()
            process.kill()
            with pytest.raises(AnswerLost):
                await running.receive()
            with pytest.raises(Unreachable):
                await response_of(conversation.request(Outgoing(method="tools/list", repeatable=True)))

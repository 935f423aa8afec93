"""Servers that are children of ours, good ones and all kinds of bad ones; no process is left, however it ends."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.task import deferLater
from twisted.logger import LogEvent, globalLogPublisher

from mcpserve.client.child import group_lives
from mcpserve.client.conversation import Conversation, Outgoing
from mcpserve.client.framing import PER_SECOND
from mcpserve.client.limits import Limits, Retries, Timeouts
from mcpserve.client.stdio import INHERITED, open_stdio
from mcpserve.errors import (
    AnswerLost,
    AnswerTooLarge,
    ClientClosed,
    ClientError,
    ConfigurationError,
    DeadlinePassed,
    RemoteError,
    Unreachable,
)
from mcpserve.protocol.jsonrpc import Notification, Response
from tests.client.setting import terms
from tests.client.talking import Outcome, RecordingHost, outcome, response_of
from tests.interop.peers import CACHE

BAD = [sys.executable, "-S", str(Path(__file__).with_name("misbehaving.py"))]
PEER = CACHE / "pyclient" / "bin" / "python"
"""The interpreter with the official SDK, where `python -m tests.interop.peers` has installed it."""


def the_reactor() -> Any:
    """The reactor that runs the tests."""
    from twisted.internet import reactor  # noqa: PLC0415

    return reactor


@pytest.fixture(autouse=True)
def no_processes() -> Iterator[None]:
    """Fails a test that leaves a child, be it alive or a zombie."""
    before = children()
    yield
    assert children() - before == set()


def children() -> set[int]:
    """The process ids of our children, zombies included."""
    found = set()
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                stat = Path("/proc", entry, "stat").read_bytes()
            except OSError:
                continue
            if int(stat.rpartition(b")")[2].split()[1]) == os.getpid():
                found.add(int(entry))
    return found


def descriptors() -> int:
    """How many file descriptors are open."""
    return len(os.listdir("/proc/self/fd"))


async def opened(command: list[str], host: RecordingHost | None = None, **options: Any) -> Conversation:
    """Open a conversation."""
    child = {name: options.pop(name) for name in ("env", "cwd", "on_stderr") if name in options}
    usual = {"timeouts": Timeouts(close=5.0, head=15.0), "retries": Retries(first=0.05)}
    agreed = terms(the_reactor(), **{**usual, **options})
    return await open_stdio(host or RecordingHost(), agreed, command, **{"on_stderr": lambda line: None, **child})


@asynccontextmanager
async def talking(command: list[str], host: RecordingHost | None = None, **options: Any) -> AsyncIterator[Conversation]:
    """A conversation; afterwards it is closed."""
    conversation = await opened(command, host, **options)
    try:
        yield conversation
    finally:
        await conversation.close()


async def asked(conversation: Conversation, method: str = "tools/call", **more: Any) -> Any:
    """The result of a request."""
    response = await response_of(conversation.request(Outgoing(method=method, **more)))
    assert response.error is None, response.error
    return response.result


async def pause(seconds: float) -> None:
    """Let others go on."""
    await deferLater(the_reactor(), seconds)


async def until(what: str, holds: Callable[[], bool]) -> None:
    """Wait until something holds."""
    for _ in range(500):
        if holds():
            return
        await pause(0.02)
    raise AssertionError(f"{what}: never")


def alive(pid: int) -> bool:
    """Tell whether a process is there, and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] not in (b"Z", b"X")
    except OSError:
        return False


# --- good servers

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


@pytest.mark.parametrize(("revision", "spoken"), [(None, "2026-07-28"), ("2025-11-25", "2025-11-25")])
@pytest_twisted.ensureDeferred
async def test_our_own_server(tmp_path: Path, revision: str | None, spoken: str) -> None:
    """It lists, calls with progress in order, cancels on the server, and ends in order when its input ends."""
    (tmp_path / "plugs").mkdir()
    (tmp_path / "plugs" / "counting.py").write_text(PLUGIN)
    command = [sys.executable, "-m", "mcpserve", "stdio", "--no-shipped", "--plugins", "plugs"]
    async with talking(command, cwd=tmp_path, revision=revision) as conversation:
        assert conversation.server.revision.name == spoken
        assert conversation.server.transport == "stdio"
        assert conversation.server.implementation is not None
        tools = await asked(conversation, "tools/list", repeatable=True)
        assert [tool["name"] for tool in tools["tools"]] == ["count", "wait"]
        params = {"name": "count", "arguments": {"number": 20}}
        running = conversation.request(Outgoing(method="tools/call", params=params, progress=True))
        got = [await running.receive() for _ in range(21)]
        assert [one.params["progress"] for one in got[:-1] if isinstance(one, Notification)] == list(range(20))
        assert isinstance(got[-1], Response)
        assert got[-1].result["content"][0]["text"] == "counted"
        left = tmp_path / "cancelled"
        params = {"name": "wait", "arguments": {"path": str(left)}}
        running = conversation.request(Outgoing(method="tools/call", params=params, progress=True))
        await running.receive()
        waiting = outcome(running.receive())
        running.cancel()
        assert isinstance(waiting.error, CancelledError)
        await until("the tool is cancelled", left.exists)


SDK = """
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
async def ask(ctx: Context) -> str:
    return str((await ctx.session.list_roots()).roots[0].uri)

server.run("stdio")
"""


@pytest.mark.skipif(not PEER.exists(), reason="the official SDK is not there")
@pytest.mark.parametrize(("revision", "spoken"), [(None, "2026-07-28"), ("2025-11-25", "2025-11-25")])
@pytest.mark.deadline(60)
@pytest_twisted.ensureDeferred
async def test_the_official_sdk(tmp_path: Path, revision: str | None, spoken: str) -> None:
    """A server of PyPI's mcp is found to be what it is, and its progress comes in order."""
    script = tmp_path / "server.py"
    script.write_text(SDK)
    async with talking([str(PEER), str(script)], revision=revision) as conversation:
        assert conversation.server.revision.name == spoken
        params = {"name": "count", "arguments": {"number": 5}}
        running = conversation.request(Outgoing(method="tools/call", params=params, progress=True))
        got = [await running.receive() for _ in range(6)]
        assert [one.params["progress"] for one in got[:-1] if isinstance(one, Notification)] == list(range(5))
        assert isinstance(got[-1], Response)
        assert got[-1].result["content"][0]["text"] == "counted"


@pytest.mark.skipif(not PEER.exists(), reason="the official SDK is not there")
@pytest.mark.deadline(60)
@pytest_twisted.ensureDeferred
async def test_the_official_sdk_asks(tmp_path: Path) -> None:
    """Its question during a session is answered while its call runs."""
    script = tmp_path / "server.py"
    script.write_text(SDK)
    host = RecordingHost()
    host.capabilities = {"roots": {}}
    host.replies = roots
    async with talking([str(PEER), str(script)], host, revision="2025-11-25") as conversation:
        result = await asked(conversation, params={"name": "ask", "arguments": {}})
        assert result["content"][0]["text"].startswith("file:///here"), result
        assert [one.method for one in host.questions] == ["roots/list"]


async def roots(_: object) -> Mapping[str, Any]:
    """The answer to roots/list."""
    return {"roots": [{"uri": "file:///here"}]}


# --- the eras


@pytest.mark.parametrize(
    ("modes", "spoken"),
    [
        ("modern", "2026-07-28"),
        ("", "2025-11-25"),
        ("strict", "2025-11-25"),
        ("garbage", "2025-11-25"),
        ("modern garbage", "2026-07-28"),
        ("slow modern", "2026-07-28"),
        ("slow strict", "2025-11-25"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_what_it_speaks(modes: str, spoken: str) -> None:
    """The era is found, whatever the server does with a question that it does not know; and it is in its own group."""
    async with talking([*BAD, *modes.split()]) as conversation:
        assert conversation.server.revision.name == spoken
        result = await asked(conversation)
        assert result["group"] == result["pid"] != os.getpgid(0)


@pytest_twisted.ensureDeferred
async def test_what_a_child_gets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of our environment only what is known to be harmless, and what it was given; and its working directory."""
    monkeypatch.setenv("A_SECRET", "hidden")
    monkeypatch.setenv("TERM", "() { :; }; echo")
    async with talking(BAD, env={"GIVEN": "1", "USER": "other"}, cwd=tmp_path) as conversation:
        result = await asked(conversation)
    environment = result["environment"]
    assert environment["GIVEN"] == "1"
    assert environment["USER"] == "other"
    assert environment["PATH"] == os.environ["PATH"]
    assert "A_SECRET" not in environment
    assert "TERM" not in environment
    assert set(environment) <= {*INHERITED, "GIVEN", "LC_CTYPE", "PWD", "__CF_USER_TEXT_ENCODING"}
    assert result["cwd"] == str(tmp_path)


# --- servers that can't be started


@pytest.mark.parametrize(
    "command", [["no-such-command-anywhere", "--token=secret"], ["/", "secret"], ["a\0b", "secret"]]
)
@pytest_twisted.ensureDeferred
async def test_no_such_command(command: list[str]) -> None:
    """The error names the command, and none of its arguments."""
    with pytest.raises(Unreachable) as caught:
        await opened(command)
    assert command[0] in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest_twisted.ensureDeferred
async def test_what_is_wrong_with_the_options(tmp_path: Path) -> None:
    """No command, no such directory, no such revision: each is an error of its kind."""
    with pytest.raises(ConfigurationError):
        await opened([])
    with pytest.raises(ConfigurationError, match="1999-01-01"):
        await opened(BAD, revision="1999-01-01")
    with pytest.raises(Unreachable, match="nowhere"):
        await opened(BAD, cwd=tmp_path / "nowhere")


@pytest_twisted.ensureDeferred
async def test_a_server_that_ends_at_once() -> None:
    """The error says how it ended, and what it said last."""
    with pytest.raises(Unreachable, match=r"status 1.*no such database"):
        await opened([*BAD, "ends"])


@pytest_twisted.ensureDeferred
async def test_a_server_that_is_none() -> None:
    """What reads and writes nothing is given up by the deadline; what echoes is no server either."""
    with pytest.raises(DeadlinePassed):
        await opened(["sleep", "600"], timeouts=Timeouts(head=0.3, close=0.1), revision="2025-11-25")
    with pytest.raises((ClientError, RemoteError)):
        await opened(["cat"], timeouts=Timeouts(head=0.3, close=0.1), revision="2025-11-25")


@pytest_twisted.ensureDeferred
async def test_cancelled_while_it_starts() -> None:
    """Nothing of it is left."""
    opening = outcome(opened(["sleep", "600"], timeouts=Timeouts(close=0.1)))
    await pause(0.05)
    assert opening.deferred is not None
    opening.deferred.cancel()
    await until("it is cancelled", lambda: opening.done)
    assert isinstance(opening.error, CancelledError)


# --- servers that die


@pytest_twisted.ensureDeferred
async def test_it_dies_of_a_call() -> None:
    """That call is lost, and says how; the next request gets a new server."""
    async with talking([*BAD, "dies"]) as conversation:
        with pytest.raises(AnswerLost, match="status 3"):
            await asked(conversation)
        first = await asked(conversation, "tools/list")
        with pytest.raises(AnswerLost):
            await asked(conversation)
        assert (await asked(conversation, "tools/list"))["pid"] != first["pid"]


@pytest_twisted.ensureDeferred
async def test_it_dies_after_each_call() -> None:
    """Answers that it wrote before are not lost; each next call works."""
    async with talking([*BAD, "answers-and-dies", "modern"]) as conversation:
        assert len({(await asked(conversation, repeatable=True))["pid"] for _ in range(5)}) == 5


@pytest_twisted.ensureDeferred
async def test_it_is_killed() -> None:
    """What only reads survives that; the rest is lost, with the signal in the error."""
    async with talking([*BAD, "mute"], revision="2025-11-25") as conversation:
        pid = (await asked(conversation))["pid"]
        lost = outcome(asked(conversation, "unknown"))
        os.kill(pid, signal.SIGKILL)
        kept = outcome(asked(conversation, "tools/list", repeatable=True))
        await until("both are done", lambda: lost.done and kept.done)
        assert isinstance(lost.error, AnswerLost)
        assert "signal 9" in str(lost.error)
        assert kept.value["pid"] != pid


@pytest_twisted.ensureDeferred
async def test_it_closes_its_output() -> None:
    """That is its end, even if it lives on: calls fail at once, and it is ended."""
    async with talking([*BAD, "closes"], timeouts=Timeouts(close=0.2), revision="2025-11-25") as conversation:
        with pytest.raises(AnswerLost, match="closed its output"):
            await asked(conversation)


@pytest_twisted.ensureDeferred
async def test_its_child_holds_its_output() -> None:
    """The server is dead although its output is open: that is noticed, and its child is ended, too."""
    async with talking([*BAD, "parent"], timeouts=Timeouts(close=0.3)) as conversation:
        result = await asked(conversation)
        assert alive(result["grandchild"])
        os.kill(result["pid"], signal.SIGKILL)
        waiting = outcome(asked(conversation, "unknown"))
        await until("it is noticed", lambda: waiting.done)
        assert isinstance(waiting.error, AnswerLost)
        await until("its child is ended", lambda: not alive(result["grandchild"]))


# --- the end


@pytest.mark.parametrize(
    ("modes", "least", "most"),
    [
        ("", 0, 3),
        ("modern", 0, 3),
        ("stubborn", 0.8, 5),
        ("deaf", 0.4, 5),
        ("parent", 0, 5),
        ("orphan", 0.4, 5),
        ("stubborn orphan parent", 0.8, 6),
    ],
)
@pytest_twisted.ensureDeferred
async def test_its_end(modes: str, least: float, most: float) -> None:
    """In order when its input ends; otherwise by SIGTERM, then SIGKILL, and so its children; within the bounds."""
    timeouts = Timeouts(close=0.4, head=15)
    conversation = await opened([*BAD, *modes.split()], timeouts=timeouts)
    result = await asked(conversation) if "deaf" not in modes else {"pid": 0, "grandchild": 0}
    clock = the_reactor()
    began = clock.seconds()
    waiting = outcome(asked(conversation, "unknown")) if "deaf" in modes else Outcome(done=True)
    await gatherResults([Deferred.fromCoroutine(conversation.close()) for _ in range(3)])
    assert least <= clock.seconds() - began <= most
    assert waiting.done
    for pid in (result["pid"], result["grandchild"]):
        assert not pid or not alive(pid)
    assert not result["pid"] or not group_lives(result["pid"])


@pytest_twisted.ensureDeferred
async def test_nothing_after_the_end() -> None:
    """Whoever asks afterwards hears that it is over, and no child is started."""
    conversation = await opened(BAD)
    await conversation.close()
    with pytest.raises(ClientClosed):
        await asked(conversation)


@pytest.mark.deadline(60)
@pytest_twisted.ensureDeferred
async def test_several_dozen() -> None:
    """Children that are closed, killed and left dying, many at once: no process, no zombie, no descriptor is left."""
    groups: list[int] = []

    async def one(number: int) -> None:
        mode = ("", "modern", "parent", "dies")[number % 4]
        conversation = await opened([*BAD, mode], timeouts=Timeouts(close=1.0, head=30))
        if mode == "dies":
            with pytest.raises(AnswerLost):
                await asked(conversation)
        else:
            result = await asked(conversation)
            groups.append(result["group"])
            if number % 3 == 0:
                os.kill(result["pid"], signal.SIGKILL)
        await conversation.close()

    await one(0)
    gc.collect()
    before = descriptors()
    for batch in range(6):
        await gatherResults([Deferred.fromCoroutine(one(batch * 8 + number)) for number in range(8)])
    assert descriptors() == before
    assert not any(group_lives(group) for group in groups)
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


# --- what it writes, and what it does not read


@pytest_twisted.ensureDeferred
async def test_garbage_on_its_output() -> None:
    """It is ignored, with progress in order between it; the log is told, but not for ever."""
    told: list[LogEvent] = []
    globalLogPublisher.addObserver(told.append)
    async with talking([*BAD, "garbage"]) as conversation:
        for _ in range(20):
            running = conversation.request(Outgoing(method="tools/call", progress=True))
            got = [await running.receive() for _ in range(4)]
            assert [one.params["progress"] for one in got[:3] if isinstance(one, Notification)] == [0, 1, 2]
    globalLogPublisher.removeObserver(told.append)
    warned = [one for one in told if "is ignored" in (one.get("log_format") or "")]
    assert 1 <= len(warned) <= 10


@pytest_twisted.ensureDeferred
async def test_a_flood_on_standard_error() -> None:
    """It holds nothing up; the log gets a bounded share of it, without what steers terminals."""
    told: list[LogEvent] = []
    globalLogPublisher.addObserver(told.append)
    async with talking([*BAD, "flood"], on_stderr=None) as conversation:
        await asked(conversation)
    globalLogPublisher.removeObserver(told.append)
    lines = [one["line"] for one in told if "line" in one]
    assert lines
    assert len(lines) <= 20 * PER_SECOND
    assert set(lines) == {"\ufffd[31merror"}


@pytest_twisted.ensureDeferred
async def test_standard_error_for_the_caller() -> None:
    """Each line is handed over as it is, the last one without its end included."""
    lines: list[str] = []
    with pytest.raises(Unreachable):
        await opened([*BAD, "ends"], on_stderr=lines.append)
    assert lines == ["no such database"] * len(lines)
    assert lines


@pytest_twisted.ensureDeferred
async def test_a_line_that_is_too_long() -> None:
    """The call whose answer it was fails and says so; the next one works, on the same server."""
    async with talking([*BAD, "long"], limits=Limits(body=1_000_000)) as conversation:
        pid = (await asked(conversation, "tools/list"))["pid"]
        with pytest.raises(AnswerTooLarge):
            await asked(conversation)
        assert (await asked(conversation, "tools/list"))["pid"] == pid


@pytest_twisted.ensureDeferred
async def test_large_messages() -> None:
    """Some megabytes go to a server and come back from it whole."""
    async with talking(BAD) as conversation:
        text = "y" * 5_000_000
        result = await asked(conversation, params={"arguments": {"text": text}})
        assert result["arguments"] == {"text": text}


@pytest_twisted.ensureDeferred
async def test_it_never_reads() -> None:
    """Requests run into their deadline; what waits for it is bounded, and what is beyond fails at once."""
    options = {"timeouts": Timeouts(head=1.0, close=0.2), "limits": Limits(body=1_000_000)}
    async with talking([*BAD, "deaf"], revision="2025-11-25", **options) as conversation:
        waiting = [outcome(asked(conversation, params={"x": "y" * 600_000})) for _ in range(6)]
        assert [type(one.error) for one in waiting] == [type(None)] * 2 + [Unreachable] * 4
        assert "does not read" in str(waiting[-1].error)
        await until("the others are done", lambda: all(one.done for one in waiting))
        assert all(isinstance(one.error, DeadlinePassed) for one in waiting[:2])
